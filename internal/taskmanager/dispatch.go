package taskmanager

import (
	"context"
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
)

const (
	ringsAtOnce = 8                // bells that are rung beside each other
	castFor     = 10 * time.Second // a bus that takes longer is away
	ownAtOnce   = 32               // jobs that run in this process
	standBack   = 5 * time.Second  // a waiting job of a full page makes room for the next
)

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

// ring makes one round of the due jobs: who may run now is rung for, each by the
// one task manager whose change of the row succeeds.
func (t *TaskManager) ring(ctx context.Context, g *errgroup.Group) error {
	t.belling.Lock()
	defer t.belling.Unlock()
	jobs, err := t.Records.Due(ctx, t.Now(), records.MaxPage)
	if err != nil {
		return coffer.Wrap("list due jobs", err)
	}
	now := time.Now()
	t.forgetBells(now)
	if len(jobs) == 0 {
		return nil
	}
	l, err := t.weigh(ctx, now)
	if err != nil {
		return err
	}
	var rings errgroup.Group
	rings.SetLimit(ringsAtOnce)
	var may []coffer.Job
	for _, j := range inTurn(jobs, l.projects, t.served) {
		j, ok, terr := t.turn(ctx, j, l, now, len(jobs) == records.MaxPage)
		if ok {
			may = append(may, j)
		}
		if err = terr; err != nil {
			break
		}
	}
	for _, j := range may {
		b := t.bells[j.ID]
		rings.Go(func() error { return t.ringFor(ctx, g, j, b, now) })
	}
	return errors.Join(err, rings.Wait())
}

// turn decides whether a due job may be rung for now, and counts it as if it were: who
// of several task managers rings is found out beside the other jobs' bells.
func (t *TaskManager) turn(ctx context.Context, j coffer.Job, l *load, now time.Time, crowded bool) (coffer.Job, bool, error) {
	b := t.bellOf(j, now)
	if now.Before(b.again) || !beside(j.Kind) && t.busy() {
		return j, false, nil
	}
	j, lost := t.locate(ctx, j, b, l, now)
	why := l.full(t.Caps, j, b)
	if why != "" {
		if err := t.recheck(ctx, l, now); err != nil {
			return j, false, err
		}
		why = l.full(t.Caps, j, b)
	}
	if why != "" && lost == nil {
		b.since = now // to wait for a cap is nobody's fault
		return j, false, t.waits(ctx, j, why, crowded)
	}
	if lost != nil {
		_, mine, err := t.mine(ctx, j, b, b.gap(now), now)
		if err != nil || !mine {
			return j, false, err
		}
		return j, false, t.undelivered(ctx, j, b, now, lost)
	}
	t.served[j.Project], b.told, b.before = now, now, b.told
	l.add(j.Kind, j.Project, b.host, b.store)
	return j, true, nil
}

// mine takes a job's bell for a while, unless another task manager has; due is what
// the row now says.
func (t *TaskManager) mine(ctx context.Context, j coffer.Job, b *bell, gap time.Duration, now time.Time) (due time.Time, mine bool, err error) {
	at := t.Now()
	due = at.Add(gap)
	if mine, err = t.Records.Rang(ctx, j.ID, at, due); err != nil || !mine {
		return due, false, coffer.Wrap("note that a job was rung for", err)
	}
	b.again = now.Add(gap)
	return due, true, nil
}

// sooner lets a bell that nobody heard be rung again before it would if it was.
func (t *TaskManager) sooner(ctx context.Context, j coffer.Job, b *bell, due, now time.Time) error {
	gap := b.gap(now)
	if gap >= heardGap {
		return nil
	}
	b.again = now.Add(gap)
	_, err := t.Records.Rang(ctx, j.ID, due, due.Add(gap-heardGap))
	return coffer.Wrap("note that nobody heard a bell", err)
}

// waits says once, in the row and in its diary, what a job waits for. Of a page that
// is full it makes room for those behind it.
func (t *TaskManager) waits(ctx context.Context, j coffer.Job, why string, crowded bool) error {
	if crowded {
		at := t.Now()
		if _, err := t.Records.Rang(ctx, j.ID, at, at.Add(standBack)); err != nil {
			return coffer.Wrap("let others go before", err)
		}
	}
	if j.Phase == why {
		return nil
	}
	ok, err := t.Records.SetWaiting(ctx, j.ID, j.Phase, why)
	if err != nil || !ok || j.Phase != "" {
		return err
	}
	return coffer.Wrap("keep the event", t.Records.AddEvents(ctx, j.ID, []coffer.Event{{
		At: t.Now(), Level: coffer.Info, Code: "waits", Text: why,
	}}))
}

// ringFor rings for one job where it can run, if it is this task manager that does.
func (t *TaskManager) ringFor(ctx context.Context, g *errgroup.Group, j coffer.Job, b *bell, now time.Time) error {
	due, mine, err := t.mine(ctx, j, b, max(b.gap(now), heardGap), now)
	if err != nil || !mine {
		b.told = b.before
		return err
	}
	if strings.HasPrefix(j.Phase, "waits") {
		if _, err := t.Records.SetWaiting(ctx, j.ID, j.Phase, ""); err != nil {
			return err
		}
	}
	err = t.send(ctx, g, j)
	switch {
	case err == nil:
		b.deaf = time.Time{}
	case b.deaf.IsZero():
		b.told, b.deaf = time.Time{}, now
	default:
		b.told = time.Time{}
	}
	if err == nil && beside(j.Kind) && now.Sub(b.since) >= t.Timings.MaxQueue {
		err = coffer.E(coffer.KindUnavailable, "ring for the "+string(j.Kind), "who hears it does not claim it")
	}
	if err == nil {
		return nil
	}
	return errors.Join(t.undelivered(ctx, j, b, now, err), t.sooner(ctx, j, b, due, now))
}

func (t *TaskManager) send(ctx context.Context, g *errgroup.Group, j coffer.Job) error {
	to := message.GuestAgent(j.Instance)
	switch j.Kind {
	case coffer.JobVerify:
		t.start(ctx, g, j, t.verify)
		return nil
	case coffer.JobDelete:
		t.start(ctx, g, j, t.delete)
		return nil
	case coffer.JobImport:
		t.start(ctx, g, j, t.bringIn)
		return nil
	case coffer.JobRestore:
		to = message.HostAgent(j.Spec.Target.Agent)
	}
	ctx, stop := context.WithTimeout(ctx, castFor)
	defer stop()
	return message.Start.Cast(ctx, t.Bus, to, message.JobRef{Job: j.ID})
}

// undelivered keeps an intent due, until it has waited for longer than anybody
// would, by this process's own clock: then the job FAILS, with the reason.
func (t *TaskManager) undelivered(ctx context.Context, j coffer.Job, b *bell, now time.Time, cause error) error {
	if now.Sub(b.since) < t.Timings.MaxQueue {
		if !coffer.IsKind(cause, coffer.KindUnavailable, coffer.KindNotFound) && ctx.Err() == nil {
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
