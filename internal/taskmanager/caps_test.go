package taskmanager

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
)

// completed makes a COMPLETED backup that stands on parent ("" is none).
func (d *desk) completed(parent coffer.BackupID) coffer.BackupID {
	d.t.Helper()
	ctx := d.t.Context()
	b, err := d.db.CreateBackup(ctx, records.NewBackup{Project: project, Instance: d.in, Name: "b", Store: "s", Parent: parent, Quota: -1})
	d.must(err)
	j, err := d.db.Claim(ctx, coffer.JobID(b.ID), runner, time.Now())
	d.must(err)
	m := archive.Manifest{Runner: j.Runner, Root: b.Root, Depth: b.Depth}
	if parent != "" {
		p, err := d.db.BackupByID(ctx, parent)
		d.must(err)
		m.Parent = &archive.Parent{ID: parent, ManifestSHA256: p.Manifest}
	}
	w := d.written(j)
	s, err := w.Finish(ctx, m)
	d.must(err)
	if ok, why, err := d.db.Grant(ctx, j.ID, runner, s.SHA256, time.Now()); !ok || err != nil {
		d.t.Fatal(why, err)
	}
	if out, err := w.Commit(ctx); out != archive.Done {
		d.t.Fatal(out, err)
	}
	if done, why, err := d.tm.Settler.Complete(ctx, d.job(j.ID)); !done || err != nil {
		d.t.Fatal(why, err)
	}
	return b.ID
}

func (d *desk) waits(id coffer.JobID) (texts []string) {
	d.t.Helper()
	list, err := d.db.Events(d.t.Context(), d.job(id).Project, id, 0, 100)
	d.must(err)
	for _, e := range list {
		if e.Code == "waits" {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// Excess jobs wait in their turn and say for what; however long that takes, none of
// them FAILS for it.
func TestCapsHoldBack(t *testing.T) {
	t.Parallel()
	for what, caps := range map[string]Caps{
		"on host a": {Host: 2}, "use store s": {Store: 2}, "2 jobs run": {Fleet: 2},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				defer d.close()
				heard := d.listen()
				ctx := t.Context()
				d.tm.Caps, d.tm.Timings.MaxQueue = caps, time.Hour
				var jobs []coffer.Job
				for i := range 6 {
					jobs = append(jobs, d.backup(coffer.ProjectID(fmt.Sprint("p", i/4)), "a", time.Now().Add(time.Duration(i)*time.Millisecond)))
				}
				time.Sleep(time.Second)
				rang := func(i int) bool {
					heard.mu.Lock()
					defer heard.mu.Unlock()
					return heard.cast[message.GuestAgent(jobs[i].Instance).Topic] > 0
				}
				d.must(d.tm.ring(ctx, nil))
				if !rang(0) || !rang(4) || heard.all() != 2 { // the oldest of each project
					t.Fatalf("rang for %v", heard.cast)
				}
				for _, i := range []int{0, 4} {
					_, err := d.db.Claim(ctx, jobs[i].ID, runner, time.Now())
					d.must(err)
				}
				for n := time.Duration(0); n < 2*d.tm.Timings.MaxQueue; n += 10 * time.Minute {
					d.must(d.tm.ring(ctx, nil))
					time.Sleep(10 * time.Minute)
				}
				got := d.job(jobs[1].ID)
				if heard.all() != 2 || got.State != coffer.New || !strings.HasPrefix(got.Phase, "waits: 2 of 2 jobs") || !strings.Contains(got.Phase, what) {
					t.Errorf("after two hours %d rings, the next is %s, %q", heard.all(), got.State, got.Phase)
				}
				if said := d.waits(jobs[1].ID); len(said) != 1 {
					t.Errorf("it says %q", said)
				}
				for _, end := range []struct{ ends, next int }{{0, 1}, {1, 2}, {4, 5}} {
					if ok, err := d.db.Fail(ctx, jobs[end.ends].ID, "", records.Ending{}); !ok || err != nil {
						t.Fatal(ok, err)
					}
					time.Sleep(heldFor)
					d.must(d.tm.ring(ctx, nil))
					if !rang(end.next) || d.job(jobs[end.next].ID).Phase != "" {
						t.Errorf("job %d has ended and %d is not rung for: %v", end.ends, end.next, heard.cast)
					}
					_, err := d.db.Claim(ctx, jobs[end.next].ID, runner, time.Now())
					d.must(err)
				}
			})
		})
	}
}

// A bell that was heard has its place until it is claimed, and gives it back at once
// when its job has ended meanwhile.
func TestAHeardBellHoldsItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		heard := d.listen()
		ctx := t.Context()
		d.tm.Caps = Caps{Host: 1}
		first := d.backup(project, "a", time.Now())
		time.Sleep(time.Millisecond)
		d.backup(project, "a", time.Now())
		d.must(d.tm.ring(ctx, nil))
		d.must(d.tm.ring(ctx, nil))
		if n := heard.all(); n != 1 {
			t.Errorf("%d are rung for before the first is claimed", n)
		}
		_, err := d.db.Claim(ctx, first.ID, runner, time.Now())
		d.must(err)
		if ok, err := d.db.Fail(ctx, first.ID, "", records.Ending{}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		d.must(d.tm.ring(ctx, nil))
		if n := heard.all(); n != 2 {
			t.Errorf("%d are rung for after the first has ended", n)
		}
	})
}

// hosts lets the agents beat once more.
func (d *desk) hosts(beat uint64, free map[coffer.AgentID]int64) {
	d.t.Helper()
	for id, n := range free {
		d.must(d.db.Heartbeat(d.t.Context(), coffer.Agent{ID: id, Boot: "b", Host: true, Beat: beat, Free: n, Seen: time.Now()}))
	}
}

// A restore goes to the host with the most room, which its row keeps; when that host
// is gone before it has claimed the job, to another, unless somebody named it.
func TestARestoreIsPlacedAnew(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{false, true} {
		t.Run(fmt.Sprint("named ", named), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				defer d.close()
				heard := d.listen()
				ctx := t.Context()
				d.hosts(1, map[coffer.AgentID]int64{"h1": 10 << 30, "h2": 20 << 30, "h3": 1})
				target := coffer.Target{Name: "n"}
				if named {
					target.Agent = "h2"
				}
				j, err := d.db.CreateJob(ctx, records.NewJob{
					Kind: coffer.JobRestore, Project: project, Backup: d.completed(""), Spec: coffer.Spec{Target: &target}, Now: time.Now(),
				})
				d.must(err)
				d.must(d.tm.ring(ctx, nil))
				if got := d.job(j.ID).Spec.Target; got.Agent != "h2" || got.Chosen == named || heard.cast["hostagent.h2"] != 1 {
					t.Fatalf("it goes to %+v, rung for %v", got, heard.cast)
				}
				heard.mu.Lock()
				heard.deaf["hostagent.h2"] = true
				heard.mu.Unlock()
				for beat := range uint64(40) {
					d.hosts(beat+2, map[coffer.AgentID]int64{"h1": 10 << 30, "h3": 1})
					d.must(d.tm.ring(ctx, nil))
					time.Sleep(time.Second)
				}
				want := coffer.AgentID("h1")
				if named {
					want = "h2"
				}
				in, err := d.db.InstanceByID(ctx, j.Instance)
				d.must(err)
				if got := d.job(j.ID); got.Spec.Target.Agent != want || in.Agent != want || got.State != coffer.New {
					t.Errorf("it is %s and goes to %+v, its server to %s", got.State, got.Spec.Target, in.Agent)
				}
			})
		})
	}
}
