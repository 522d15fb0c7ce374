package plan

import (
	"cmp"
	"slices"

	"github.com/cofferdb/coffer"
)

// Retain says which of an instance's backups can go so that the newest keep
// restorable ones stay, with everything that they stand on; increments come before
// what they stand on. Below 1, and as long as there are no more than keep, nothing
// goes.
//
// A backup that runs, is read or is on its way out is never named, and neither is
// what it stands on: it goes another time. One that failed, or whose delete did,
// goes once it is older than all that are kept.
func Retain(backups []coffer.Backup, keep int) []coffer.BackupID {
	if keep < 1 {
		return nil
	}
	byID := map[coffer.BackupID]coffer.Backup{}
	for _, b := range backups {
		byID[b.ID] = b
	}
	newest := slices.SortedFunc(slices.Values(backups), func(x, y coffer.Backup) int {
		return cmp.Or(y.Created.Compare(x.Created), cmp.Compare(y.Depth, x.Depth), cmp.Compare(y.ID, x.ID))
	})
	stays := map[coffer.BackupID]bool{}
	left, oldest := keep, len(newest)
	for i, b := range newest {
		switch {
		case b.Deleted:
		case b.State.Running() || b.Pins > 0 || b.Deleting || left > 0 && b.State == coffer.DeleteFailed:
			holdChain(stays, byID, b)
		case left > 0 && restorable(byID, b):
			left--
			oldest = i
			holdChain(stays, byID, b)
		}
	}
	if left > 0 {
		return nil
	}
	gone := slices.DeleteFunc(newest[oldest+1:], func(b coffer.Backup) bool { return b.Deleted || stays[b.ID] })
	slices.SortStableFunc(gone, func(x, y coffer.Backup) int { return cmp.Compare(y.Depth, x.Depth) })
	out := make([]coffer.BackupID, len(gone))
	for i, b := range gone {
		out[i] = b.ID
	}
	return out
}

// holdChain marks b and all that it stands on.
func holdChain(stays map[coffer.BackupID]bool, byID map[coffer.BackupID]coffer.Backup, b coffer.Backup) {
	for !stays[b.ID] {
		stays[b.ID] = true
		parent, ok := byID[b.Parent]
		if !ok {
			return
		}
		b = parent
	}
}

// restorable reports whether b and all that it stands on is there, usable and not
// known to be damaged.
func restorable(byID map[coffer.BackupID]coffer.Backup, b coffer.Backup) bool {
	for range coffer.MaxChain {
		if !b.State.Usable() || b.Deleting || b.Deleted || b.Verified.Damaged() {
			return false
		}
		if b.Parent == "" {
			return true
		}
		parent, ok := byID[b.Parent]
		if !ok {
			return false
		}
		b = parent
	}
	return false
}
