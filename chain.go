package coffer

// MaxChain bounds a chain's length, so that a cycle in bad records ends.
const MaxChain = 10000

// CheckChain says whether chain (the full first, each next one the child of the
// one before) can be restored to its last link: an unbroken line of usable
// backups of one project, none being deleted. It returns nil or the first reason
// why not, which names the backup.
func CheckChain(chain []Backup) error {
	const op = "check the chain"
	if len(chain) == 0 {
		return E(KindNotFound, op, "the chain is empty")
	}
	if chain[0].Parent != "" {
		return E(KindCorrupt, op, "backup %s is an increment whose parent is missing", chain[0].ID).
			WithHint("restore the parent's objects, or take a full backup")
	}
	for i, b := range chain {
		switch {
		case !b.State.Usable():
			return E(KindConflict, op, "backup %s is %s", b.ID, b.State).WithHint("wait for it, or choose another backup")
		case b.Deleting || b.Deleted:
			return E(KindConflict, op, "backup %s is being deleted", b.ID).WithHint("choose another backup")
		case b.Project != chain[0].Project:
			return E(KindForbidden, op, "backup %s belongs to another project", b.ID)
		case i > 0 && b.Parent != chain[i-1].ID:
			return E(KindCorrupt, op, "backup %s is not a child of %s", b.ID, chain[i-1].ID)
		}
	}
	return nil
}

// Mergeable says whether chain (the full first), by what is known of its backups'
// positions, can be restored page by page in one pass; if not, the error's text is
// the reason. A layer's pages join those beneath it without a gap only if it begins
// at or before the redo start of its parent.
func Mergeable(chain []Position) error {
	const op = "join the chain's pages"
	for i, p := range chain {
		n := i + 1
		switch {
		case !p.PageLists:
			return E(KindUnsupported, op, "backup %d of the chain was taken without lists of its pages", n)
		case p.RedoStart == 0:
			return E(KindUnsupported, op, "the redo start of backup %d of the chain is not known", n)
		case p.PageSize != mergePageSize:
			return E(KindUnsupported, op, "innodb_page_size of backup %d of the chain is %d, not %d", n, p.PageSize, mergePageSize)
		case i == 0:
			continue
		}
		was := chain[i-1]
		switch {
		case p.From > was.RedoStart:
			return E(KindUnsupported, op, "backup %d of the chain begins at LSN %d, behind its parent's redo start %d", n, p.From, was.RedoStart)
		case p.DataFilePath != was.DataFilePath, p.UndoSpaces != was.UndoSpaces:
			return E(KindUnsupported, op, "backup %d of the chain has other system or undo tablespaces than its parent", n)
		}
	}
	return nil
}

// mergePageSize is the one page size for which merging was proven.
const mergePageSize = 16 << 10
