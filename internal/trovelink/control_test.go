package trovelink

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/retry"
)

// wire is a bus that keeps what is cast, with the context that goes with it, and can
// return it.
type wire struct {
	bus.Bus
	mu      sync.Mutex
	casts   []map[string]any
	context map[string]any
	gone    bool // casts are returned
	lost    bool // casts arrive, and their confirms do not
	absent  bool // there is no queue
}

// Cast implements bus.Bus.
func (w *wire) Cast(ctx context.Context, to bus.Target, method string, body any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return coffer.E(coffer.KindUnavailable, "cast", "%w", bus.ErrNobody)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	m := map[string]any{"method": method, "topic": to.Topic}
	w.casts, w.context = append(w.casts, m), Context(ctx)
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	if w.lost {
		return coffer.E(coffer.KindUnavailable, "cast", "the connection ended first")
	}
	return nil
}

// Pending implements bus.Bus.
func (w *wire) Pending(bus.Target) int {
	if w.absent {
		return -1
	}
	return 0
}

// room is Control over one guest, in records of their own.
type room struct {
	t    *testing.T
	c    *Control
	db   *records.DB
	wire *wire
	over bus.Bus
}

func newRoom(t *testing.T) *room {
	t.Helper()
	db, err := records.Open(t.Context(), filepath.Join(t.TempDir(), "records.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := &Control{
		Records: db, Now: time.Now, Log: slog.New(slog.DiscardHandler), resend: retry.Policy{Tries: 3, Max: time.Millisecond},
		Login: func(context.Context, coffer.ProjectID) (Login, error) {
			return Login{Token: "tk", User: "u1", Account: "http://swift/v1/AUTH_p", Region: "RegionOne"}, nil
		},
	}
	r := &room{t: t, c: c, db: db, wire: &wire{Bus: local.New()}}
	r.over = c.Over(r.wire)
	if err := c.Adopt(t.Context(), coffer.Instance{ID: guestID, Project: "p", Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *room) create() coffer.JobID {
	r.t.Helper()
	b, err := r.db.CreateBackup(r.t.Context(), records.NewBackup{Project: "p", Instance: guestID, Name: "nightly", Store: "s", Quota: -1, Now: time.Now()})
	if err != nil {
		r.t.Fatal(err)
	}
	return coffer.JobID(b.ID)
}

// ring is what the task manager does for a due job.
func (r *room) ring(id coffer.JobID) error {
	return message.Start.Cast(r.t.Context(), r.over, message.GuestAgent(guestID), message.JobRef{Job: id})
}

func (r *room) backup(id coffer.JobID) coffer.Backup {
	r.t.Helper()
	b, err := r.db.BackupByID(r.t.Context(), coffer.BackupID(id))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// The order that a guest gets is Trove's, key for key, and it gets it once.
func TestControlSendsOnce(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	id := r.create()
	r.wire.absent = true
	if err := r.ring(id); !coffer.IsKind(err, coffer.KindUnavailable) || r.backup(id).State != coffer.New {
		t.Errorf("without a queue: %v, and the backup is %s", err, r.backup(id).State)
	}
	r.wire.absent = false
	for range 3 {
		if err := r.ring(id); err != nil {
			t.Fatal(err)
		}
	}
	want := []map[string]any{{
		"method": "create_backup", "topic": "guestagent." + guestID, "backup_info": map[string]any{
			"id": string(id), "name": "nightly", "description": nil, "instance_id": guestID, "backup_type": "full", "checksum": nil,
			"parent": nil, "datastore": "mariadb", "datastore_version": "10.11", "storage_driver": "swift",
			"swift_container": "database_backups", "swift_url": "http://swift/v1/AUTH_p",
		},
	}}
	if diff := cmp.Diff(want, r.wire.casts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ctx := r.wire.context
	note, _ := ctx["trove_notification"].(map[string]any)
	if ctx["auth_token"] != "tk" || ctx["project_id"] != "p" || note["notification_classname"] != "trove.common.notification.DBaaSBackupCreate" ||
		note["server_type"] != "guest" || note["backup_id"] != string(id) || note["instance_id"] != guestID {
		t.Errorf("the context: %v", ctx)
	}
	if s := r.backup(id).State; s != coffer.Building {
		t.Errorf("the backup is %s", s)
	}
}

// What the broker returns again and again is FAILED, and not sent later.
func TestControlReturned(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	id := r.create()
	r.wire.gone = true
	if err := r.ring(id); err != nil {
		t.Fatal(err)
	}
	if b := r.backup(id); b.State != coffer.Failed || len(r.wire.casts) > 0 {
		t.Errorf("%s (%s), %d casts", b.State, b.Error, len(r.wire.casts))
	}
}

// What may have arrived is not sent again.
func TestControlUnconfirmed(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	id := r.create()
	r.wire.lost = true
	for range 2 {
		if err := r.ring(id); err != nil {
			t.Fatal(err)
		}
	}
	if b := r.backup(id); b.State != coffer.Building || len(r.wire.casts) != 1 {
		t.Errorf("%s, %d casts", b.State, len(r.wire.casts))
	}
}

// A guest can say of its own running backup how large it is and how it ended, and
// nothing else.
func TestControlBelieves(t *testing.T) {
	t.Parallel()
	const sum = "0123456789abcdef0123456789abcdef"
	size := func(f float64) *float64 { return &f }
	for name, c := range map[string]struct {
		change func(*Update)
		state  coffer.State
		kind   coffer.Kind
	}{
		"all":                 {func(*Update) {}, coffer.Completed, ""},
		"a clock set back":    {func(u *Update) { u.Sent = 1 }, coffer.Completed, ""},
		"failed":              {func(u *Update) { u.State = "FAILED" }, coffer.Failed, ""},
		"another object":      {func(u *Update) { u.Location = "http://swift/v1/AUTH_p/database_backups/x.xbstream.gz" }, coffer.Building, coffer.KindForbidden},
		"another container":   {func(u *Update) { u.Location = "http://swift/v1/AUTH_p/c/" + u.BackupID + ".xbstream.gz" }, coffer.Building, coffer.KindForbidden},
		"no location":         {func(u *Update) { u.Location = "" }, coffer.Building, coffer.KindInvalid},
		"no checksum":         {func(u *Update) { u.Checksum = "" }, coffer.Building, coffer.KindInvalid},
		"a state of its own":  {func(u *Update) { u.State = "RESTORED" }, coffer.Building, coffer.KindInvalid},
		"a size below zero":   {func(u *Update) { u.Size = size(-1) }, coffer.Building, coffer.KindInvalid},
		"a size that is none": {func(u *Update) { u.Size = size(math.Inf(1)) }, coffer.Building, coffer.KindInvalid},
		"an unknown backup":   {func(u *Update) { u.BackupID = coffer.NewUUID() }, coffer.Building, coffer.KindNotFound},
		"another instance":    {func(u *Update) { u.InstanceID = coffer.NewUUID() }, coffer.Building, coffer.KindNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			id := r.create()
			if err := r.ring(id); err != nil {
				t.Fatal(err)
			}
			u := Update{InstanceID: guestID, BackupID: string(id), Sent: 1700000000, Size: size(1.25), State: "BUILDING", BackupType: "full"}
			if _, err := r.c.updateBackup(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			u.State, u.Checksum = "COMPLETED", sum
			u.Location = "http://swift/v1/AUTH_p/database_backups/" + string(id) + ".xbstream.gz"
			c.change(&u)
			if _, err := r.c.updateBackup(t.Context(), u); coffer.KindOf(err) != c.kind && (err != nil || c.kind != "") {
				t.Errorf("answered %v", err)
			}
			b := r.backup(id)
			if b.State != c.state {
				t.Errorf("the backup is %s", b.State)
			}
			if b.State == coffer.Completed && (b.Location != u.Location || b.Checksum != sum || b.Sizes.GiB() != 1.25 || b.Method != Method) {
				t.Errorf("the backup: %+v", b)
			}
			late := u // what comes after the end changes nothing
			late.State, late.Size = "BUILDING", size(99)
			if _, err := r.c.updateBackup(t.Context(), late); c.kind == "" && (err != nil || r.backup(id).State != c.state || r.backup(id).Sizes.GiB() == 99) {
				t.Errorf("a late report: %v, %+v", err, r.backup(id))
			}
		})
	}
}

// Of the two kinds of heartbeat on the conductor's topic each comes where it belongs,
// and a guest's is of its instance only.
func TestControlTellsHeartbeatsApart(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.wire.Bus = local.New()
	ours := make(chan string, 10)
	ctx, stop := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = r.over.Serve(ctx, message.Conductor, func(_ context.Context, m bus.Message) (any, error) {
			ours <- m.Method
			return nil, nil
		}, func() { close(ready) })
	}()
	<-ready
	beat := func(id string) error {
		return r.wire.Bus.Call(ctx, message.Conductor, "heartbeat", json.RawMessage(`{"instance_id":"`+id+`","sent":1.5,"payload":{"service_status":"healthy"}}`), nil)
	}
	for range 2 {
		if err := beat(guestID); err != nil {
			t.Error(err)
		}
	}
	if err := beat(coffer.NewUUID()); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("a heartbeat of nobody: %v", err)
	}
	if err := r.wire.Bus.Call(ctx, message.Conductor, "heartbeat", message.HeartbeatArgs{Agent: "a", Beat: 1}, nil); err != nil {
		t.Error(err)
	}
	if n := len(ours); n != 1 {
		t.Errorf("our conductor got %d messages, one is ours", n)
	}
	if a, err := r.db.Agent(ctx, AgentOf(guestID)); err != nil || a.Beat != 2 {
		t.Errorf("the guest as the records have it: %+v, %v", a, err)
	}
	stop()
	<-done
}

// What Trove's guests know nothing of is not said to them; others get all of theirs.
func TestControlKeepsToTrovesWords(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	ctx := t.Context()
	for _, err := range []error{
		message.Cancel.Cast(ctx, r.over, message.GuestAgent(guestID), message.JobRef{Job: "j"}),
		message.Forget.Cast(ctx, r.over, message.HostAgent(AgentOf(guestID)), message.InstanceRef{Instance: guestID}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if len(r.wire.casts) > 0 {
		t.Errorf("a guest was told %v", r.wire.casts)
	}
	ours := coffer.AgentID(coffer.NewUUID())
	for _, err := range []error{
		message.Forget.Cast(ctx, r.over, message.HostAgent(ours), message.InstanceRef{Instance: guestID}),
		message.Start.Cast(ctx, r.over, message.HostAgent(AgentOf(guestID)), message.JobRef{Job: "j"}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if len(r.wire.casts) != 2 {
		t.Errorf("an agent of ours was told %v", r.wire.casts)
	}
}

// A job is beaten for while its guest is heard and its time is not over.
func TestControlLives(t *testing.T) {
	t.Parallel()
	c := &Control{Longest: time.Hour}
	j := coffer.Job{ID: "j", Runner: coffer.NewRunner(guestID, boot), Phase: phaseBegun}
	at := time.Now()
	for i, s := range []struct {
		beat  uint64
		after time.Duration
		want  bool
	}{
		{1, 0, true}, {1, 89 * time.Second, true}, {1, 90 * time.Second, false}, {2, 91 * time.Second, true},
		{2, 180 * time.Second, true}, {3, time.Hour - time.Second, true}, {4, time.Hour, false},
	} {
		if got := c.lives(j, s.beat, at.Add(s.after)); got != s.want {
			t.Errorf("step %d: %t", i, got)
		}
	}
	silent := coffer.Job{ID: "silent", Runner: j.Runner}
	if c.lives(silent, 5, at); c.lives(silent, 6, at.Add(6*time.Minute)) {
		t.Error("an order that no guest has begun is beaten for")
	}
}
