package taskmanager

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/plan"
	"github.com/cofferdb/coffer/internal/records"
)

const dueAtOnce = 100

// ringing looks for due intents at an interval and at each doorbell.
func (t *TaskManager) ringing(ctx context.Context, g *errgroup.Group) error {
	tick := time.NewTicker(t.Timings.Ring)
	defer tick.Stop()
	for {
		if err := t.ring(ctx, g); err != nil && ctx.Err() == nil {
			t.Log.Warn("could not ring for due jobs; will try again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-t.wake:
		}
	}
}

func (t *TaskManager) ring(ctx context.Context, g *errgroup.Group) error {
	jobs, err := t.Records.Due(ctx, t.Now(), dueAtOnce)
	if err != nil {
		return coffer.Wrap("list due jobs", err)
	}
	for _, j := range jobs {
		next := min(200*time.Millisecond+t.Now().Sub(j.Created)/4, 30*time.Second)
		mine, err := t.Records.Rang(ctx, j.ID, t.Now(), t.Now().Add(next))
		if err != nil {
			return coffer.Wrap("note that a job was rung for", err)
		}
		if !mine {
			continue // another task manager rings
		}
		err = t.send(ctx, g, j)
		if err == nil && (j.Kind == coffer.JobBackup || j.Kind == coffer.JobRestore) && t.Now().Sub(j.Created) >= t.Timings.MaxQueue {
			err = unclaimed(j)
		}
		if err != nil {
			if err := t.undelivered(ctx, j, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// send rings for one job where it can run.
func (t *TaskManager) send(ctx context.Context, g *errgroup.Group, j coffer.Job) error {
	switch j.Kind {
	case coffer.JobBackup:
		return message.Start.Cast(ctx, t.Bus, message.GuestAgent(j.Instance), message.JobRef{Job: j.ID})
	case coffer.JobRestore:
		return t.sendRestore(ctx, j)
	case coffer.JobVerify:
		t.start(ctx, g, j, t.verify)
	case coffer.JobDelete:
		return t.sendDelete(ctx, g, j)
	}
	return nil
}

func (t *TaskManager) sendRestore(ctx context.Context, j coffer.Job) error {
	var want coffer.AgentID
	if j.Spec.Target != nil {
		want = j.Spec.Target.Agent
	}
	agents, err := t.Records.Agents(ctx)
	if err != nil {
		return coffer.Wrap("list the agents", err)
	}
	all := make([]plan.Candidate, len(agents))
	for i, a := range agents {
		all[i] = plan.Candidate{Agent: a}
	}
	p, err := plan.Place(all, plan.Wish{Agent: want, Files: j.Spec.Target != nil && j.Spec.Target.Dir != ""})
	if err != nil {
		return coffer.Wrap("place the restore", err)
	}
	return message.Start.Cast(ctx, t.Bus, message.HostAgent(p.Agent), message.JobRef{Job: j.ID})
}

// sendDelete waits for a parent's children to go first.
func (t *TaskManager) sendDelete(ctx context.Context, g *errgroup.Group, j coffer.Job) error {
	b, err := t.Records.BackupByID(ctx, j.Backup)
	if err != nil {
		return coffer.Wrap("read the backup", err)
	}
	if b.Refs > 0 {
		return nil // it is not due until they are gone
	}
	t.start(ctx, g, j, t.delete)
	return nil
}

// unclaimed is what can be said of a job that is rung for and never claimed.
func unclaimed(j coffer.Job) error {
	return coffer.E(coffer.KindUnavailable, "ring for the "+string(j.Kind), "who hears it does not claim it")
}

// undelivered keeps an intent due, until it has waited for longer than anybody
// would: then the job FAILS, with the reason.
func (t *TaskManager) undelivered(ctx context.Context, j coffer.Job, cause error) error {
	if t.Now().Sub(j.Created) < t.Timings.MaxQueue {
		if !coffer.IsKind(cause, coffer.KindUnavailable, coffer.KindNotFound) {
			t.Log.Warn("could not send a job; will try again", "job", j.ID, "kind", j.Kind, "err", cause)
		}
		return nil
	}
	_, err := t.Records.Fail(ctx, j.ID, "", records.Ending{
		Kind: coffer.KindUnavailable, Error: "no agent took the job: " + cause.Error(),
		Hint: "start the agent beside the database, then ask again", Now: t.Now(),
	})
	return coffer.Wrap("fail a job that nobody took", err)
}
