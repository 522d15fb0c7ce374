package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/plan"
)

// drawBackups makes a forest: each backup is a full or stands on an earlier usable
// one.
func drawBackups(t *rapid.T) []coffer.Backup {
	var out []coffer.Backup
	states := []coffer.State{coffer.Completed, coffer.Completed, coffer.Completed, coffer.Failed, coffer.Building, coffer.DeleteFailed}
	for i := range rapid.IntRange(0, 12).Draw(t, "n") {
		b := coffer.Backup{
			ID: coffer.BackupID(fmt.Sprintf("b%02d", i)), Created: time.Unix(int64(i), 0),
			State: rapid.SampledFrom(states).Draw(t, "state"), Pins: max(0, rapid.IntRange(-4, 1).Draw(t, "pins")),
		}
		if i > 0 {
			p := out[rapid.IntRange(0, i-1).Draw(t, "parent")]
			if p.State == coffer.Completed && rapid.Bool().Draw(t, "incremental") {
				b.Parent, b.Depth = p.ID, p.Depth+1
			}
		}
		out = append(out, b)
	}
	return out
}

// TestRetainKeeps: enough stay, whole, and each that goes can go when its turn comes.
func TestRetainKeeps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := drawBackups(t)
		keep := rapid.IntRange(1, 5).Draw(t, "keep")
		usable := 0
		for _, b := range all {
			if b.State.Usable() {
				usable++
			}
		}
		left := slices.Clone(all)
		for _, id := range plan.Retain(all, keep) {
			i := slices.IndexFunc(left, func(b coffer.Backup) bool { return b.ID == id })
			if i < 0 {
				t.Fatalf("%s goes twice", id)
			}
			var under []coffer.Backup
			for _, b := range left {
				if b.Parent == id {
					under = append(under, b)
				}
			}
			if p := plan.Delete(left[i], under, false); p.Refused != "" {
				t.Fatalf("of %+v, keeping %d, %s cannot go: %s", all, keep, id, p.Refused)
			}
			left = slices.Delete(left, i, i+1)
		}
		rest := 0
		for _, b := range left {
			if b.State.Usable() {
				rest++
			}
			if b.Parent != "" && b.State.Usable() && !slices.ContainsFunc(left, func(p coffer.Backup) bool { return p.ID == b.Parent }) {
				t.Fatalf("of %+v, keeping %d, %s lost its parent", all, keep, b.ID)
			}
		}
		if rest < min(keep, usable) {
			t.Fatalf("of %+v, keeping %d, %d of %d are left", all, keep, rest, usable)
		}
	})
}
