package taskmanager

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/plan"
)

const (
	lookAgain = time.Minute      // what a job needs of its place is read anew so often
	deafFor   = 10 * time.Second // a host whose topic nobody serves for so long is passed over
)

// locate finds out where a job is to run, so that caps can be counted, and gives
// the job as its row says it now.
func (t *TaskManager) locate(ctx context.Context, j coffer.Job, b *bell, l *load, now time.Time) (coffer.Job, error) {
	if j.Kind == coffer.JobRestore {
		return t.place(ctx, j, b, l, now)
	}
	if b.looked.IsZero() || now.Sub(b.looked) > lookAgain {
		var err error
		if b.store, err = t.storeOf(ctx, j); err != nil {
			return j, err
		}
		if j.Kind == coffer.JobBackup && t.Caps.Host > 0 {
			in, err := t.Records.InstanceByID(ctx, j.Instance)
			if err != nil {
				return j, coffer.Wrap("read the instance of a job", err)
			}
			b.host = in.Agent
		}
		b.looked = now
	}
	return j, nil
}

// place chooses the host of a restore for which nobody has named one, and another
// when the chosen one has gone before it claimed the job. The row keeps it: of
// several task managers one chooses.
func (t *TaskManager) place(ctx context.Context, j coffer.Job, b *bell, l *load, now time.Time) (coffer.Job, error) {
	if j.Spec.Target == nil {
		return j, coffer.E(coffer.KindInvalid, "place the restore", "it has no target")
	}
	want := *j.Spec.Target
	b.host = want.Agent
	if want.Agent != "" && (!want.Chosen || want.Dir != "") {
		return j, nil
	}
	agents, err := t.Records.Agents(ctx)
	if err != nil {
		return j, coffer.Wrap("list the agents", err)
	}
	silence := t.heard.Listen(agents, now)
	gone := !b.deaf.IsZero() && now.Sub(b.deaf) >= deafFor
	if want.Agent != "" && silence[want.Agent] <= plan.Silent && !gone {
		return j, nil
	}
	chain, err := t.Records.Chain(ctx, j.Project, j.Backup)
	if err != nil {
		return j, coffer.Wrap("read the chain of a restore", err)
	}
	all := make([]plan.Candidate, len(agents))
	for i, a := range agents {
		all[i] = plan.Candidate{Agent: a, Silent: silence[a.ID], Running: l.hosts[a.ID]}
		if gone && a.ID == want.Agent {
			all[i].Lacks = "it does not answer"
		}
	}
	p, err := plan.Place(all, plan.Wish{Need: plan.NeedOf(chain, want.Way), Files: want.Dir != "", Cap: t.Caps.Host})
	if err != nil {
		return j, coffer.Wrap("place the restore", err)
	}
	return t.assign(ctx, j, b, want.Agent, p)
}

func (t *TaskManager) assign(ctx context.Context, j coffer.Job, b *bell, from coffer.AgentID, p plan.Placement) (coffer.Job, error) {
	ok, err := t.Records.Assign(ctx, j.ID, from, p.Agent)
	if err != nil {
		return j, err
	}
	if !ok { // somebody else was quicker
		j, err = t.Records.JobByID(ctx, j.ID)
		if err == nil && j.Spec.Target != nil {
			b.host = j.Spec.Target.Agent
		}
		return j, err
	}
	text := "the restore goes to host " + string(p.Agent) + ": " + p.Why
	if from != "" {
		text = "host " + string(from) + " is gone; " + text
	}
	target := *j.Spec.Target
	target.Agent, target.Chosen = p.Agent, true
	j.Spec.Target, b.host, b.deaf = &target, p.Agent, time.Time{}
	return j, coffer.Wrap("keep the event", t.Records.AddEvents(ctx, j.ID, []coffer.Event{{
		At: t.Now(), Level: coffer.Info, Code: "placed", Text: text,
	}}))
}
