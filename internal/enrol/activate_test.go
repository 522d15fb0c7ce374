package enrol

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
)

// newcomer is an agent that has joined, played by the test, and its instance.
type newcomer struct {
	*Activator
	t      *testing.T
	db     *records.DB
	in     coffer.InstanceID
	log    bytes.Buffer
	mu     sync.Mutex
	looks  int
	during func() // while the agent looks
	err    error  // what the look comes to
	bad    error  // what the read of the probe comes to
}

func (n *newcomer) ReadProbe(_ context.Context, store, object, sum string) error {
	if store != "main" || object != "probe" || sum != "sum" {
		n.t.Errorf("%s %s %s", store, object, sum)
	}
	return n.bad
}

func newNewcomer(t *testing.T) *newcomer {
	t.Helper()
	db, err := records.Open(t.Context(), filepath.Join(t.TempDir(), "r.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	n := &newcomer{t: t, db: db, in: coffer.InstanceID(newID())}
	n.Activator = &Activator{
		Records: db, Bus: local.New(), Prober: n, Store: "main", Log: slog.New(slog.NewTextHandler(&n.log, nil)), Now: time.Now,
		VersionID: func(d coffer.Datastore) string { return d.Type + "-" + d.Version },
	}
	row := coffer.Instance{ID: n.in, Project: "p", Agent: "a", Kind: coffer.Registered, Status: "BUILD", Conn: coffer.Conn{Socket: "/s"}}
	if err := db.CreateInstance(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	n.run(func(ctx context.Context, ready func()) error {
		mux := bus.Mux{}
		bus.Handle(mux, message.Register, n.look)
		return n.Bus.Serve(ctx, message.HostAgent("a"), mux.Serve, ready)
	})
	return n
}

func (n *newcomer) run(serve func(context.Context, func()) error) {
	n.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, end := make(chan struct{}), make(chan error, 1)
	go func() { end <- serve(ctx, func() { close(ready) }) }()
	n.t.Cleanup(func() {
		stop()
		if err := <-end; err != nil {
			n.t.Error(err)
		}
	})
	<-ready
}

func (n *newcomer) look(_ context.Context, r message.RegisterArgs) (message.RegisterReply, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.looks++
	if n.during != nil {
		n.during()
	}
	if r.Instance != n.in || r.Project != "p" || r.StoreName != "main" || r.Conn.Socket != "/s" {
		n.t.Errorf("%+v", r)
	}
	return message.RegisterReply{
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Conn: coffer.Conn{Socket: "/evil", DataDir: "/data"},
		DataBytes: 1<<30 + 1, ProbeObject: "probe", ProbeSHA256: "sum",
	}, n.err
}

func (n *newcomer) row() coffer.Instance {
	n.t.Helper()
	in, err := n.db.InstanceByID(n.t.Context(), n.in)
	if err != nil {
		n.t.Fatal(err)
	}
	return in
}

// An instance is ACTIVE when its agent has looked and its probe was read back; the
// bell may ring as often as it likes.
func TestActivate(t *testing.T) {
	t.Parallel()
	n := newNewcomer(t)
	n.run(n.Run)
	for range 3 {
		if err := message.Enrolled.Cast(t.Context(), n.Bus, message.Enrolment, message.InstanceRef{Instance: n.in}); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(10 * time.Second); n.row().Status != "ACTIVE"; {
		if time.Now().After(end) {
			t.Fatalf("%+v\n%s", n.row(), n.log.String())
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	in := n.row()
	if in.Conn != (coffer.Conn{Socket: "/s", DataDir: "/data"}) || in.VolumeGiB != 2 || in.Datastore.VersionID != "mariadb-10.11" {
		t.Errorf("%+v", in)
	}
	if err := n.Activate(t.Context(), n.in); err != nil {
		t.Error(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.looks > 3 {
		t.Errorf("%d looks", n.looks)
	}
}

// What does not come to an end well changes nothing, and is logged once.
func TestActivateWaits(t *testing.T) {
	t.Parallel()
	n := newNewcomer(t)
	n.err = coffer.E(coffer.KindTool, "look", "mariadb-backup is missing")
	for range 3 {
		n.ring(t.Context(), n.in)
	}
	n.err, n.bad = nil, coffer.E(coffer.KindNotFound, "read", "another store")
	if err := n.Activate(t.Context(), n.in); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Error(err)
	}
	if in := n.row(); in.Status != "BUILD" || in.Conn.DataDir != "" {
		t.Errorf("%+v", in)
	}
	if c := strings.Count(n.log.String(), "\n"); c != 1 || !strings.Contains(n.log.String(), "is missing") {
		t.Errorf("%d lines:\n%s", c, n.log.String())
	}
}

// The row decides, before and after the look: an instance that another agent has got
// meanwhile, or that nobody has, stays as it is.
func TestActivateReadsTheRowAgain(t *testing.T) {
	t.Parallel()
	n := newNewcomer(t)
	n.during = func() {
		in := n.row()
		in.Agent = "b"
		if err := n.db.UpdateInstance(t.Context(), in); err != nil {
			t.Error(err)
		}
	}
	if err := n.Activate(t.Context(), n.in); err != nil {
		t.Error(err)
	}
	if in := n.row(); in.Status != "BUILD" || in.Agent != "b" {
		t.Errorf("%+v", in)
	}
	in := n.row()
	in.Agent = ""
	if err := n.db.UpdateInstance(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if err := n.Activate(t.Context(), n.in); err != nil || n.looks != 1 {
		t.Errorf("%d looks: %v", n.looks, err)
	}
}
