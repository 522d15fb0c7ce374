package api

import (
	"context"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
)

const (
	bellGap  = 20 * time.Millisecond // between two bells to the task managers
	bellTime = 10 * time.Second      // a bus that takes longer is away
)

// bell rings the task managers for jobs that are committed. A bell says no more than
// "look": where jobs come faster than bellGap, those of one gap share the bell at its
// end. Its zero value is quiet.
type bell struct {
	mu      sync.Mutex
	last    time.Time
	waiting bool // somebody rings at the end of this gap
}

// mine says whether the caller is to ring, and after which wait.
func (b *bell) mine(now time.Time) (wait time.Duration, ring bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting {
		return 0, false
	}
	if wait = bellGap - now.Sub(b.last); wait <= 0 {
		b.last = now
		return 0, true
	}
	b.waiting = true
	return wait, true
}

func (b *bell) rings(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting, b.last = false, now
}

// ring rings the task manager's bell for a job that is committed. Nobody hearing it is
// no failure: the row is the work, and is rung for again.
func (a *api) ring(r request, id coffer.JobID) {
	wait, mine := a.bell.mine(time.Now())
	switch {
	case !mine:
	case wait == 0:
		a.cast(r.Context(), id)
	default:
		later := context.WithoutCancel(r.Context())
		time.AfterFunc(wait, func() {
			a.bell.rings(time.Now()) // before the cast: who commits now asks for another
			ctx, stop := context.WithTimeout(later, bellTime)
			defer stop()
			a.cast(ctx, id)
		})
	}
}

func (a *api) cast(ctx context.Context, id coffer.JobID) {
	if err := message.Dispatch.Cast(ctx, a.Bus, message.TaskManager, message.JobRef{Job: id}); err != nil {
		a.Log.DebugContext(ctx, "the task manager did not hear the bell; its next look will find the job", "job", id, "err", err)
	}
}
