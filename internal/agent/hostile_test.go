package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// desk is an agent with a fake database, a store in memory, and a control plane
// that the test plays.
type desk struct {
	t    *testing.T
	bus  *local.Bus
	mem  *storetest.Memory
	fake *enginetest.Fake
	a    *Agent

	mu     sync.Mutex
	order  message.Order
	commit func() (message.CommitReply, error)
	done   func(message.DoneArgs) (message.DoneReply, error)
	heard  []message.DoneArgs
	sum    string // of the manifest that a commit was last asked for

	end     context.CancelFunc
	ended   chan error
	control context.CancelFunc
	plane   chan struct{}
	phase   atomic.Value                                    // of the last report
	deleted func(message.HeartbeatArgs) []coffer.InstanceID // nil is none
}

func (d *desk) Open(context.Context, string) (store.Full, error) { return d.mem, nil }

func (d *desk) Engine(coffer.Conn) (engine.Engine, error) { return d.fake, nil }

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{
		t: t, bus: local.New(), mem: storetest.NewMemory(), fake: &enginetest.Fake{Bytes: 10 << 10},
		commit: func() (message.CommitReply, error) { return message.CommitReply{Granted: true}, nil },
		done: func(a message.DoneArgs) (message.DoneReply, error) {
			if a.Outcome == message.Failed {
				return message.DoneReply{State: coffer.Failed}, nil
			}
			return message.DoneReply{State: coffer.Completed}, nil
		},
	}
	state := t.TempDir()
	d.a = &Agent{
		ID: "a", Boot: "1", Bus: d.bus, Stores: d, Engines: d, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Config: Config{StateDir: state, SpoolDir: state, Workers: 1, Beat: time.Hour, Retry: retry.Policy{Min: time.Millisecond, Max: 10 * time.Millisecond}},
	}
	return d
}

// begin starts the control plane and the agent.
func (d *desk) begin() {
	ctx, stop := context.WithCancel(context.WithoutCancel(d.t.Context()))
	d.control, d.plane = stop, make(chan struct{})
	mux := bus.Mux{}
	bus.Handle(mux, message.Claim, func(context.Context, message.ClaimArgs) (message.Order, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.order, nil
	})
	bus.Handle(mux, message.Commit, func(_ context.Context, a message.CommitArgs) (message.CommitReply, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.sum = a.ManifestSHA256
		return d.commit()
	})
	bus.Handle(mux, message.Report, func(_ context.Context, a message.ReportArgs) (message.None, error) {
		d.phase.Store(a.Phase)
		return message.None{}, nil
	})
	bus.Handle(mux, message.Heartbeat, func(_ context.Context, a message.HeartbeatArgs) (message.HeartbeatReply, error) {
		if d.deleted != nil {
			return message.HeartbeatReply{Deleted: d.deleted(a)}, nil
		}
		return message.HeartbeatReply{}, nil
	})
	bus.Handle(mux, message.Done, func(_ context.Context, a message.DoneArgs) (message.DoneReply, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.heard = append(d.heard, a)
		return d.done(a)
	})
	up := make(chan struct{})
	go func() {
		defer close(d.plane)
		if err := d.bus.Serve(ctx, message.Conductor, mux.Serve, func() { close(up) }); err != nil {
			d.t.Error(err)
		}
	}()
	<-up
	actx, end := context.WithCancel(context.WithoutCancel(d.t.Context()))
	d.end, d.ended = end, make(chan error, 1)
	ready := make(chan struct{})
	go func() { d.ended <- d.a.Run(actx, func() { close(ready) }) }()
	<-ready
	d.t.Cleanup(func() { d.end(); <-d.ended; d.control(); <-d.plane })
}

// run has the agent run an order and gives its last word once it is answered.
func (d *desk) run(o message.Order) message.DoneArgs {
	d.t.Helper()
	d.mu.Lock()
	d.order, d.heard = o, nil
	d.mu.Unlock()
	if err := message.Start.Cast(d.t.Context(), d.bus, message.HostAgent("a"), message.JobRef{Job: o.Job}); err != nil {
		d.t.Fatal(err)
	}
	d.poll("the journal is empty", func() bool { return len(d.last()) > 0 && d.entries() == 0 })
	return d.last()[len(d.last())-1]
}

func (d *desk) last() []message.DoneArgs {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]message.DoneArgs(nil), d.heard...)
}

func (d *desk) entries() int {
	names, err := filepath.Glob(filepath.Join(d.a.Config.StateDir, "journal", "*.json"))
	if err != nil {
		d.t.Fatal(err)
	}
	return len(names)
}

func (d *desk) poll(what string, cond func() bool) {
	d.t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatal("not in time: " + what)
		}
	}
}

func backupOrder() message.Order {
	id := coffer.NewUUID()
	return message.Order{
		Job: coffer.JobID(id), Kind: coffer.JobBackup, Project: "p", Installation: "i", Root: id,
		Instance: coffer.Instance{ID: coffer.InstanceID(coffer.NewUUID())}, Store: "s",
	}
}

// An agent that is told to stop stops, also while the control plane is gone or
// still looking; its journal says the rest in the next life.
func TestStopsWhileNobodyAnswers(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{true, false} {
		d := newDesk(t)
		d.done = func(message.DoneArgs) (message.DoneReply, error) { return message.DoneReply{State: coffer.Saving}, nil }
		d.order = backupOrder()
		d.begin()
		if err := message.Start.Cast(t.Context(), d.bus, message.HostAgent("a"), message.JobRef{Job: d.order.Job}); err != nil {
			t.Fatal(err)
		}
		d.poll("a last word", func() bool { return len(d.last()) > 0 })
		if gone {
			d.control()
			<-d.plane
		}
		d.end()
		select {
		case err := <-d.ended:
			d.ended <- err
		case <-time.After(8 * time.Second):
			t.Fatal("the agent does not stop")
		}
		if d.entries() != 1 {
			t.Error("the journal has forgotten the job")
		}
	}
}

// A control plane that is stopped in the middle of the commit has not answered.
func TestAStoppedControlPlaneIsNoAnswer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var asked, said atomic.Int32
	d.commit = func() (message.CommitReply, error) {
		switch asked.Add(1) {
		case 1:
			return message.CommitReply{}, context.Canceled
		case 2:
			return message.CommitReply{}, coffer.E(coffer.KindNoSpace, "write the row", "no room")
		}
		return message.CommitReply{Granted: true}, nil
	}
	answer := d.done
	d.done = func(a message.DoneArgs) (message.DoneReply, error) {
		if said.Add(1) < 3 {
			return message.DoneReply{}, coffer.E(coffer.KindNoSpace, "write the row", "no room")
		}
		return answer(a)
	}
	d.begin()
	if w := d.run(backupOrder()); w.Outcome != message.Written {
		t.Errorf("%+v", w)
	}
}

// fakeHost is a host of one folder.
type fakeHost struct {
	dir     string
	removed atomic.Int32
	last    atomic.Value // the instance that was removed last
	slots   []host.Slot
	running []host.Running
}

func (h *fakeHost) Prepare(_ context.Context, id coffer.InstanceID, _ int) (host.Slot, error) {
	dir := filepath.Join(h.dir, string(id))
	return host.Slot{Instance: id, DataDir: dir}, os.MkdirAll(dir, 0o700)
}

func (h *fakeHost) Start(context.Context, host.Slot, map[string]string) (coffer.Conn, error) {
	return coffer.Conn{Socket: "/s"}, nil
}

func (h *fakeHost) Remove(_ context.Context, id coffer.InstanceID) error {
	h.last.Store(string(id))
	h.removed.Add(1)
	return nil
}
func (h *fakeHost) Free() (int64, error)          { return 1 << 40, nil }
func (h *fakeHost) Dir() string                   { return h.dir }
func (h *fakeHost) Running() []host.Running       { return h.running }
func (h *fakeHost) Slots() ([]host.Slot, error)   { return h.slots, nil }
func (h *fakeHost) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// A restore that was given up while it went on leaves no server behind.
func TestALostRestoreRemovesItsServer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	h := &fakeHost{dir: t.TempDir()}
	d.a.Host = h
	d.begin()
	b := backupOrder()
	if w := d.run(b); w.Outcome != message.Written {
		t.Fatalf("%+v", w)
	}
	o := message.Order{
		Job: coffer.JobID(coffer.NewUUID()), Kind: coffer.JobRestore, Project: "p", Installation: "i",
		Instance: coffer.Instance{ID: coffer.InstanceID(coffer.NewUUID())},
		Chain:    []message.Link{{Backup: coffer.BackupID(b.Job), Store: "s", ManifestSHA256: d.sum}},
	}
	if w := d.run(o); w.Outcome != message.Ended || h.removed.Load() != 0 {
		t.Fatalf("%+v, removed %d times", w, h.removed.Load())
	}
	d.mu.Lock()
	d.done = func(message.DoneArgs) (message.DoneReply, error) { return message.DoneReply{State: coffer.Failed}, nil }
	d.mu.Unlock()
	o.Job, o.Instance.ID = coffer.JobID(coffer.NewUUID()), coffer.InstanceID(coffer.NewUUID())
	if w := d.run(o); w.Outcome != message.Ended || h.removed.Load() != 1 {
		t.Errorf("%+v, removed %d times", w, h.removed.Load())
	}
}

// After a restart a job that is still looked at keeps no other from its end; the
// one whose commit was asked is not failed.
func TestReplayWaitsForNoOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	j, err := openJournal(d.a.Config.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []entry{{Job: "a-looked-at", Runner: "a/0", Commit: true}, {Job: "b-cut", Runner: "a/0"}} {
		if err := j.put(e); err != nil {
			t.Fatal(err)
		}
	}
	d.done = func(a message.DoneArgs) (message.DoneReply, error) {
		if a.Outcome == message.Failed {
			return message.DoneReply{State: coffer.Failed}, nil
		}
		return message.DoneReply{State: coffer.Saving}, nil
	}
	d.begin()
	d.poll("the other's end", func() bool { return d.entries() == 1 })
	for _, a := range d.last() {
		want := message.Failed
		if a.Job == "a-looked-at" {
			want = message.Unknown
		}
		if a.Outcome != want || a.Runner != "a/0" {
			t.Errorf("%+v", a)
		}
	}
}
