package conductor

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

const (
	project = coffer.ProjectID("p")
	runner  = coffer.Runner("a/1")
)

// full is a key ring whose store has no room.
type full struct{}

func (full) Publish(context.Context, coffer.Instance, string, string) error {
	return coffer.E(coffer.KindNoSpace, "write the wrapped data key", "the disk is full").WithHint("make room")
}

// empty is a configuration of one store.
type empty struct{ mem *storetest.Memory }

func (e empty) Open(context.Context, string) (store.Full, error) { return e.mem, nil }

func (e empty) URL(_, object string) string { return object }

func newConductor(t *testing.T, key coffer.KeyID) (*Conductor, *records.DB, coffer.InstanceID) {
	t.Helper()
	db, err := records.Open(t.Context(), filepath.Join(t.TempDir(), "r.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	id := coffer.InstanceID(coffer.NewUUID())
	if err := db.CreateInstance(t.Context(), coffer.Instance{ID: id, Project: project, Agent: "a", Status: "ACTIVE", Key: key}); err != nil {
		t.Fatal(err)
	}
	settler := &settle.Settler{Records: db, Stores: empty{storetest.NewMemory()}, Now: time.Now}
	return &Conductor{Records: db, Settler: settler, Keys: full{}, Log: slog.New(slog.DiscardHandler), Now: time.Now}, db, id
}

func create(t *testing.T, db *records.DB, in coffer.InstanceID) coffer.JobID {
	t.Helper()
	b, err := db.CreateBackup(t.Context(), records.NewBackup{Project: project, Instance: in, Name: "b", Store: "s", Quota: -1})
	if err != nil {
		t.Fatal(err)
	}
	return coffer.JobID(b.ID)
}

// A claim is for ever: an order that cannot be given afterwards ends the job with
// its reason, at once, and frees the instance.
func TestAClaimWithoutAnOrderFailsWithItsReason(t *testing.T) {
	t.Parallel()
	c, db, in := newConductor(t, coffer.KeyID(coffer.NewUUID()))
	id := create(t, db, in)
	if _, err := c.claim(t.Context(), message.ClaimArgs{Job: id, Runner: runner}); !coffer.IsKind(err, coffer.KindNoSpace) {
		t.Fatal(err)
	}
	j, err := db.JobByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if j.State != coffer.Failed || j.ErrKind != coffer.KindNoSpace || j.Hint != "make room" {
		t.Errorf("%+v", j)
	}
	create(t, db, in)
}

// A runner that repeats its last word while the store is looked at does not fill
// the diary.
func TestALastWordIsNotedOnce(t *testing.T) {
	t.Parallel()
	c, db, in := newConductor(t, "")
	id := create(t, db, in)
	if _, err := c.claim(t.Context(), message.ClaimArgs{Job: id, Runner: runner}); err != nil {
		t.Fatal(err)
	}
	if r, err := c.commit(t.Context(), message.CommitArgs{Job: id, Runner: runner, ManifestSHA256: "m"}); err != nil || !r.Granted {
		t.Fatal(r, err)
	}
	for range 5 {
		r, err := c.done(t.Context(), message.DoneArgs{Job: id, Runner: runner, Outcome: message.Unknown})
		if err != nil || r.State != coffer.Saving {
			t.Fatal(r, err)
		}
	}
	events, err := db.Events(t.Context(), project, id, 0, 100)
	if err != nil || len(events) != 1 {
		t.Errorf("%d events: %v", len(events), err)
	}
}

// quick is records in which the rescuer is always a step ahead of Finish.
type quick struct{ *records.DB }

func (q quick) Finish(ctx context.Context, id coffer.JobID, now time.Time) (bool, error) {
	if _, err := q.Fail(ctx, id, "", records.Ending{Error: "lost"}); err != nil {
		return false, err
	}
	return q.DB.Finish(ctx, id, now)
}

// A restore that was given up leaves no instance that looks alive.
func TestALostRestoreLeavesNoActiveInstance(t *testing.T) {
	t.Parallel()
	c, db, in := newConductor(t, "")
	base := create(t, db, in)
	if _, err := db.Claim(t.Context(), base, runner, time.Now()); err != nil {
		t.Fatal(err)
	}
	if ok, err := db.Complete(t.Context(), base, records.Completion{Manifest: "m"}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	j, err := db.CreateJob(t.Context(), records.NewJob{
		Kind: coffer.JobRestore, Project: project, Backup: coffer.BackupID(base), Spec: coffer.Spec{Target: &coffer.Target{Name: "new"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.claim(t.Context(), message.ClaimArgs{Job: j.ID, Runner: runner}); err != nil {
		t.Fatal(err)
	}
	c.Records = quick{db}
	r, err := c.done(t.Context(), message.DoneArgs{Job: j.ID, Runner: runner, Outcome: message.Ended, Conn: &coffer.Conn{Socket: "/s"}})
	if err != nil || r.State != coffer.Failed {
		t.Fatal(r, err)
	}
	made, err := db.InstanceByID(t.Context(), j.Instance)
	if err != nil || made.Status != "ERROR" {
		t.Errorf("the instance is %s: %v", made.Status, err)
	}
}

// Agents are kept to their own jobs.
func TestAnAgentClaimsItsOwnJobsOnly(t *testing.T) {
	t.Parallel()
	c, db, in := newConductor(t, "")
	id := create(t, db, in)
	if _, err := c.claim(t.Context(), message.ClaimArgs{Job: id, Runner: "b/1"}); !coffer.IsKind(err, coffer.KindConflict) {
		t.Errorf("another agent's claim: %v", err)
	}
	if _, err := c.claim(t.Context(), message.ClaimArgs{Job: id, Runner: runner}); err != nil {
		t.Error(err)
	}
}

// No increment is taken onto what a verify has found damaged.
func TestNoIncrementOntoADamagedChain(t *testing.T) {
	t.Parallel()
	c, db, in := newConductor(t, "")
	full := create(t, db, in)
	if _, err := db.Claim(t.Context(), full, runner, time.Now()); err != nil {
		t.Fatal(err)
	}
	if ok, err := db.Complete(t.Context(), full, records.Completion{Manifest: "m"}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, ok := range []bool{true, false} {
		if err := db.SetVerdict(t.Context(), coffer.BackupID(full), coffer.Verdict{At: time.Now(), OK: ok, Text: "part 3"}); err != nil {
			t.Fatal(err)
		}
		b, err := db.CreateBackup(t.Context(), records.NewBackup{Project: project, Instance: in, Incremental: true, Name: "i", Store: "s", Quota: -1})
		if err != nil {
			t.Fatal(err)
		}
		id := coffer.JobID(b.ID)
		if _, err := c.claim(t.Context(), message.ClaimArgs{Job: id, Runner: runner}); ok != (err == nil) {
			t.Fatal(ok, err)
		}
		if j, err := db.JobByID(t.Context(), id); err != nil || !ok && j.ErrKind != coffer.KindNeedFull {
			t.Errorf("%+v %v", j, err)
		}
		if _, err := db.Fail(t.Context(), id, "", records.Ending{Error: "over"}); err != nil {
			t.Fatal(err)
		}
	}
}
