package recordstest

import (
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// testPrune ages a world in which some things are over and some are not.
func testPrune(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	chain := w.chain(in, 1)
	gone, unswept, reading := w.completed(in, ""), w.building(in, ""), w.completed(w.instance(ours), "")
	w.yes(db.Fail(w.ctx, coffer.JobID(unswept.ID), "", records.Ending{Now: w.now()}))
	verify := w.start(coffer.JobVerify, reading.ID, coffer.Spec{})
	for _, b := range []coffer.Backup{chain[1], gone, unswept} {
		w.must(db.AddEvents(w.ctx, coffer.JobID(b.ID), []coffer.Event{{Code: "a"}, {Code: "b"}}))
	}
	w.must(db.AddEvents(w.ctx, verify.ID, []coffer.Event{{Code: "running"}}))
	for _, b := range []coffer.Backup{gone, unswept} {
		w.start(coffer.JobDelete, b.ID, coffer.Spec{})
		w.must(db.Deleted(w.ctx, b.ID, w.now()))
	}
	n := records.NewBackup{Project: ours, Instance: in, Name: "n", Store: "main", Key: "k", Quota: -1, Now: w.now()}
	first, err := db.CreateBackup(w.ctx, n)
	w.must(err)
	begin := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	prune := func(before time.Time) int {
		t.Helper()
		n, err := db.Prune(w.ctx, before)
		w.must(err)
		return n
	}
	if n := prune(begin); n != 0 {
		t.Errorf("%d rows went that are not over yet", n)
	}
	again, err := db.CreateBackup(w.ctx, n)
	w.must(err)
	if again.ID != first.ID {
		t.Error("a key was forgotten too early")
	}
	w.must(db.AddEvents(w.ctx, coffer.JobID(first.ID), []coffer.Event{{Code: "running"}}))

	late := w.now()
	// One key, six events, of the swept backup its row and its two jobs.
	if n := prune(late); n != 1+6+3 {
		t.Errorf("%d rows went, want 10", n)
	}
	if n := prune(late); n != 0 {
		t.Errorf("again %d rows went", n)
	}
	_, err = db.BackupByID(w.ctx, gone.ID)
	w.want(coffer.KindNotFound, err)
	_, err = db.JobByID(w.ctx, coffer.JobID(gone.ID))
	w.want(coffer.KindNotFound, err)
	if !w.backup(unswept.ID).Deleted || w.job(coffer.JobID(unswept.ID)).State != coffer.Failed {
		t.Error("a backup that may have to be swept is not there as it was")
	}
	left, err := db.Chain(w.ctx, ours, chain[1].ID)
	w.must(err)
	w.must(coffer.CheckChain(left))
	w.counts(chain[0].ID, 1, 0)
	w.counts(reading.ID, 0, 1)
	for id, want := range map[coffer.JobID]int{coffer.JobID(chain[1].ID): 0, verify.ID: 1, coffer.JobID(first.ID): 1} {
		ev, err := db.Events(w.ctx, ours, id, 0, 10)
		w.must(err)
		if len(ev) != want {
			t.Errorf("job %s has %d events left, want %d", id, len(ev), want)
		}
	}
	w.must(db.Swept(w.ctx, unswept.ID))
	if n := prune(late); n != 3 {
		t.Errorf("after the sweep %d rows went, want 3", n)
	}
	w.yes(db.Finish(w.ctx, verify.ID, w.now()))
	w.counts(reading.ID, 0, 0)
}

// testPruneMuch removes more than one batch holds.
func testPruneMuch(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	for range 25 {
		b := w.create(w.instance(ours), "")
		w.must(db.AddEvents(w.ctx, coffer.JobID(b.ID), []coffer.Event{{Code: "a"}}))
		_, err := db.Cancel(w.ctx, ours, coffer.JobID(b.ID), w.now())
		w.must(err)
	}
	n, err := db.Prune(w.ctx, w.now())
	w.must(err)
	if n != 25 {
		t.Errorf("%d events went, want 25", n)
	}
}
