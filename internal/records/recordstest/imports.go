package recordstest

import (
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// brought asks for the import of a backup of Trove's.
func (w *world) brought(change func(*records.NewImport)) (coffer.Backup, bool) {
	w.Helper()
	n := records.NewImport{
		Project: ours, Name: "old", Store: "main", Container: "c", Location: "https://swift/v1/AUTH_p/c/" + coffer.NewUUID() + ".xbstream.gz",
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Size: 1 << 30, Quota: -1, Now: w.now(),
	}
	if change != nil {
		change(&n)
	}
	b, made, err := w.db.CreateImport(w.ctx, n)
	w.must(err)
	return b, made
}

func (w *world) read(b coffer.Backup, kind string) (bool, error) {
	w.Helper()
	id := coffer.JobID(b.ID)
	if _, err := w.db.Claim(w.ctx, id, alice, w.now()); err != nil {
		return false, err
	}
	return w.db.CompleteImport(w.ctx, id, alice, records.Completion{
		Manifest: sum, Type: kind, Method: "mariabackup", Location: b.Location, Sizes: coffer.Sizes{Plain: 2, Stored: 1}, Now: w.now(),
	})
}

func (w *world) due() []coffer.Job {
	w.Helper()
	due, err := w.db.Due(w.ctx, w.now(), 10)
	w.must(err)
	return due
}

// testImports: a backup of Trove's is good once its job has read it, an increment's
// waits for its parent's, asked again it is the same, and nothing is taken onto it.
func testImports(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	full, made := w.brought(nil)
	if !made || full.State != coffer.New || full.Origin != coffer.OriginTrove || full.Sizes.Data != 1<<30 {
		t.Fatalf("the import is %+v", full)
	}
	if again, made := w.brought(func(n *records.NewImport) { n.Location = full.Location }); made || again.ID != full.ID {
		t.Errorf("asked again it is %s", again.ID)
	}
	_, _, err := db.CreateImport(w.ctx, records.NewImport{ID: full.ID, Project: theirs, Name: "x", Location: full.Location, Quota: -1})
	w.want(coffer.KindExists, err)
	inc, _ := w.brought(nil)
	for _, j := range w.due() {
		if j.Kind != coffer.JobImport {
			t.Errorf("a %s is due", j.Kind)
		}
	}
	id := coffer.JobID(inc.ID)
	_, err = db.Claim(w.ctx, id, alice, w.now())
	w.must(err)
	w.no(db.SetImportParent(w.ctx, id, bob, full.ID))
	w.yes(db.SetImportParent(w.ctx, id, alice, full.ID))
	_, err = db.SetImportParent(w.ctx, id, alice, inc.ID)
	w.want(coffer.KindCorrupt, err)
	w.yes(db.Requeue(w.ctx, id, alice, w.now()))
	if due := w.due(); len(due) != 1 || due[0].ID != coffer.JobID(full.ID) {
		t.Errorf("beside its parent's import, %d jobs are due", len(due))
	}
	w.yes(w.read(full, "full"))
	w.yes(w.read(inc, "incremental"))
	inc, full = w.backup(inc.ID), w.backup(full.ID)
	if full.State != coffer.Completed || full.Refs != 1 || inc.Root != full.ID || inc.Depth != 1 || inc.Type != "incremental" || inc.Manifest != sum {
		t.Errorf("the chain is %+v and %+v", full, inc)
	}
	_, err = db.CreateBackup(w.ctx, records.NewBackup{Project: ours, Instance: w.instance(ours), Name: "b", Parent: full.ID, Store: "main", Quota: -1, Now: w.now()})
	w.want(coffer.KindConflict, err)
}

// testImportsFail: a failed import can be tried again under its id, one whose parent is
// gone is not good, and the newest backup for an increment is never Trove's.
func testImportsFail(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	b, _ := w.brought(func(n *records.NewImport) { n.ID, n.Instance = coffer.BackupID(coffer.NewUUID()), in })
	_, err := db.Claim(w.ctx, coffer.JobID(b.ID), alice, w.now())
	w.must(err)
	w.yes(db.Fail(w.ctx, coffer.JobID(b.ID), alice, records.Ending{Kind: coffer.KindCorrupt, Error: "broken", Now: w.now()}))
	if b = w.backup(b.ID); b.State != coffer.Failed || b.Error != "broken" {
		t.Errorf("it is %s: %s", b.State, b.Error)
	}
	if failed, err := db.FailedBackups(w.ctx, "", 10); err != nil || len(failed) > 0 {
		t.Errorf("%d are swept (%v)", len(failed), err)
	}
	again, made := w.brought(func(n *records.NewImport) { n.ID, n.Instance, n.Location = b.ID, in, b.Location })
	if !made || again.ID != b.ID || again.State != coffer.New || again.Error != "" {
		t.Errorf("tried again it is %+v", again)
	}
	w.yes(w.read(again, "full"))
	next, err := db.CreateBackup(w.ctx, records.NewBackup{Project: ours, Instance: in, Name: "b", Incremental: true, Store: "main", Quota: -1, Now: w.now()})
	w.must(err)
	if next.Parent != "" {
		t.Errorf("an increment stands on Trove's %s", next.Parent)
	}
	child, _ := w.brought(func(n *records.NewImport) { n.Parent = b.ID })
	_, err = db.CreateJob(w.ctx, records.NewJob{Kind: coffer.JobDelete, Project: ours, Backup: b.ID, Now: w.now()})
	w.must(err)
	_, err = w.read(child, "incremental")
	w.want(coffer.KindConflict, err)
	if child = w.backup(child.ID); child.State != coffer.Building {
		t.Errorf("the child is %s", child.State)
	}
}

// testQuotas: a project's own quota counts in place of the configured one.
func testQuotas(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	w.must(db.PutQuota(w.ctx, ours, 1))
	if n, err := db.Quota(w.ctx, ours); n != 1 || err != nil {
		t.Errorf("the quota is %d (%v)", n, err)
	}
	if n, err := db.Quota(w.ctx, theirs); n != records.NoQuota || err != nil {
		t.Errorf("the other's quota is %d (%v)", n, err)
	}
	w.brought(nil)
	_, _, err := db.CreateImport(w.ctx, records.NewImport{Project: ours, Name: "x", Location: "https://s/v1/a/c/o", Quota: 100, Now: w.now()})
	w.want(coffer.KindQuota, err)
	w.must(db.PutQuota(w.ctx, ours, records.NoQuota))
	w.brought(func(n *records.NewImport) { n.Quota = 2 })
	w.want(coffer.KindInvalid, db.PutQuota(w.ctx, ours, -9))
}
