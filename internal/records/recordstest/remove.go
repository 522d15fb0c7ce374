package recordstest

import (
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

func testDelete(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	running := w.create(in, "")
	_, err := w.newJob(coffer.JobDelete, running.ID, coffer.Spec{})
	w.want(coffer.KindUnprocessable, err)
	w.yes(db.Fail(w.ctx, coffer.JobID(running.ID), "", records.Ending{Now: w.now()}))

	chain := w.chain(in, 1)
	full, inc := chain[0].ID, chain[1].ID
	_, err = w.newJob(coffer.JobDelete, full, coffer.Spec{})
	w.want(coffer.KindConflict, err)
	if coffer.HintOf(err) == "" {
		t.Error("no hint says how to delete a parent")
	}
	j, err := w.newJob(coffer.JobDelete, inc, coffer.Spec{})
	w.must(err)
	again, err := w.newJob(coffer.JobDelete, inc, coffer.Spec{})
	w.must(err)
	if again.ID != j.ID {
		t.Errorf("a repeated delete made job %s beside %s", again.ID, j.ID)
	}
	if !w.backup(inc).Deleting {
		t.Error("the backup is not being deleted")
	}
	_, err = w.newJob(coffer.JobVerify, inc, coffer.Spec{})
	w.want(coffer.KindConflict, err)
	_, err = db.CreateBackup(w.ctx, records.NewBackup{Project: ours, Instance: in, Name: "n", Parent: inc, Store: "main", Quota: -1, Now: w.now()})
	w.want(coffer.KindConflict, err)
	w.want(coffer.KindConflict, db.Deleted(w.ctx, full, w.now()))

	_, err = db.Claim(w.ctx, j.ID, bob, w.now())
	w.must(err)
	w.must(db.Deleted(w.ctx, inc, w.now()))
	w.must(db.Deleted(w.ctx, inc, w.now()))
	w.counts(full, 0, 0)
	if got := w.job(j.ID); got.State != coffer.Completed {
		t.Errorf("the delete's job is %s", got.State)
	}
	w.yes(db.Finish(w.ctx, j.ID, w.now()))
	_, err = db.Backup(w.ctx, ours, inc)
	w.want(coffer.KindNotFound, err)
	_, err = w.newJob(coffer.JobDelete, inc, coffer.Spec{})
	w.want(coffer.KindNotFound, err)

	// A FAILED one can be deleted, and gives back its quota.
	w.start(coffer.JobDelete, running.ID, coffer.Spec{})
	w.must(db.Deleted(w.ctx, running.ID, w.now()))
	try := func() error {
		_, err := db.CreateBackup(w.ctx, records.NewBackup{Project: ours, Instance: in, Name: "n", Store: "main", Quota: 2, Now: w.now()})
		return err
	}
	w.must(try())
	w.want(coffer.KindUnprocessable, try())
}

func testDeleteForced(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	chain := w.chain(in, 2)
	side := w.completed(in, chain[0].ID)
	j, err := w.newJob(coffer.JobDelete, chain[0].ID, coffer.Spec{Force: true})
	w.must(err)
	for _, id := range []coffer.BackupID{chain[0].ID, chain[1].ID, chain[2].ID, side.ID} {
		if !w.backup(id).Deleting {
			t.Errorf("backup %s is not being deleted", id)
		}
	}
	_, err = db.Claim(w.ctx, j.ID, bob, w.now())
	w.want(coffer.KindConflict, err) // children first
	var order []coffer.BackupID
	for range 10 {
		due, err := db.Due(w.ctx, w.now(), 10)
		w.must(err)
		for _, j := range due {
			_, err := db.Claim(w.ctx, j.ID, bob, w.now())
			w.must(err)
			w.must(db.Deleted(w.ctx, j.Backup, w.now()))
			order = append(order, j.Backup)
		}
	}
	at := map[coffer.BackupID]int{}
	for i, id := range order {
		at[id] = i
	}
	if len(order) != 4 || order[3] != chain[0].ID || at[chain[2].ID] > at[chain[1].ID] {
		t.Errorf("deleted in the order %v", order)
	}
	if w.job(j.ID).State != coffer.Completed {
		t.Errorf("the first job is %s", w.job(j.ID).State)
	}

	full := w.completed(in, "")
	w.create(in, full.ID)
	_, err = w.newJob(coffer.JobDelete, full.ID, coffer.Spec{Force: true})
	w.want(coffer.KindUnprocessable, err) // a running child
	if w.backup(full.ID).Deleting {
		t.Error("a refused delete left its mark")
	}
}

func testDeleteFailed(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	chain := w.chain(in, 1)
	full, inc := chain[0].ID, chain[1].ID
	top, err := w.newJob(coffer.JobDelete, full, coffer.Spec{Force: true})
	w.must(err)
	due, err := db.Due(w.ctx, w.now(), 10)
	w.must(err)
	if len(due) != 1 || due[0].Backup != inc {
		t.Fatalf("due are %v, want the child's delete alone", due)
	}
	_, err = db.Claim(w.ctx, due[0].ID, bob, w.now())
	w.must(err)
	e := records.Ending{Kind: coffer.KindKept, Error: "kept until 2030", Hint: "wait", Now: w.now()}
	w.must(db.DeleteFailed(w.ctx, inc, e))
	w.must(db.DeleteFailed(w.ctx, inc, e))
	w.yes(db.Fail(w.ctx, due[0].ID, bob, e))
	got, err := db.Backup(w.ctx, ours, inc)
	w.must(err)
	if got.State != coffer.DeleteFailed || got.Deleting || got.Error != e.Error || got.Hint != "wait" {
		t.Errorf("the refused delete left %+v", got)
	}
	if j := w.job(top.ID); j.State != coffer.Failed || w.backup(full).Deleting || w.backup(full).State != coffer.Completed {
		t.Errorf("the parent's delete is %s, its backup %+v", j.State, w.backup(full))
	}
	w.counts(full, 1, 0)
	again := w.start(coffer.JobDelete, inc, coffer.Spec{}) // can be asked again
	w.must(db.Deleted(w.ctx, inc, w.now()))
	w.counts(full, 0, 0)
	if w.job(again.ID).State != coffer.Completed {
		t.Error("the repeated delete has not ended well")
	}

	// A delete whose runner was lost half way is DELETE_FAILED; one that never
	// began leaves the backup as it was.
	j, err := w.newJob(coffer.JobDelete, full, coffer.Spec{})
	w.must(err)
	_, err = db.Cancel(w.ctx, ours, j.ID, w.now())
	w.must(err)
	if b := w.backup(full); b.Deleting || b.State != coffer.Completed {
		t.Errorf("a cancelled delete left %+v", b)
	}
	j = w.start(coffer.JobDelete, full, coffer.Spec{})
	w.yes(db.Fail(w.ctx, j.ID, "", e))
	if b := w.backup(full); b.Deleting || b.State != coffer.DeleteFailed {
		t.Errorf("a lost delete left %+v", b)
	}
}

func testSweep(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	w.completed(in, "")
	b := w.building(in, "")
	w.yes(db.Fail(w.ctx, coffer.JobID(b.ID), "", records.Ending{Now: w.now()}))
	list := func(after coffer.BackupID) int {
		t.Helper()
		got, err := db.FailedBackups(w.ctx, after, 10)
		w.must(err)
		return len(got)
	}
	if list("") != 1 || list(b.ID) != 0 {
		t.Error("the failed backup is not listed, or not by its id")
	}
	w.start(coffer.JobDelete, b.ID, coffer.Spec{})
	w.must(db.Deleted(w.ctx, b.ID, w.now()))
	if list("") != 1 {
		t.Error("a deleted row is no longer swept, though its runner may wake up")
	}
	w.must(db.Swept(w.ctx, b.ID))
	if list("") != 0 {
		t.Error("a swept backup is still listed")
	}
}
