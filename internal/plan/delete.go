package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cofferdb/coffer"
)

// DeletePlan is what a delete would take along. It can be carried out if Refused
// is empty.
type DeletePlan struct {
	Delete  []coffer.Backup // children before what they stand on; the backup itself last
	Refused string          // why not, with what to do
}

// Delete says what deleting b would remove. descendants is all that stands on it,
// near and far, in any order. The records decide the same by conditional changes:
// this is what can be shown before.
func Delete(b coffer.Backup, descendants []coffer.Backup, force bool) DeletePlan {
	p := DeletePlan{}
	direct := 0
	for _, d := range descendants {
		if d.Deleted || d.ID == b.ID {
			continue
		}
		if d.Parent == b.ID && d.State != coffer.Failed {
			direct++
		}
		if force && !d.Deleting {
			p.Delete = append(p.Delete, d)
		}
	}
	slices.SortStableFunc(p.Delete, func(x, y coffer.Backup) int {
		return cmp.Or(cmp.Compare(y.Depth, x.Depth), cmp.Compare(x.ID, y.ID))
	})
	p.Delete = append(p.Delete, b)
	if direct > 0 && !force {
		p.Refused = fmt.Sprintf("%d increments stand on backup %s: delete them first, or force the delete to take them along", direct, b.ID)
		return p
	}
	for _, d := range p.Delete {
		if p.Refused = held(d); p.Refused != "" {
			break
		}
	}
	return p
}

// held says what keeps one backup from being deleted, whatever stands on it.
func held(b coffer.Backup) string {
	switch {
	case b.State.Running():
		return fmt.Sprintf("backup %s is %s: wait for it, or cancel it", b.ID, b.State)
	case b.Deleting:
		return fmt.Sprintf("backup %s is being deleted already", b.ID)
	case b.Pins > 0:
		return fmt.Sprintf("backup %s is being read by %d restores or verifies: wait for them, or cancel them", b.ID, b.Pins)
	}
	return ""
}
