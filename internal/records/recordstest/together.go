package recordstest

import (
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// testWork reads a job with its rows.
func testWork(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	b := w.building(in, "")
	got, err := db.Work(w.ctx, coffer.JobID(b.ID))
	w.must(err)
	if got.Job.Backup != b.ID || got.Job.Runner != alice || got.Instance.ID != in || got.Backup.ID != b.ID || got.Backup.State != coffer.Building {
		t.Errorf("the job's rows are %+v", got)
	}
	_, err = db.Work(w.ctx, "none")
	w.want(coffer.KindNotFound, err)
	done := w.completed(w.instance(ours), "")
	j, err := w.newJob(coffer.JobVerify, done.ID, coffer.Spec{})
	w.must(err)
	got, err = db.Work(w.ctx, j.ID)
	w.must(err)
	if got.Job.Kind != coffer.JobVerify || got.Backup.ID != done.ID || got.Instance.ID != done.Instance {
		t.Errorf("a verify's rows are %+v", got)
	}
}

// testRefusedMoves: a move that is refused changes no row beside the job's either.
func testRefusedMoves(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	b := w.create(w.instance(ours), "")
	id := coffer.JobID(b.ID)
	due := func() int {
		jobs, err := db.Due(w.ctx, w.now(), 10)
		w.must(err)
		return len(jobs)
	}
	bells := due()
	_, err := db.Claim(w.ctx, id, alice, w.now())
	w.must(err)
	if due() != bells-1 {
		t.Error("a claimed job has its bell")
	}
	was := w.backup(b.ID)
	_, err = db.Claim(w.ctx, id, bob, w.now())
	w.want(coffer.KindConflict, err)
	for _, m := range []struct {
		runner coffer.Runner
		before func()
	}{
		{bob, func() {}},
		{alice, func() { _, err := db.Cancel(w.ctx, ours, id, w.now()); w.must(err) }},
	} {
		m.before()
		granted, why, err := db.Grant(w.ctx, id, m.runner, sum, w.now())
		if granted || why == "" || err != nil {
			t.Errorf("a grant to %s: %v, %q, %v", m.runner, granted, why, err)
		}
	}
	w.no(db.Complete(w.ctx, coffer.JobID(w.doomed().ID), records.Completion{Manifest: sum, Now: w.now(), Events: []coffer.Event{{Code: "no"}}}))
	if got := w.backup(b.ID); got.State != was.State || got.Manifest != was.Manifest || !got.Updated.Equal(was.Updated) {
		t.Errorf("refused moves made %+v of %+v", got, was)
	}
}

// doomed is a backup on which the verdict has fallen.
func (w *world) doomed() coffer.Backup {
	b := w.saving(w.instance(ours), "")
	w.yes(w.db.Doom(w.ctx, coffer.JobID(b.ID), w.now()))
	return b
}

// testLastEvents: what is told with an end is in the diary once, behind what was told
// before, and not at all when the end is refused.
func testLastEvents(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	last := []coffer.Event{{Code: "holds", Text: "a"}, {Code: "bye", Text: "b"}}
	codes := func(id coffer.JobID) (out []string) {
		events, err := db.Events(w.ctx, ours, id, 0, 0)
		w.must(err)
		for i, e := range events {
			if out = append(out, e.Code); e.ID != int64(i+1) {
				t.Errorf("event %d has number %d", i, e.ID)
			}
		}
		return out
	}
	for kind, end := range map[string]func(coffer.JobID) (bool, error){
		"failed": func(id coffer.JobID) (bool, error) {
			return db.Fail(w.ctx, id, alice, records.Ending{Error: "x", Now: w.now(), Events: last})
		},
		"completed": func(id coffer.JobID) (bool, error) {
			return db.Complete(w.ctx, id, records.Completion{Manifest: "sum", Now: w.now(), Events: last})
		},
	} {
		b := w.building(w.instance(ours), "")
		id := coffer.JobID(b.ID)
		w.must(db.AddEvents(w.ctx, id, []coffer.Event{{Code: "first"}}))
		w.no(db.Fail(w.ctx, id, bob, records.Ending{Error: "x", Now: w.now(), Events: last}))
		w.yes(end(id))
		w.yes(end(id))
		if got := codes(id); len(got) != 3 || got[0] != "first" || got[2] != "bye" {
			t.Errorf("%s: the diary is %v", kind, got)
		}
		w.must(db.AddEvents(w.ctx, id, []coffer.Event{{Code: "after"}}))
		if got := codes(id); len(got) != 4 || got[3] != "after" {
			t.Errorf("%s: the diary goes on as %v", kind, got)
		}
	}
}
