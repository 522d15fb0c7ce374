package e2e

import (
	"slices"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// clean asks of every backup that was made here what must hold in the end: it is
// COMPLETED and reads back whole, or it is FAILED and after a sweep nothing of it
// is in the store; with its runner alive perhaps its intent and tombstone. It
// gives the COMPLETED ones.
func (w *world) clean(replaced bool) []coffer.BackupID {
	w.t.Helper()
	var good, bad []coffer.BackupID
	for _, id := range w.made {
		b := w.settled(id, time.Minute)
		switch b.State {
		case coffer.Completed:
			w.verified(id)
			good = append(good, id)
		case coffer.Failed:
			if b.Error == nil || b.Error.Message == "" {
				w.t.Errorf("backup %s FAILED without a reason", id)
			}
			bad = append(bad, id)
		default:
			w.t.Errorf("backup %s ended %s", id, b.State)
		}
	}
	s := w.sweep()
	if len(s.Strangers) > 0 || len(s.Kept) > 0 {
		w.t.Errorf("the sweep leaves strangers %q, kept %q", s.Strangers, s.Kept)
	}
	if replaced { // intents and tombstones go a grace after that was first seen
		within(w.t, 10*time.Second, "nothing is left of what FAILED", func() bool {
			gone := !slices.ContainsFunc(bad, func(id coffer.BackupID) bool { return len(w.objects(id)) > 0 })
			if !gone {
				w.sweep()
			}
			return gone
		})
	}
	for _, id := range bad {
		left := w.objects(id)
		if !replaced {
			left = slices.DeleteFunc(left, func(n string) bool {
				return strings.HasSuffix(n, ".intent.json") || strings.HasSuffix(n, ".dead.json")
			})
		}
		if len(left) > 0 {
			w.t.Errorf("of the FAILED backup %s the sweep left %q", id, left)
		}
	}
	for _, id := range good {
		if len(w.objects(id)) < 4 {
			w.t.Errorf("the sweep took something of the COMPLETED backup %s: %q are left", id, w.objects(id))
		}
	}
	w.noUploads()
	w.noOrphans()
	return good
}

// noUploads wants that no unfinished upload is hidden in the store.
func (w *world) noUploads() {
	w.t.Helper()
	for _, name := range objectsIn(w.t, w.state+"/store", "") {
		parts := strings.Split(name, "/")
		if len(parts) != 3 {
			w.t.Errorf("the store holds %s, which is no object", name)
		}
	}
}
