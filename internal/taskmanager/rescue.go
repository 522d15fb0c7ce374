package taskmanager

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/settle"
)

// drainedCounter is raised by conductors whenever their queue is empty.
const drainedCounter = "drained"

// watcher is this observer's own view of leases: when it saw each beat change, in
// time that counts. Nothing in it is stored: after a restart every lease is fresh.
type watcher struct {
	jobs    map[coffer.JobID]*watched
	drained uint64
	last    time.Time
	still   time.Duration // for how long the counter has not moved
}

type watched struct {
	beat   uint64
	silent time.Duration // counted time since the beat changed
	doomed time.Time     // when the tombstone was written by us
	from   coffer.State
}

// Rescue observes every running job once and settles those whose runner is lost.
// One pass runs at a time.
func (t *TaskManager) Rescue(ctx context.Context) error {
	t.init()
	t.rescuing.Lock()
	defer t.rescuing.Unlock()
	jobs, err := t.Records.Running(ctx)
	if err != nil {
		return coffer.Wrap("list running jobs", err)
	}
	n, err := t.Records.Counter(ctx, drainedCounter)
	if err != nil {
		return coffer.Wrap("read the drained counter", err)
	}
	counted := min(t.watch.tick(time.Now(), n, t.Timings.Lease/2), max(2*t.Timings.Rescue, t.Timings.Lease/6))
	live := map[coffer.JobID]bool{}
	for _, j := range jobs {
		live[j.ID] = true
		lost := t.watch.observe(j, counted) >= t.Timings.Lease || t.provenDead(j.Runner)
		if !j.Lost && !lost {
			continue
		}
		if !j.Lost {
			if err := t.lose(ctx, j); err != nil {
				return err
			}
		}
		if err := t.rescue(ctx, j); err != nil && ctx.Err() == nil {
			t.Log.Warn("could not settle a lost job; will try again", "job", j.ID, "err", err)
		}
	}
	for id := range t.watch.jobs {
		if !live[id] {
			delete(t.watch.jobs, id)
		}
	}
	return nil
}

// tick gives how much of the time since the last look counts: none if no
// conductor's queue was empty in it. The caller bounds it: after a pause of this
// process one empty queue says nothing of the beats that are still on their way.
// When the queues were not seen empty for long (the broker, the conductors or the
// records were away), every runner gets a fresh lease: it may need a while to find
// its way back.
func (w *watcher) tick(now time.Time, drained uint64, outage time.Duration) time.Duration {
	d := now.Sub(w.last)
	moved := drained != w.drained && !w.last.IsZero()
	w.last, w.drained = now, drained
	if !moved {
		w.still += d
		return 0
	}
	if w.still >= outage {
		for _, o := range w.jobs {
			o.silent = 0
		}
		d = 0
	}
	w.still = 0
	return d
}

func (w *watcher) observe(j coffer.Job, counted time.Duration) time.Duration {
	o := w.jobs[j.ID]
	if o == nil || o.beat != j.Beat {
		doomed := time.Time{}
		if o != nil {
			doomed = o.doomed
		}
		w.jobs[j.ID] = &watched{beat: j.Beat, doomed: doomed, from: j.State}
		return 0
	}
	o.silent += counted
	return o.silent
}

// provenDead reports whether it is known, not only suspected, that a runner has
// ended: nobody can write in its name any more.
func (t *TaskManager) provenDead(r coffer.Runner) bool { return t.Dead != nil && t.Dead(r) }

func (t *TaskManager) lose(ctx context.Context, j coffer.Job) error {
	if err := t.Records.MarkLost(ctx, j.ID, t.Now()); err != nil {
		return coffer.Wrap("declare a runner lost", err)
	}
	return coffer.Wrap("keep the event", t.Records.AddEvents(ctx, j.ID, []coffer.Event{{
		At: t.Now(), Level: coffer.Warn, Code: "lost",
		Text: "the runner beats no more: it is taken for lost, the instance is free",
	}}))
}

// rescue ends one lost job by looking.
func (t *TaskManager) rescue(ctx context.Context, j coffer.Job) error {
	switch {
	case j.Kind == coffer.JobBackup && j.State == coffer.Building:
		return t.rescueBuilding(ctx, j)
	case j.Kind == coffer.JobBackup && j.State == coffer.Saving:
		return t.rescueSaving(ctx, j)
	case j.Kind == coffer.JobVerify, j.Kind == coffer.JobDelete, j.Kind == coffer.JobImport:
		return t.retake(ctx, j)
	}
	_, err := t.Records.Fail(ctx, j.ID, "", settle.Lost("it stopped beating", t.Now()))
	return err
}

func (t *TaskManager) rescueBuilding(ctx context.Context, j coffer.Job) error {
	done, why, err := t.Settler.Complete(ctx, j)
	if err != nil || done {
		return err
	}
	_, err = t.Records.Fail(ctx, j.ID, "", settle.Lost(why, t.Now()))
	return err
}

// rescueSaving completes a granted backup whose manifest is there; else the
// verdict falls, the tombstone is written, one manifest deadline passes on our
// own clock, and the row is FAILED, whatever a later look finds.
func (t *TaskManager) rescueSaving(ctx context.Context, j coffer.Job) error {
	o := t.watch.jobs[j.ID]
	if !j.Dying {
		done, _, err := t.Settler.Complete(ctx, j)
		if err != nil || done {
			return err
		}
	}
	if o.doomed.IsZero() {
		ok, err := t.Settler.Bury(ctx, j)
		if err != nil || !ok {
			return err
		}
		o.doomed = time.Now()
		return nil
	}
	// A write that began in time is itself bounded by one deadline.
	if time.Since(o.doomed) < 2*t.Timings.Deadline && !t.provenDead(j.Runner) {
		return nil
	}
	_, err := t.Settler.Buried(ctx, j, "its commit was granted and no manifest appeared")
	return err
}

// maxTries bounds how often a verify or an import is taken again: one that ends every task
// manager that takes it must not go round for ever. A delete is, until it is done.
const maxTries = 5

// retake lets anybody take a lost verify, delete or import again, under its own id: each of
// its steps can be repeated, also beside a runner that was stopped and wakes up.
// What waits for it goes on waiting.
func (t *TaskManager) retake(ctx context.Context, j coffer.Job) error {
	why := "it stopped beating"
	switch {
	case j.Cancel:
	case j.Kind != coffer.JobDelete && j.Spec.Tries >= maxTries:
		why = fmt.Sprintf("it was lost %d times", j.Spec.Tries+1)
	default:
		ok, err := t.Records.Requeue(ctx, j.ID, j.Runner, t.Now())
		if err != nil || !ok {
			return err // or it is somebody else's by now
		}
		t.awake()
		return coffer.Wrap("keep the event", t.Records.AddEvents(ctx, j.ID, []coffer.Event{{
			At: t.Now(), Level: coffer.Info, Code: "taken_again", Text: "the job is taken again from its beginning",
		}}))
	}
	_, err := t.Records.Fail(ctx, j.ID, j.Runner, settle.Lost(why, t.Now()))
	return err
}
