package agent

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

// Under is how many jobs run here.
func (a *Agent) Under() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.jobs)
}

// outstay gives the context of the agent's life: after ctx has ended it goes on
// while jobs run, for Config.StopWait at most, and meanwhile none begins.
func (a *Agent) outstay(ctx context.Context) (context.Context, context.CancelFunc) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	a.left, a.leaving = end, false
	asked := context.AfterFunc(ctx, func() {
		a.mu.Lock()
		a.leaving = true
		if n := len(a.jobs) - len(a.noted); n > 0 && a.Config.StopWait > 0 {
			a.Log.Warn("asked to stop: no job begins, and those that run are finished", "jobs", n, "at_most", a.Config.StopWait)
		}
		a.leave()
		a.mu.Unlock()
		select {
		case <-life.Done():
		case <-time.After(a.Config.StopWait):
			end()
		}
	})
	return life, func() { asked(); end() }
}

// leave ends the life of an agent that was asked to stop, when of every job that is
// left the end is in the journal. The caller holds mu.
func (a *Agent) leave() {
	if a.leaving && len(a.jobs) == len(a.noted) {
		a.left()
	}
}

// safe says that a job's end is in the journal: it waits for its answer only.
func (a *Agent) safe(id coffer.JobID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, runs := a.jobs[id]; runs {
		a.noted[id] = true
		a.leave()
	}
}
