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
