package recordstest

import (
	"context"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// failer is what a world needs of a test; a property's T has it too.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// world is records with helpers that fail the test.
type world struct {
	failer
	db  *records.DB
	ctx context.Context
	at  time.Time
}

const (
	ours   = coffer.ProjectID("11111111111111111111111111111111")
	theirs = coffer.ProjectID("22222222222222222222222222222222")
	alice  = coffer.Runner("alice/1")
	bob    = coffer.Runner("bob/1")
	sum    = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	other  = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func newWorld(t testing.TB, db *records.DB) *world {
	return &world{failer: t, db: db, ctx: t.Context(), at: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}
}

// now is a time that rises with every call.
func (w *world) now() time.Time {
	w.at = w.at.Add(time.Millisecond)
	return w.at
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("unexpected error: %v", err)
	}
}

// want fails unless err is of the kind.
func (w *world) want(kind coffer.Kind, err error) {
	w.Helper()
	if coffer.KindOf(err) != kind {
		w.Fatalf("error is %q (%v), want kind %q", coffer.KindOf(err), err, kind)
	}
}

// yes fails unless a move was made.
func (w *world) yes(ok bool, err error) {
	w.Helper()
	w.must(err)
	if !ok {
		w.Fatal("the move was refused")
	}
}

// no fails unless a move was refused without an error.
func (w *world) no(ok bool, err error) {
	w.Helper()
	w.must(err)
	if ok {
		w.Fatal("the move was made")
	}
}

func (w *world) instance(p coffer.ProjectID) coffer.InstanceID {
	w.Helper()
	in := coffer.Instance{
		ID: coffer.InstanceID(coffer.NewUUID()), Project: p, Name: "db", Kind: coffer.Registered, Agent: "agent", Status: "ACTIVE",
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11", VersionID: "v-id"},
		Conn:      coffer.Conn{Socket: "/run/db.sock"}, Created: w.now(),
	}
	w.must(w.db.CreateInstance(w.ctx, in))
	return in.ID
}

func (w *world) create(in coffer.InstanceID, parent coffer.BackupID) coffer.Backup {
	w.Helper()
	b, err := w.db.CreateBackup(w.ctx, records.NewBackup{
		Project: ours, Instance: in, Name: "b", Parent: parent, Store: "main", Quota: -1, Now: w.now(),
	})
	w.must(err)
	return b
}

// building is a backup that alice has claimed.
func (w *world) building(in coffer.InstanceID, parent coffer.BackupID) coffer.Backup {
	w.Helper()
	b := w.create(in, parent)
	_, err := w.db.Claim(w.ctx, coffer.JobID(b.ID), alice, w.now())
	w.must(err)
	return w.backup(b.ID)
}

func (w *world) saving(in coffer.InstanceID, parent coffer.BackupID) coffer.Backup {
	w.Helper()
	b := w.building(in, parent)
	ok, why, err := w.db.Grant(w.ctx, coffer.JobID(b.ID), alice, sum, w.now())
	w.must(err)
	if !ok {
		w.Fatalf("not granted: %s", why)
	}
	return w.backup(b.ID)
}

func (w *world) completed(in coffer.InstanceID, parent coffer.BackupID) coffer.Backup {
	w.Helper()
	b := w.saving(in, parent)
	w.yes(w.db.Complete(w.ctx, coffer.JobID(b.ID), records.Completion{Manifest: sum, Now: w.now()}))
	return w.backup(b.ID)
}

// chain is a full and n increments, all COMPLETED.
func (w *world) chain(in coffer.InstanceID, n int) []coffer.Backup {
	w.Helper()
	out := []coffer.Backup{w.completed(in, "")}
	for range n {
		out = append(out, w.completed(in, out[len(out)-1].ID))
	}
	return out
}

func (w *world) backup(id coffer.BackupID) coffer.Backup {
	w.Helper()
	b, err := w.db.BackupByID(w.ctx, id)
	w.must(err)
	return b
}

func (w *world) job(id coffer.JobID) coffer.Job {
	w.Helper()
	j, err := w.db.JobByID(w.ctx, id)
	w.must(err)
	return j
}

func (w *world) newJob(kind coffer.JobKind, b coffer.BackupID, spec coffer.Spec) (coffer.Job, error) {
	return w.db.CreateJob(w.ctx, records.NewJob{Kind: kind, Project: ours, Backup: b, Spec: spec, Now: w.now()})
}

func (w *world) start(kind coffer.JobKind, b coffer.BackupID, spec coffer.Spec) coffer.Job {
	w.Helper()
	j, err := w.newJob(kind, b, spec)
	w.must(err)
	j, err = w.db.Claim(w.ctx, j.ID, bob, w.now())
	w.must(err)
	return j
}

// counts fails unless the backup is held as often as said.
func (w *world) counts(id coffer.BackupID, refs, pins int) {
	w.Helper()
	if b := w.backup(id); b.Refs != refs || b.Pins != pins {
		w.Fatalf("backup %s has refs %d and pins %d, want %d and %d", id, b.Refs, b.Pins, refs, pins)
	}
}

// state fails unless the backup and its job stand there.
func (w *world) state(id coffer.BackupID, want coffer.State) {
	w.Helper()
	if b, j := w.backup(id), w.job(coffer.JobID(id)); b.State != want || j.State != want {
		w.Fatalf("the backup is %s and its job %s, want %s", b.State, j.State, want)
	}
}

// free fails unless the instance can be backed up, and busy unless it cannot.
func (w *world) free(in coffer.InstanceID, want bool) {
	w.Helper()
	b, err := w.db.CreateBackup(w.ctx, records.NewBackup{Project: ours, Instance: in, Name: "probe", Store: "main", Quota: -1, Now: w.now()})
	if !want {
		w.want(coffer.KindUnprocessable, err)
		return
	}
	w.must(err)
	_, err = w.db.Cancel(w.ctx, ours, coffer.JobID(b.ID), w.now())
	w.must(err)
}
