package recordstest

import (
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// testShift: what may be taken again is, once; a restore that nobody has claimed can
// be sent elsewhere; what a job waits for is said by one.
func testShift(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	full := w.completed(w.instance(ours), "")
	b := w.building(w.instance(ours), "")
	w.no(db.Requeue(w.ctx, coffer.JobID(b.ID), alice, w.now())) // a backup never

	v := w.start(coffer.JobVerify, full.ID, coffer.Spec{})
	w.yes(db.Report(w.ctx, records.Report{Job: v.ID, Runner: v.Runner, Seq: 7, Beat: 7, Phase: "verify", Now: w.now()}))
	w.must(db.MarkLost(w.ctx, v.ID, w.now()))
	w.no(db.Requeue(w.ctx, v.ID, "nobody/1", w.now()))
	w.yes(db.Requeue(w.ctx, v.ID, v.Runner, w.now()))
	w.no(db.Requeue(w.ctx, v.ID, v.Runner, w.now()))
	if j := w.job(v.ID); j.State != coffer.New || j.Runner != "" || j.Beat != 0 || j.Seq != 0 || j.Lost || j.Spec.Tries != 1 {
		t.Errorf("the job that is taken again is %+v", j)
	}
	w.counts(full.ID, 0, 1) // it goes on holding what it reads
	_, err := db.Claim(w.ctx, v.ID, "carol/1", w.now())
	w.must(err)
	w.no(db.Report(w.ctx, records.Report{Job: v.ID, Runner: v.Runner, Seq: 9, Beat: 9, Now: w.now()})) // the old one wakes up
	w.yes(db.Report(w.ctx, records.Report{Job: v.ID, Runner: "carol/1", Seq: 1, Beat: 1, Now: w.now()}))
	_, err = db.Cancel(w.ctx, ours, v.ID, w.now())
	w.must(err)
	w.no(db.Requeue(w.ctx, v.ID, "carol/1", w.now())) // nobody wants it any more

	r, err := w.newJob(coffer.JobRestore, full.ID, coffer.Spec{Target: &coffer.Target{Name: "n"}})
	w.must(err)
	w.yes(db.SetWaiting(w.ctx, r.ID, "", "waits: for a test"))
	w.no(db.SetWaiting(w.ctx, r.ID, "", "waits: for a test"))
	w.yes(db.Assign(w.ctx, r.ID, "", "h1"))
	w.no(db.Assign(w.ctx, r.ID, "", "h2"))
	w.yes(db.Assign(w.ctx, r.ID, "h1", "h2"))
	in, err := db.InstanceByID(w.ctx, r.Instance)
	w.must(err)
	if j := w.job(r.ID); j.Spec.Target.Agent != "h2" || !j.Spec.Target.Chosen || in.Agent != "h2" || j.Phase != "waits: for a test" {
		t.Errorf("the restore is %+v on %s", j, in.Agent)
	}
	_, err = db.Claim(w.ctx, r.ID, "h2/1", w.now())
	w.must(err)
	w.no(db.Assign(w.ctx, r.ID, "h2", "h3"))
	w.no(db.SetWaiting(w.ctx, r.ID, "waits: for a test", ""))
}

// testNewestByAnyClock: an increment stands on the backup that came to its end last,
// also when the one before it ended by a clock that was an hour ahead.
func testNewestByAnyClock(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	w.at = w.at.Add(time.Hour)
	w.completed(in, "")
	w.at = w.at.Add(-2 * time.Hour)
	for range 3 {
		last := w.completed(in, "")
		b, err := db.CreateBackup(w.ctx, records.NewBackup{
			Project: ours, Instance: in, Name: "b", Store: "main", Incremental: true, Quota: -1, Now: w.now(),
		})
		w.must(err)
		if b.Parent != last.ID {
			t.Errorf("the increment stands on %s, not on %s", b.Parent, last.ID)
		}
		w.yes(db.Fail(w.ctx, coffer.JobID(b.ID), "", records.Ending{Now: w.now()}))
	}
}
