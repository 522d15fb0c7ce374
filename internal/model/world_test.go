package model

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/agent"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/taskmanager"
)

const (
	project   = coffer.ProjectID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	storeName = "main"
	guests    = 2 // agents, each beside one database
)

// world is one Coffer, whole, inside a synctest bubble.
type world struct {
	t      testing.TB
	ctx    context.Context
	dir    string
	db     *records.DB
	bus    *local.Bus
	wx     *weather
	mem    *storetest.Memory
	faulty *storetest.Faulty
	store  store.Full // faulty, or something around it
	fakes  [guests]*enginetest.Fake
	inst   [guests]coffer.InstanceID
	ledger [guests][]string // every row that was ever added

	timings taskmanager.Timings
	caps    taskmanager.Caps
	clocks  map[string]*clock
	server  *process
	more    []*process // further control planes beside the first
	agents  [guests]*process
	all     []*process
	begun   time.Time
	mu      sync.Mutex
	story   []string
	snap    string // a copy of the records

	manifest store.Body // the last that an agent was about to write
}

// process is a role or two with one life.
type process struct {
	name  string
	lone  bool // a task manager without a conductor
	l     *life
	end   context.CancelFunc
	ended chan struct{}
	ready chan struct{}
	agent *agent.Agent
	tasks *taskmanager.TaskManager
	cond  *conductor.Conductor
}

// newWorld makes a Coffer that stands and serves. It is called inside a bubble.
func newWorld(t testing.TB, seed uint64) *world {
	w := &world{
		t: t, ctx: t.Context(), dir: tempDir(t), bus: local.New(local.WithLog(slog.New(slog.DiscardHandler))),
		wx: &weather{rng: rand.New(rand.NewPCG(seed, 2))}, mem: storetest.NewMemory(), begun: time.Now(),
		clocks: map[string]*clock{}, caps: taskmanager.Caps{Fleet: int(seed / 2 % 4)},
		timings: taskmanager.Timings{Ring: 8 * time.Second, Rescue: 5 * time.Second, Sweep: 25 * time.Second, Grace: 20 * time.Second},
	}
	w.faulty = &storetest.Faulty{Full: w.mem}
	w.store = w.faulty
	w.openRecords()
	for i := range guests {
		w.inst[i] = coffer.InstanceID(coffer.NewUUID())
		w.fakes[i] = &enginetest.Fake{Bytes: 160 << 10, DeltaBytes: 100 << 10, Rate: 40 << 10}
		w.must(w.db.CreateInstance(w.ctx, coffer.Instance{
			ID: w.inst[i], Project: project, Name: fmt.Sprint("db", i), Kind: coffer.Registered,
			Agent: w.agentID(i), Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Status: "ACTIVE",
			Created: time.Now(), Updated: time.Now(),
		}))
		w.addRows(i, 3)
	}
	w.startServer()
	for i := range guests {
		w.startAgent(i)
	}
	return w
}

// tempDir is in memory where the machine has such a place: a history is all small
// durable writes.
func tempDir(t testing.TB) string {
	const shm = "/dev/shm"
	if _, err := os.Stat(shm); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "coffer-model-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (w *world) agentID(i int) coffer.AgentID { return coffer.AgentID(fmt.Sprint("agent-", i)) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.told())
	}
}

func (w *world) openRecords() {
	db, err := records.Open(w.ctx, filepath.Join(w.dir, "records.sqlite"))
	w.must(err)
	w.db = db
}

// launch runs a process until it ends by itself or by finish.
func (w *world) launch(name string, build func(p *process) []func(context.Context, func()) error) *process {
	ctx, end := context.WithCancel(context.WithoutCancel(w.ctx))
	p := &process{name: name, l: newLife(), end: end, ended: make(chan struct{}), ready: make(chan struct{})}
	parts := build(p)
	var ready, done sync.WaitGroup
	for _, run := range parts {
		ready.Add(1)
		done.Go(func() {
			if err := run(ctx, ready.Done); err != nil && !p.l.isDead() {
				w.t.Errorf("%s ended: %v", name, err)
			}
		})
	}
	go func() { ready.Wait(); close(p.ready) }()
	go func() { done.Wait(); close(p.ended) }()
	w.all = append(w.all, p)
	<-p.ready
	return p
}

func (w *world) startServer() { w.server = w.newServer("server") }

func (w *world) newServer(name string) *process { return w.newControl(name, true) }

// newControl is a task manager, beside a conductor or alone.
func (w *world) newControl(name string, conducts bool) *process {
	now := w.clockOf(name).now
	return w.launch(name, func(p *process) []func(context.Context, func()) error {
		db, b, st := gatedDB{w.db, p.l}, gatedBus{w.bus, p.l, w.wx}, stores{w, p.l}
		log := slog.New(slog.DiscardHandler)
		p.lone = !conducts
		s := &settle.Settler{Records: db, Stores: st, Now: now, Failpoint: failpoint(p.l)}
		p.cond = &conductor.Conductor{Records: db, Bus: b, Settler: s, Log: log, Now: now, Drain: 5 * time.Second}
		p.tasks = &taskmanager.TaskManager{
			ID: coffer.AgentID(name), Boot: coffer.NewNonce(), Records: db, Bus: b, Stores: st, Settler: s,
			Log: log, Now: now, Timings: w.timings, Caps: w.caps,
		}
		if !conducts {
			return []func(context.Context, func()) error{p.tasks.Run}
		}
		return []func(context.Context, func()) error{p.cond.Run, p.tasks.Run}
	})
}

func (w *world) startAgent(i int) {
	w.agents[i] = w.launch(string(w.agentID(i)), func(p *process) []func(context.Context, func()) error {
		state := filepath.Join(w.dir, string(w.agentID(i)))
		w.must(os.MkdirAll(state, 0o700))
		p.agent = &agent.Agent{
			ID: w.agentID(i), Boot: coffer.NewNonce(), Bus: gatedBus{w.bus, p.l, w.wx}, Stores: stores{w, p.l},
			Engines: tools{w.fakes[i], p.l}, Log: slog.New(slog.DiscardHandler), Now: w.clockOf(string(w.agentID(i))).now,
			Config:   agent.Config{StateDir: state, SpoolDir: w.dir, Workers: 1, InFlight: 8 << 10, Heartbeat: 20 * time.Second},
			Boottime: func() time.Duration { return time.Since(w.begun) + time.Second }, Failpoint: failpoint(p.l),
		}
		return []func(context.Context, func()) error{p.agent.Run}
	})
}

func failpoint(l *life) func(string) {
	return func(step string) {
		// A killed life only comes back here when the test is over, and then every
		// later gate refuses it.
		_ = l.pass(step)
	}
}

// tools is the fake engine of one life: its stream passes a gate.
type tools struct {
	*enginetest.Fake
	l *life
}

func (e tools) Engine(coffer.Conn) (engine.Engine, error) { return e, nil }

func (e tools) Backup(ctx context.Context, out engine.Sink, base engine.Base, o engine.Options) (engine.Result, error) {
	return e.Fake.Backup(ctx, gatedSink{out, e.l}, base, o)
}

type gatedSink struct {
	engine.Sink
	l *life
}

func (s gatedSink) Write(p []byte) (int, error) {
	if err := s.l.pass("tool"); err != nil {
		return 0, err
	}
	return s.Sink.Write(p)
}

// finish ends a process as an operator does.
func (p *process) finish() {
	p.l.mu.Lock()
	clear(p.l.armed)
	p.l.wakeLocked()
	p.l.mu.Unlock()
	p.end()
	<-p.ended
}

// bury ends a process for good and waits for it.
func (p *process) bury() {
	p.end()
	p.l.wake()
	if p.l.isDead() {
		select {
		case <-p.l.buried:
		default:
			close(p.l.buried)
		}
	}
	<-p.ended
}

// close ends everything; what still runs then would hang the bubble.
func (w *world) close() {
	for _, p := range w.all {
		p.bury()
	}
	w.must(w.db.Close())
}
