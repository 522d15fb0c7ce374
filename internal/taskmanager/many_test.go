package taskmanager

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
)

// another is a further task manager on the same records, store and bus, whose clock
// is off by skew.
func (d *desk) another(id coffer.AgentID, skew time.Duration) *TaskManager {
	// A wall clock that is off, without the monotonic reading that goes on.
	now := func() time.Time { return time.Now().Round(0).Add(skew) }
	t := &TaskManager{
		ID: id, Boot: "1", Records: d.db, Bus: d.tm.Bus, Stores: d, Log: slog.New(slog.DiscardHandler), Now: now,
		Settler: &settle.Settler{Records: d.db, Stores: d, Now: now},
	}
	t.init()
	return t
}

// ears count what is cast, and refuse where nobody is.
type ears struct {
	*local.Bus
	mu   sync.Mutex
	cast map[string]int // topic → how often
	deaf map[string]bool
}

func (e *ears) Cast(_ context.Context, to bus.Target, _ string, _ any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.deaf[to.Topic] {
		return coffer.E(coffer.KindUnavailable, "cast", "nobody serves it")
	}
	e.cast[to.Topic]++
	return nil
}

func (e *ears) all() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.cast {
		n += k
	}
	return n
}

func (d *desk) listen() *ears {
	e := &ears{Bus: local.New(), cast: map[string]int{}, deaf: map[string]bool{}}
	d.tm.Bus = e
	d.tm.init()
	return e
}

// backup asks for a backup of a new instance of the agent; clock is the API's.
func (d *desk) backup(p coffer.ProjectID, agent coffer.AgentID, clock time.Time) coffer.Job {
	d.t.Helper()
	in := coffer.InstanceID(coffer.NewUUID())
	d.must(d.db.CreateInstance(d.t.Context(), coffer.Instance{ID: in, Project: p, Agent: agent, Status: "ACTIVE"}))
	b, err := d.db.CreateBackup(d.t.Context(), records.NewBackup{Project: p, Instance: in, Name: "b", Store: "s", Quota: -1, Now: clock})
	d.must(err)
	return d.job(coffer.JobID(b.ID))
}

func TestOneOfManyRings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		heard := d.listen()
		others := []*TaskManager{d.tm, d.another("t2", 0), d.another("t3", 0)}
		for range 4 {
			d.backup(project, "a", time.Now())
		}
		var all errgroup.Group
		for _, tm := range others {
			all.Go(func() error { return tm.ring(t.Context(), nil) })
		}
		d.must(all.Wait())
		if n := heard.all(); n != 4 {
			t.Errorf("three task managers rang %d times for four jobs", n)
		}
		for range 20 {
			time.Sleep(3 * time.Second)
			for _, tm := range others {
				d.must(tm.ring(t.Context(), nil))
			}
		}
		if n := heard.all(); n > 4*20 {
			t.Errorf("within a minute there were %d rings for four jobs", n)
		}
	})
}

// Clocks that are an hour off, of the API or of a task manager, delay no bell, and
// fail nobody.
func TestJumpedClocksDelayNoBell(t *testing.T) {
	t.Parallel()
	for _, api := range []time.Duration{-time.Hour, 0, time.Hour} {
		for _, skew := range []time.Duration{-time.Hour, time.Hour} {
			t.Run(api.String()+","+skew.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					d := newDesk(t)
					defer d.close()
					heard := d.listen()
					odd := d.another("odd", skew)
					j := d.backup(project, "a", time.Now().Add(api))
					for range 20 {
						d.must(odd.ring(t.Context(), nil)) // it sets the next bell by its own clock
						time.Sleep(time.Second)
					}
					if n := heard.all(); n < 3 || n > 20 {
						t.Errorf("it alone rang %d times", n)
					}
					// Now it dies: the others hear of the job from its row.
					before := heard.all()
					for range 40 {
						d.must(d.tm.ring(t.Context(), nil))
						time.Sleep(time.Second)
					}
					if heard.all() == before {
						t.Error("the next task manager has not rung for 40 s")
					}
					if got := d.job(j.ID); got.State != coffer.New {
						t.Errorf("the job is %s: %s", got.State, got.Error)
					}
				})
			})
		}
	}
}

// A task manager that dies in the middle of a verdict is succeeded by another: the
// tombstone is there, one whole deadline passes on the other's clock, then FAILED.
func TestADyingRescuerIsSucceeded(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"dying", "tombstone"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				defer d.close()
				ctx := t.Context()
				j := d.claimed()
				if ok, why, err := d.db.Grant(ctx, j.ID, runner, strings.Repeat("0", 64), time.Now()); !ok || err != nil {
					t.Fatal(why, err)
				}
				d.must(d.db.MarkLost(ctx, j.ID, time.Now()))
				first := d.another("first", 0)
				if at == "dying" {
					ok, err := d.db.Doom(ctx, j.ID, time.Now())
					if !ok || err != nil {
						t.Fatal(ok, err)
					}
				} else {
					d.must(first.Rescue(ctx))
				}
				next := d.another("next", time.Hour)
				begun := time.Now()
				for d.job(j.ID).State != coffer.Failed {
					if time.Since(begun) > time.Minute {
						t.Fatalf("after a minute the job is %s", d.job(j.ID).State)
					}
					d.must(next.Rescue(ctx))
					time.Sleep(time.Second)
				}
				if time.Since(begun) < coffer.ManifestDeadline {
					t.Errorf("FAILED after %s", time.Since(begun))
				}
				if names := d.names(); len(names) != 1 || names[0] != "dead.json" {
					t.Errorf("in the store are %q", names)
				}
			})
		})
	}
}

// round lets a task manager live for a second of a drained bus.
func (d *desk) round(tm *TaskManager, g *errgroup.Group) {
	d.t.Helper()
	time.Sleep(time.Second)
	_, err := d.db.RaiseCounter(d.t.Context(), "drained")
	d.must(err)
	d.must(tm.Rescue(d.t.Context()))
	d.must(tm.ring(d.t.Context(), g))
	d.must(g.Wait())
	synctest.Wait()
}

// A delete or verify whose task manager was killed is taken again by another, under
// its own id; what waits for it goes on waiting.
func TestLostOwnJobsAreTakenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.listen()
		ctx := t.Context()
		full := d.completed("")
		child := d.completed(full)
		verify, err := d.db.CreateJob(ctx, records.NewJob{Kind: coffer.JobVerify, Project: project, Backup: child, Now: time.Now()})
		d.must(err)
		_, err = d.db.Claim(ctx, verify.ID, "dead/1", time.Now())
		d.must(err)
		next := d.another("next", -time.Hour)
		begun := time.Now()
		var g errgroup.Group
		for d.job(verify.ID).State.Running() && time.Since(begun) < time.Minute {
			d.round(next, &g)
		}
		if got := d.job(verify.ID); got.State != coffer.Completed || got.Spec.Tries != 1 {
			t.Fatalf("the verify is %s after %s: %s", got.State, time.Since(begun), got.Error)
		}
		whole, err := d.db.CreateJob(ctx, records.NewJob{Kind: coffer.JobDelete, Project: project, Backup: full, Spec: coffer.Spec{Force: true}, Now: time.Now()})
		d.must(err)
		jobs, err := d.db.Jobs(ctx, records.JobFilter{All: true, Kind: coffer.JobDelete, Backup: child})
		d.must(err)
		_, err = d.db.Claim(ctx, jobs[0].ID, "dead/1", time.Now())
		d.must(err)
		begun = time.Now()
		for d.job(whole.ID).State.Running() && time.Since(begun) < time.Minute {
			d.round(next, &g)
		}
		for _, id := range []coffer.JobID{whole.ID, jobs[0].ID} {
			if got := d.job(id); got.State != coffer.Completed {
				t.Errorf("delete %s is %s after %s: %s", id, got.State, time.Since(begun), got.Error)
			}
		}
		if left := d.names(); len(left) > 0 {
			t.Errorf("left are %q", left)
		}
	})
}

// A verify that ends every task manager that takes it does not go round for ever; a
// delete is gone on with until it is done.
func TestALostVerifyIsNotTakenForEver(t *testing.T) {
	t.Parallel()
	for kind, want := range map[coffer.JobKind]coffer.State{coffer.JobVerify: coffer.Failed, coffer.JobDelete: coffer.New} {
		d := newDesk(t)
		ctx := t.Context()
		d.tm.Dead = func(coffer.Runner) bool { return true }
		j, err := d.db.CreateJob(ctx, records.NewJob{Kind: kind, Project: project, Backup: d.completed(""), Now: time.Now()})
		d.must(err)
		for n := 0; d.job(j.ID).State == coffer.New && n < 2*maxTries; n++ {
			_, err := d.db.Claim(ctx, j.ID, "dead/1", time.Now())
			d.must(err)
			d.must(d.tm.Rescue(ctx))
		}
		if got := d.job(j.ID); got.State != want {
			t.Errorf("after %d times the %s is %s", got.Spec.Tries, kind, got.State)
		}
		d.close()
	}
}

// After an outage every runner has a fresh lease, also one that had been silent
// before it.
func TestAnOutageGivesAFreshLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		j := d.claimed()
		second := func(drained bool) bool {
			time.Sleep(time.Second)
			if drained {
				_, err := d.db.RaiseCounter(t.Context(), "drained")
				d.must(err)
			}
			d.must(d.tm.Rescue(t.Context()))
			return d.job(j.ID).Lost
		}
		for range 20 {
			second(true)
		}
		for range 10 {
			time.Sleep(time.Minute)
			if second(false) {
				t.Fatal("lost while nobody could know")
			}
		}
		n := 0
		for ; !second(true); n++ {
		}
		if n < 25 || n > 45 {
			t.Errorf("after the outage the runner was lost within %d s", n)
		}
	})
}

// Of many task managers one sweeps; when it is gone another does.
func TestOneOfManySweeps(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	ctx := t.Context()
	all := []*TaskManager{d.another("t1", 0), d.another("t2", 0), d.another("t3", 0)}
	swept := func(tm *TaskManager) bool {
		before, err := d.db.Counter(ctx, sweepsCounter)
		d.must(err)
		d.must(tm.sweepInTurn(ctx))
		after, err := d.db.Counter(ctx, sweepsCounter)
		d.must(err)
		return after > before
	}
	for round := range 4 {
		n := 0
		for _, tm := range all {
			if swept(tm) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("in round %d %d of three swept", round, n)
		}
	}
	heir := false
	for range 2 {
		heir = swept(all[1]) || heir
	}
	if !heir {
		t.Error("nobody sweeps after the first has gone")
	}
}

// What has been over for long leaves the records; what is younger stays.
func TestThePastIsPruned(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	ctx := t.Context()
	diary := func(ended time.Time) coffer.JobID {
		j := d.claimed()
		d.must(d.db.AddEvents(ctx, j.ID, []coffer.Event{{Code: "c", Level: coffer.Info}}))
		if ok, err := d.db.Fail(ctx, j.ID, "", records.Ending{Now: ended}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		return j.ID
	}
	old, young := diary(time.Now().Add(-91*24*time.Hour)), diary(time.Now().Add(-89*24*time.Hour))
	d.tm.init()
	d.must(d.tm.prune(ctx))
	for id, want := range map[coffer.JobID]int{old: 0, young: 1} {
		if list, err := d.db.Events(ctx, project, id, 0, 10); len(list) != want || err != nil {
			t.Errorf("of one %d events are left, want %d: %v", len(list), want, err)
		}
	}
}

// A backup that FAILED before it had a runner has nothing in its store, unless older
// records were put back: what is half made goes, what has a manifest is kept.
func TestSweepsWhatOlderRecordsDoNotKnow(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		d := newDesk(t)
		ctx := t.Context()
		b, err := d.db.CreateBackup(ctx, records.NewBackup{Project: project, Instance: d.in, Name: "b", Store: "s", Quota: -1})
		d.must(err)
		j := d.job(coffer.JobID(b.ID))
		j.Runner = runner
		w, _ := d.finished(j)
		if whole {
			if out, err := w.Commit(ctx); out != archive.Done {
				t.Fatal(out, err)
			}
		} else {
			defer w.Abort(context.WithoutCancel(ctx))
		}
		_, err = d.db.Cancel(ctx, project, j.ID, time.Now())
		d.must(err)
		d.must(d.db.Heartbeat(ctx, coffer.Agent{ID: "a", Boot: "2"}))
		d.tm.Timings.Grace = time.Nanosecond
		var rep SweepReport
		for range 2 {
			rep, err = d.tm.Sweep(ctx)
			d.must(err)
		}
		if left := d.names(); whole != (len(left) > 0) || whole != (len(rep.Kept) == 1) {
			t.Errorf("whole %v: left are %q, said to be kept %q", whole, left, rep.Kept)
		}
		d.close()
	}
}
