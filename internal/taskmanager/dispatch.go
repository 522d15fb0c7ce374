package taskmanager

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/retry"
)

const (
	roundGap    = 20 * time.Millisecond // from one round's begin to the next, at least
	roundsOf    = 64                    // bells that are taken together
	ringsAtOnce = 8                     // bells that are rung beside each other
	castFor     = 10 * time.Second      // a bus that takes longer is away
	ownAtOnce   = 32                    // jobs that run in this process
	standBack   = 5 * time.Second       // a waiting job of a full page makes room for the next
)

// ringing looks for due intents at an interval and at each doorbell.
func (t *TaskManager) ringing(ctx context.Context, g *errgroup.Group) error {
	tick := time.NewTicker(t.Timings.Ring)
	defer tick.Stop()
	for {
		began := time.Now()
		select {
		case <-t.wake: // this round is for that bell, too
		default:
		}
		if err := t.ring(ctx, g); err != nil && ctx.Err() == nil {
			t.Log.Warn("could not ring for due jobs; will try again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-t.wake:
		}
		// Where bells come faster than rounds are made, a round takes several.
		if retry.Sleep(ctx, min(roundGap, t.Timings.Ring/5)-time.Since(began)) != nil {
			return nil
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
	l, err := t.weigh(ctx, jobs, now)
	if err != nil {
		return err
	}
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
	for some := range slices.Chunk(may, roundsOf) {
		err = errors.Join(err, t.ringForAll(ctx, g, some, now))
	}
	return err
}

// ringForAll takes the bells of some jobs together, and rings for those that no other
// task manager has, beside each other.
func (t *TaskManager) ringForAll(ctx context.Context, g *errgroup.Group, jobs []coffer.Job, now time.Time) error {
	at := t.Now()
	taken := make([]records.Bell, len(jobs))
	for i, j := range jobs {
		taken[i] = records.Bell{Job: j.ID, Next: at.Add(t.bells[j.ID].heardGap(now))}
	}
	mine, err := t.Records.RangAll(ctx, at, taken)
	if err != nil {
		mine = make([]bool, len(jobs))
		err = coffer.Wrap("note which jobs were rung for", err)
	}
	var rings errgroup.Group
	rings.SetLimit(ringsAtOnce)
	for i, j := range jobs {
		b := t.bells[j.ID]
		if !mine[i] {
			b.told = b.before
			continue
		}
		b.again = now.Add(b.heardGap(now))
		rings.Go(func() error { return t.ringFor(ctx, g, j, b, taken[i].Next, now) })
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
		mine, err := t.mine(ctx, j, b, now)
		if err != nil || !mine {
			return j, false, err
		}
		return j, false, t.undelivered(ctx, j, b, now, lost)
	}
	t.served[j.Project], b.told, b.before = now, now, b.told
	l.add(j.Kind, j.Project, b.host, b.store)
	return j, true, nil
}

// mine takes a job's bell for a while, unless another task manager has.
func (t *TaskManager) mine(ctx context.Context, j coffer.Job, b *bell, now time.Time) (bool, error) {
	at, gap := t.Now(), b.gap(now)
	mine, err := t.Records.Rang(ctx, j.ID, at, at.Add(gap))
	if err != nil || !mine {
		return false, coffer.Wrap("note that a job was rung for", err)
	}
	b.again = now.Add(gap)
	return true, nil
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

// ringFor rings for one job where it can run; its row says that this is done again
// when due.
func (t *TaskManager) ringFor(ctx context.Context, g *errgroup.Group, j coffer.Job, b *bell, due, now time.Time) error {
	if strings.HasPrefix(j.Phase, "waits") {
		if _, err := t.Records.SetWaiting(ctx, j.ID, j.Phase, ""); err != nil {
			return err
		}
	}
	err := t.send(ctx, g, j)
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
