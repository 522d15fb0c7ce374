package taskmanager

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// Chains says how long chains may grow; the zero value is no bound.
type Chains struct {
	MaxLinks int // a chain of so many backups is joined into a full; below 2 is never
	Quota    int // backups of a project that such a full may make; below 0 is no limit
}

const (
	// joinTries is how often one link's chain is tried.
	joinTries = 5
	// longestRejoin is the longest pause after a failure.
	longestRejoin = 24 * time.Hour
	// maxFailing bounds how many chains' failures are remembered; beyond it the pauses
	// begin anew.
	maxFailing = 10_000
)

// failing is a chain that could not be joined, as this process has seen it.
type failing struct {
	times int
	since time.Time
	seen  map[coffer.BackupID]bool // fulls that FAILED
}

// shorten joins every chain that has as many links as may be, and on which the next
// increment would stand. What it begins is told by a key of the link and the try, so
// that of many task managers, and of many passes, one begins it.
func (t *TaskManager) shorten(ctx context.Context) error {
	if t.Chains.MaxLinks < 2 {
		return nil
	}
	var first error
	for after := coffer.BackupID(""); ; {
		list, err := t.Records.LongChains(ctx, t.Chains.MaxLinks, after, records.MaxPage)
		if err != nil {
			return err
		}
		for _, b := range list {
			after = b.ID
			if err := t.joinChain(ctx, b); err != nil && first == nil {
				first = coffer.Wrap("join the chain of backup "+string(b.ID), err)
			}
		}
		if len(list) < records.MaxPage {
			return first
		}
	}
}

// joinChain asks for a full of the chain that ends in b, if there is none under way, and
// none that failed too lately.
func (t *TaskManager) joinChain(ctx context.Context, b coffer.Backup) error {
	for try := 1; try <= joinTries; try++ {
		if !t.mayJoin(b.Root) {
			return nil
		}
		made, err := t.Records.CreateSynthesis(ctx, records.NewSynthesis{
			Project: b.Project, Backup: b.ID, Name: joinedName(b), Key: fmt.Sprintf("coffer/max_links/%s/%d", b.ID, try),
			Quota: t.Chains.Quota, Now: t.Now(), Events: []coffer.Event{{
				Level: coffer.Info, Code: "chain.joined", Facts: map[string]string{"backup": string(b.ID)},
				Text: fmt.Sprintf("the chain of backup %s has %d backups, and no more than %d may be: it is joined into a full", b.ID, b.Depth+1, t.Chains.MaxLinks),
			}},
		})
		switch {
		case coffer.IsKind(err, coffer.KindUnprocessable, coffer.KindConflict, coffer.KindNotFound, coffer.KindQuota, coffer.KindCorrupt):
			t.Log.Debug("a long chain is not joined now", "backup", b.ID, "err", err)
			return nil // its instance is busy, or the chain is none that can be joined
		case err != nil:
			return err
		case made.State != coffer.Failed:
			t.awake()
			return nil
		}
		t.joinFailed(b.Root, made.ID)
	}
	return nil
}

// joinedName says of what a full was made.
func joinedName(b coffer.Backup) string {
	name := []rune(b.Name)
	const most = 200
	if len(name) > most {
		name = name[:most]
	}
	return fmt.Sprintf("%s (joined from %d backups)", string(name), b.Depth+1)
}

// mayJoin reports whether the chain's last failure is long enough ago.
func (t *TaskManager) mayJoin(root coffer.BackupID) bool {
	t.joining.Lock()
	defer t.joining.Unlock()
	f := t.failing[root]
	if f == nil {
		return true
	}
	pause := longestRejoin
	if shift := 2 * (f.times - 1); shift < 16 {
		pause = min(longestRejoin, t.Timings.Rejoin<<shift)
	}
	return time.Since(f.since) >= pause
}

// joinFailed remembers a failure, once.
func (t *TaskManager) joinFailed(root, full coffer.BackupID) {
	t.joining.Lock()
	defer t.joining.Unlock()
	if len(t.failing) >= maxFailing {
		clear(t.failing)
	}
	f := t.failing[root]
	if f == nil {
		f = &failing{seen: map[coffer.BackupID]bool{}}
		t.failing[root] = f
	}
	if !f.seen[full] {
		f.seen[full] = true
		f.times, f.since = f.times+1, time.Now()
	}
}
