package taskmanager

import (
	"context"

	"github.com/cofferdb/coffer"
)

// prune removes from the records what has been over for long: diaries of ended
// jobs, deleted backups, used keys and join tokens. Of many task managers each does
// it; what one has removed the next does not find.
func (t *TaskManager) prune(ctx context.Context) error {
	before := t.Now().Add(-t.Timings.Keep)
	n, err := t.Records.Prune(ctx, before)
	if err != nil {
		return coffer.Wrap("prune the records", err)
	}
	joins, err := t.Records.PruneJoins(ctx, before)
	if n+joins > 0 {
		t.Log.Info("removed what is long over from the records", "rows", n+joins)
	}
	return coffer.Wrap("prune the join tokens", err)
}
