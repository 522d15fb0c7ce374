package recordstest

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// testPairIdempotency sends one request twice at once: one backup, one answer.
func testPairIdempotency(t *testing.T, p *pair) {
	for i := range p.rounds(60) {
		project := coffer.ProjectID(coffer.NewNonce())
		n := records.NewBackup{Project: project, Instance: p.instance(project), Name: "n", Store: "main", Key: "k", Quota: 1, Now: p.now()}
		var got [2]coffer.Backup
		var errs [2]error
		p.both(i,
			func(db *records.DB) { got[0], errs[0] = db.CreateBackup(p.ctx, n) },
			func(db *records.DB) { got[1], errs[1] = db.CreateBackup(p.ctx, n) })
		if errs[0] != nil || errs[1] != nil || got[0].ID != got[1].ID {
			t.Fatalf("round %d: %s (%v) and %s (%v), want one backup", i, got[0].ID, errs[0], got[1].ID, errs[1])
		}
		jobs, err := p.db.Jobs(p.ctx, records.JobFilter{Project: project})
		p.must(err)
		if len(jobs) != 1 {
			t.Fatalf("round %d: %d jobs", i, len(jobs))
		}
	}
}

// testPairDeletes asks for one delete twice at once, and for its end.
func testPairDeletes(t *testing.T, p *pair) {
	in := p.instance(ours)
	for i := range p.rounds(40) {
		b := p.completed(in, "")
		n := records.NewJob{Kind: coffer.JobDelete, Project: ours, Backup: b.ID, Now: p.now()}
		var got [2]coffer.Job
		var errs [2]error
		p.both(i,
			func(db *records.DB) { got[0], errs[0] = db.CreateJob(p.ctx, n) },
			func(db *records.DB) { got[1], errs[1] = db.CreateJob(p.ctx, n) })
		if errs[0] != nil || errs[1] != nil || got[0].ID != got[1].ID {
			t.Fatalf("round %d: %s (%v) and %s (%v), want one job", i, got[0].ID, errs[0], got[1].ID, errs[1])
		}
		at := p.now()
		p.both(i,
			func(db *records.DB) { errs[0] = db.Deleted(p.ctx, b.ID, at) },
			func(db *records.DB) { errs[1] = db.Deleted(p.ctx, b.ID, at) })
		if errs[0] != nil || errs[1] != nil {
			t.Fatalf("round %d: the same end was answered %v and %v", i, errs[0], errs[1])
		}
	}
	p.must(p.quotaFree(ours))
}

// quotaFree fails if the project still counts backups.
func (p *pair) quotaFree(project coffer.ProjectID) error {
	_, err := p.db.CreateBackup(p.ctx, records.NewBackup{
		Project: project, Instance: p.instance(project), Name: "n", Store: "main", Quota: 1, Now: p.now(),
	})
	return err
}

// testPairCancel cancels a job while it is claimed: it ends before it began, or is
// flagged; it is never refused and never both.
func testPairCancel(t *testing.T, p *pair) {
	in := p.instance(ours)
	for i := range p.rounds(60) {
		b := p.create(in, "")
		id := coffer.JobID(b.ID)
		var cancelled coffer.Job
		var cerr, berr error
		p.both(i,
			func(db *records.DB) { cancelled, cerr = db.Cancel(p.ctx, ours, id, p.at) },
			func(db *records.DB) { _, berr = db.Claim(p.ctx, id, alice, p.at) })
		p.must(cerr)
		want := coffer.Failed
		if berr == nil {
			want = coffer.Building
		} else {
			p.want(coffer.KindConflict, berr)
		}
		if j := p.job(id); cancelled.State != want || j.State != want || !j.Cancel {
			t.Fatalf("round %d: cancel answered %s, claim said %v, the job is %s, cancel %v", i, cancelled.State, berr, j.State, j.Cancel)
		}
		p.state(b.ID, want)
		p.yes(p.db.Fail(p.ctx, id, "", records.Ending{Now: p.now()}))
	}
}

// testPairVerdict lets the verdicts COMPLETED and FAILED fall at once: one does.
func testPairVerdict(t *testing.T, p *pair) {
	in := p.instance(ours)
	for i := range p.rounds(50) {
		b := p.saving(in, "")
		id := coffer.JobID(b.ID)
		var done, doomed bool
		var cerr, derr error
		p.both(i,
			func(db *records.DB) {
				done, cerr = db.Complete(p.ctx, id, records.Completion{Manifest: sum, Now: p.at})
			},
			func(db *records.DB) { doomed, derr = db.Doom(p.ctx, id, p.at) })
		p.must(cerr)
		p.must(derr)
		if done == doomed {
			t.Fatalf("round %d: completed %v and doomed %v, want exactly one", i, done, doomed)
		}
		if doomed {
			p.yes(p.db.FailDoomed(p.ctx, id, records.Ending{Now: p.now()}))
		}
		p.state(b.ID, map[bool]coffer.State{true: coffer.Completed, false: coffer.Failed}[done])
	}
}

// testPairBell: of those that found a job due, one rings.
func testPairBell(t *testing.T, p *pair) {
	in := p.instance(ours)
	b := p.create(in, "")
	at := p.now()
	for round := range p.rounds(20) {
		var mine atomic.Int32
		var fs []func()
		for i := range 6 {
			fs = append(fs, func() {
				ok, err := p.handle(i).Rang(p.ctx, coffer.JobID(b.ID), at, at.Add(time.Minute))
				if err != nil {
					t.Error(err)
				}
				if ok {
					mine.Add(1)
				}
			})
		}
		together(fs...)
		if mine.Load() != 1 {
			t.Fatalf("round %d: %d rang", round, mine.Load())
		}
		at = at.Add(time.Minute)
	}
	p.no(p.db.Rang(p.ctx, "none", at, at))
}

// testPairBells is testPairBell for several jobs at once, named in any order: each is
// one caller's, and none waits for another for ever.
func testPairBells(t *testing.T, p *pair) {
	const jobs = 8
	bells := make([]records.Bell, jobs)
	for i := range bells {
		bells[i].Job = coffer.JobID(p.create(p.instance(ours), "").ID)
	}
	at := p.now()
	for round := range p.rounds(20) {
		var mine [jobs]atomic.Int32
		var fs []func()
		for i := range 6 {
			fs = append(fs, func() {
				mixed := slices.Clone(bells)
				for n := range mixed {
					mixed[n] = bells[(n*(2*i+1)+i)%jobs] // every order has each once
					mixed[n].Next = at.Add(time.Minute)
				}
				got, err := p.handle(i).RangAll(p.ctx, at, mixed)
				if err != nil {
					t.Error(err)
				}
				for n, ok := range got {
					if ok {
						mine[slices.Index(bells, records.Bell{Job: mixed[n].Job})].Add(1)
					}
				}
			})
		}
		together(fs...)
		for i := range mine {
			if n := mine[i].Load(); n != 1 {
				t.Fatalf("round %d: %d rang for job %d", round, n, i)
			}
		}
		at = at.Add(time.Minute)
	}
	got, err := p.db.RangAll(p.ctx, at, []records.Bell{{Job: "none", Next: at}, {Job: bells[0].Job, Next: at.Add(time.Minute)}})
	if p.must(err); !slices.Equal(got, []bool{false, true}) {
		t.Errorf("of a job that is not there and one that is, %v are rung for", got)
	}
}

// testPairEvents writes one diary from two sides: no number is lost or given twice.
func testPairEvents(t *testing.T, p *pair) {
	id := coffer.JobID(p.create(p.instance(ours), "").ID)
	var fs []func()
	for i := range 20 {
		fs = append(fs, func() {
			if err := p.handle(i).AddEvents(p.ctx, id, []coffer.Event{{Code: "a"}, {Code: "b"}, {Code: "c"}}); err != nil {
				t.Error(err)
			}
		})
	}
	together(fs...)
	ev, err := p.db.Events(p.ctx, ours, id, 0, 100)
	p.must(err)
	for i, e := range ev {
		if e.ID != int64(i+1) || e.Code != string("abc"[i%3]) {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
	if len(ev) != 60 {
		t.Errorf("%d events, want 60", len(ev))
	}
}

// testPairFirstRows makes rows that are there or not there yet, at once.
func testPairFirstRows(t *testing.T, p *pair) {
	if p.db.Installation() != p.other.Installation() {
		t.Errorf("one set of records has the names %s and %s", p.db.Installation(), p.other.Installation())
	}
	var fs []func()
	for i := range 16 {
		db := p.handle(i)
		fs = append(fs, func() {
			if _, err := db.RaiseCounter(p.ctx, "c"); err != nil {
				t.Error(err)
			}
		}, func() {
			if err := db.Heartbeat(p.ctx, coffer.Agent{ID: "a", Seen: p.at}); err != nil {
				t.Error(err)
			}
		}, func() {
			if err := db.PutStrategy(p.ctx, coffer.Strategy{Project: ours, Container: "c"}); err != nil {
				t.Error(err)
			}
		}, func() {
			if err := db.PutKey(p.ctx, "k", 1, []byte("w")); err != nil {
				t.Error(err)
			}
		})
	}
	together(fs...)
	if n, err := p.db.Counter(p.ctx, "c"); err != nil || n != 16 {
		t.Errorf("the counter is %d (%v), want 16", n, err)
	}
}
