package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/plan"
)

// What is known to be damaged, or stands on such, is none of the backups that are
// kept: the last good one never goes for it.
func TestRetainCountsNothingDamaged(t *testing.T) {
	t.Parallel()
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	bad := coffer.Verdict{At: at(9), Text: "its sum is another"}
	list := []coffer.Backup{
		{ID: "old", State: coffer.Completed, Created: at(1)},
		{ID: "good", State: coffer.Completed, Created: at(2)},
		{ID: "bad", State: coffer.Completed, Created: at(3), Verified: bad},
		{ID: "onto", State: coffer.Completed, Created: at(4), Parent: "bad", Depth: 1},
	}
	if got := plan.Retain(list, 1); !slices.Equal(got, []coffer.BackupID{"old"}) {
		t.Errorf("%q go", got)
	}
}
