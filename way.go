package coffer

import (
	"cmp"
	"fmt"
	"strings"
)

// Way is how a chain of backups is restored; "" is merged where every link allows
// it, else step by step.
type Way string

// The ways. Merged joins the layers page by page and prepares once; stepwise
// unpacks and applies one after another, as the tools' own makers do.
const (
	Merged   Way = "merged"
	Stepwise Way = "step-by-step"
)

// ParseWay takes a way's word; "" and "auto" are the choice by the chain itself.
func ParseWay(s string) (Way, error) {
	switch w := Way(s); w {
	case "", "auto":
		return "", nil
	case Merged, Stepwise:
		return w, nil
	}
	return "", E(KindInvalid, "read the way of a restore", "there is no way %.60q", s).WithHint("it is %s or %s", Merged, Stepwise)
}

// Mergeable says whether chain (the full first), by what is known of its backups'
// positions, can be restored page by page in one pass; if not, the error's text is
// the reason. A layer's pages join those beneath it without a gap only if it begins
// at or before the redo start of its parent.
func Mergeable(chain []Position) error {
	if why := notMergeable(chain); why != "" {
		return E(KindUnsupported, "join the chain's pages", "%s", why)
	}
	return nil
}

// Applicable says whether the increments of chain (the full first) can be applied
// by the stock tool, one after another; if not, the error's text is the reason.
func Applicable(chain []Position) error {
	if why := notApplicable(chain); why != "" {
		return E(KindUnsupported, "apply the increments", "%s", why)
	}
	return nil
}

// ChooseWay says how chain (the full first) is to be restored, and why so. A way
// that was wanted is refused where it is not safe; with want "" the first safe one
// is taken, and where none is the error says so. The two ways of a full alone are
// the same.
func ChooseWay(chain []Position, want Way) (way Way, reason string, err error) {
	const op = "choose the way of the restore"
	if len(chain) < 2 {
		return cmp.Or(want, Stepwise), "", nil
	}
	merge, apply := notMergeable(chain), notApplicable(chain)
	const earlier = "restore an earlier link of the chain, and take a full backup"
	switch {
	case merge != "" && apply != "":
		return want, "", E(KindUnsupported, op, "it can be done in neither way: not merged, because %s; not step by step, because %s", merge, apply).
			WithHint(earlier)
	case want == Merged && merge != "":
		return want, "", E(KindUnsupported, op, "it cannot be merged: %s", merge).WithHint("restore it %s", Stepwise)
	case want == Stepwise && apply != "":
		return want, "", E(KindUnsupported, op, "it cannot be done step by step: %s", apply).WithHint("restore it %s", Merged)
	case want != "":
		return want, "as asked", nil
	case merge != "":
		return Stepwise, merge, nil
	case apply != "":
		return Merged, apply, nil
	}
	return Merged, "every link of the chain allows it", nil
}

func notMergeable(chain []Position) string {
	for i, p := range chain {
		n := i + 1
		switch {
		case !p.PageLists:
			return fmt.Sprintf("backup %d of the chain was taken without lists of its pages", n)
		case p.RedoStart == 0:
			return fmt.Sprintf("the redo start of backup %d of the chain is not known", n)
		case p.PageSize != mergePageSize:
			return fmt.Sprintf("innodb_page_size of backup %d of the chain is %d, not %d", n, p.PageSize, mergePageSize)
		case i == 0:
			continue
		}
		was := chain[i-1]
		switch {
		case p.From > was.RedoStart:
			return fmt.Sprintf("backup %d of the chain begins at LSN %d, behind its parent's redo start %d", n, p.From, was.RedoStart)
		case p.DataFilePath != was.DataFilePath, p.UndoSpaces != was.UndoSpaces:
			return fmt.Sprintf("backup %d of the chain has other system or undo tablespaces than its parent", n)
		case p.ServerVersion != "" && was.ServerVersion != "" && series(p.ServerVersion) != series(was.ServerVersion):
			return fmt.Sprintf("backup %d of the chain is of server %s, its parent of %s", n, p.ServerVersion, was.ServerVersion)
		}
	}
	return ""
}

func notApplicable(chain []Position) string {
	for i, p := range chain {
		if i > 0 && p.MergeOnly != "" {
			return fmt.Sprintf("the stock tool would lose a table of backup %d of the chain: %s", i+1, p.MergeOnly)
		}
	}
	return ""
}

// series is 10.11 of "10.11.19-MariaDB-log".
func series(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// mergePageSize is the one page size for which merging was proven.
const mergePageSize = 16 << 10
