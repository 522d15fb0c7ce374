package trovelink

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/taskmanager"
	"github.com/cofferdb/coffer/internal/testenv"
)

const farm = coffer.ProjectID("11112222333344445555666677778888")

// tower is Coffer's task manager and conductor over one guest.
type tower struct {
	t     *testing.T
	db    *records.DB
	guest *testenv.TroveGuestProcess
	in    coffer.InstanceID
}

// oneStore is the store of backups that are not a guest's.
type oneStore struct{ store.Full }

func (s oneStore) Open(context.Context, string) (store.Full, error) { return s.Full, nil }
func (oneStore) URL(_, object string) string                        { return "file:///" + object }

// towerKeys are Trove's keys as the control plane has them.
type towerKeys struct{ in coffer.InstanceID }

func (k towerKeys) To(_ context.Context, topic string) (string, error) {
	if topic == message.GuestAgent(k.in).Topic {
		return testenv.TroveGuestKey, nil
	}
	return "", nil
}

func (k towerKeys) Of(context.Context, string) (string, error) { return testenv.TroveGuestKey, nil }

func newTower(t *testing.T, b *testenv.Broker, secure bool) *tower {
	t.Helper()
	w := &tower{t: t, in: coffer.InstanceID(coffer.NewUUID())}
	var err error
	if w.db, err = records.Open(t.Context(), filepath.Join(t.TempDir(), "records.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	files, err := file.New(t.TempDir(), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := ""
	raw := troveBus(t, b, func(o *amqp.Options) {
		o.HostName = "tower"
		if secure {
			key, o.Keys = testenv.TroveGuestKey, towerKeys{w.in}
		}
	})
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	c := &Control{
		Records: w.db, Now: time.Now, Log: log, Expiry: 3 * time.Second, Every: 200 * time.Millisecond,
		Login: func(_ context.Context, p coffer.ProjectID) (Login, error) {
			return Login{Token: "token-of-" + string(p), User: "u", Account: "http://swift/v1/AUTH_" + string(p), Region: "RegionOne"}, nil
		},
	}
	over := c.Over(raw)
	settler := &settle.Settler{Records: w.db, Stores: oneStore{files}, Now: time.Now}
	tm := &taskmanager.TaskManager{
		ID: "t1", Boot: coffer.NewNonce(), Records: w.db, Bus: over, Stores: oneStore{files}, Settler: settler, Log: log, Now: time.Now,
		Timings: taskmanager.Timings{Lease: 2 * time.Second, Rescue: 100 * time.Millisecond},
	}
	con := &conductor.Conductor{Records: w.db, Bus: over, Settler: settler, Log: log, Now: time.Now, Drain: 100 * time.Millisecond}
	ctx, stop := context.WithCancel(t.Context())
	var g errgroup.Group
	ready := make(chan struct{})
	g.Go(func() error { return tm.Run(ctx, nil) })
	g.Go(func() error { return con.Run(ctx, func() { close(ready) }) })
	g.Go(func() error { return c.Run(ctx) })
	t.Cleanup(func() {
		stop()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	<-ready
	if err := c.Adopt(ctx, coffer.Instance{ID: w.in, Project: farm, Name: "db", Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}}); err != nil {
		t.Fatal(err)
	}
	w.guest = testenv.TroveGuest(t, b, string(w.in), key)
	return w
}

// backup makes a row and waits for its end.
func (w *tower) backup(incremental bool) coffer.Backup {
	w.t.Helper()
	return w.end(w.begin(incremental))
}

func (w *tower) begin(incremental bool) coffer.BackupID {
	w.t.Helper()
	b, err := w.db.CreateBackup(w.t.Context(), records.NewBackup{
		Project: farm, Instance: w.in, Name: "nightly", Incremental: incremental, Store: "s", Quota: -1, Now: time.Now(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b.ID
}

func (w *tower) end(id coffer.BackupID) (b coffer.Backup) {
	w.t.Helper()
	var err error
	until(w.t, 2*time.Minute, "the end of the backup", func() bool {
		if b, err = w.db.BackupByID(w.t.Context(), id); err != nil {
			w.t.Fatal(err)
		}
		return !b.State.Running()
	})
	return b
}

// heard is what the guest prints of an order.
type heardOrder struct {
	Info    BackupInfo
	Token   string
	Project string
	Note    map[string]any
}

// Coffer's task manager and conductor over a guest of oslo.messaging: the backup ends
// as the guest says, once, and the row says whose word that is.
func TestHeavyTroveControlsAGuest(t *testing.T) {
	heavy(t)
	b := testenv.RabbitMQ(t, testenv.RabbitMQOptions{})
	for _, secure := range []bool{true, false} {
		t.Run(map[bool]string{true: "encrypted", false: "plain"}[secure], func(t *testing.T) {
			w := newTower(t, b, secure)
			full := w.backup(false)
			var o heardOrder
			w.guest.Hear(&o)
			if o.Info.ID != string(full.ID) || o.Info.BackupType != "full" || o.Info.Parent != nil || o.Project != string(farm) ||
				o.Token != "token-of-"+string(farm) || o.Note["backup_id"] != string(full.ID) || o.Note["server_type"] != "guest" {
				raw, _ := json.Marshal(o)
				t.Errorf("the guest got %s", raw)
			}
			if full.State != coffer.Completed || full.Method != Method || full.Sizes.GiB() != 1.25 || len(full.Checksum) != 32 ||
				full.Location != "http://swift/v1/AUTH_"+string(farm)+"/"+full.Container+"/"+string(full.ID)+".xbstream.gz" {
				t.Errorf("the full: %+v", full)
			}
			if full.Project != farm || full.Deleted {
				t.Errorf("the guest wrote columns that are not its own: %+v", full)
			}
			w.says(full, "no commit is granted")

			inc := w.backup(true)
			w.guest.Hear(&o)
			if inc.State != coffer.Completed || inc.Parent != full.ID || o.Info.Parent == nil || *o.Info.Parent != (Parent{full.Location, full.Checksum}) {
				t.Errorf("the increment: %+v, asked %+v", inc, o.Info)
			}

			w.guest.Do("fail")
			bad := w.backup(false)
			if bad.State != coffer.Failed || bad.Location != "" {
				t.Errorf("the guest failed: %+v", bad)
			}
			until(t, 30*time.Second, "the guest's reason", func() bool { return strings.Contains(w.reason(bad), "the tool said no") })

			w.guest.Do("foreign") // it names an object that is not the backup's
			w.guest.Hear(nil)     // the order of the one that failed
			odd := w.begin(false)
			w.guest.Hear(&o)
			until(t, 30*time.Second, "its begin", func() bool { return w.row(odd).Phase == "at the guest" })
			w.guest.Do("silent") // and it is taken for lost when its heartbeats end
			if odd := w.end(odd); odd.State != coffer.Failed || odd.Location != "" {
				t.Errorf("a report of another object was believed: %+v", odd)
			}
			if n := w.guest.Heard(); n != 0 {
				t.Errorf("the guest was asked %d times more than once", n)
			}
		})
	}
}

func (w *tower) row(id coffer.BackupID) coffer.Job {
	w.t.Helper()
	j, err := w.db.JobByID(w.t.Context(), coffer.JobID(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// says looks for a line in the backup's diary.
func (w *tower) says(b coffer.Backup, text string) {
	w.t.Helper()
	if !strings.Contains(w.diary(b), text) {
		w.t.Errorf("the backup does not say %q:\n%s", text, w.diary(b))
	}
}

func (w *tower) reason(b coffer.Backup) string { return b.Error + w.diary(b) }

func (w *tower) diary(b coffer.Backup) string {
	w.t.Helper()
	events, err := w.db.Events(w.t.Context(), farm, coffer.JobID(b.ID), 0, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range events {
		all.WriteString(e.Text + "\n")
	}
	return all.String()
}
