// Package agent is the role beside the database. It serves one topic for each
// instance that it looks after and one of its own, claims the jobs that it is
// rung for, runs the database's tool, streams its output into the store, and asks
// the conductor for the commit.
//
// An agent has no records. What it must remember over a restart is its journal:
// one small file for each job that it has begun, removed when the control plane
// has said how the job ended. From the moment it has sent commit it deletes
// nothing of that id, also after a restart, unless the answer is an explicit
// refusal; it starts no write of a manifest later than [coffer.ManifestDeadline]
// after it last asked.
package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/trovestore"
)

// Stores opens the stores that the agent may write, by name.
type Stores interface {
	Open(ctx context.Context, name string) (store.Full, error)
}

// Placer is what Stores may be besides: it chooses the container where containers are
// the projects' own, for an object that no row names.
type Placer interface {
	Own(store string) bool
	Choose(ctx context.Context, store string, p coffer.ProjectID, in coffer.InstanceID, asked string) (used, wanted string, err error)
}

// Engines gives the engine for a server. A zero Conn gives one for restores.
type Engines interface {
	Engine(conn coffer.Conn) (engine.Engine, error)
}

// Keys opens wrapped data keys; only an agent that restores has an identity.
type Keys interface {
	Identities(ctx context.Context, p archive.Place, key coffer.KeyID) ([]age.Identity, error)
}

// Config is what an agent may use of its machine; zero fields take the defaults.
type Config struct {
	StateDir    string // journal and chain summaries, 0700
	SpoolDir    string
	SpoolBytes  int64
	Workers     int   // compression workers; 0 is all cores
	InFlight    int64 // bytes of parts under way; 0 is the archive's default
	Compression string
	Options     engine.Options // bounds of the holds
	Heartbeat   time.Duration  // 0 is coffer.HeartbeatEvery
	Beat        time.Duration  // 0 is coffer.BeatEvery
	Deadline    time.Duration  // 0 is coffer.ManifestDeadline
	StopWait    time.Duration  // how long a stop waits for running jobs; 0 is not at all
	Retry       retry.Policy   // for calls to the conductor
	Version     string
}

// Agent is the role. Its fields are what it needs; Run is its life.
type Agent struct {
	ID      coffer.AgentID
	Boot    string
	Bus     bus.Bus
	Stores  Stores
	Engines Engines
	Host    Host               // nil: no restores into servers here
	Keys    Keys               // nil: nothing encrypted can be read here
	Trove   trovestore.Sources // nil: no backups of Trove's can be read here
	Config  Config
	Log     *slog.Logger
	Now     func() time.Time
	// Boottime is the clock of a grant's deadline; nil is CLOCK_BOOTTIME, which
	// goes on while the machine sleeps and while this process is stopped.
	Boottime func() time.Duration
	// Failpoint is called at each named step; tests kill or stop the process
	// there. nil is nothing.
	Failpoint func(step string)

	journal  *journal
	mu       sync.Mutex
	jobs     map[coffer.JobID]context.CancelCauseFunc
	serving  map[coffer.InstanceID]context.CancelFunc
	clearing map[coffer.InstanceID]bool // deleted instances whose servers are being removed
	beating  sync.Mutex                 // one heartbeat at a time
	beats    uint64
	wake     chan struct{}
	// The life of Run: jobs and topics that begin later belong to it.
	life    context.Context
	group   *errgroup.Group
	noted   map[coffer.JobID]bool // jobs whose end is in the journal
	leaving bool                  // asked to stop: no job begins
	left    context.CancelFunc    // ends life
}

var errCancelled = coffer.E(coffer.KindCanceled, "run the job", "somebody cancelled it")

func (a *Agent) runner() coffer.Runner { return coffer.NewRunner(a.ID, a.Boot) }

func (a *Agent) step(name string) {
	if a.Failpoint != nil {
		a.Failpoint(name)
	}
}

// Run serves until ctx ends, and then until the jobs under way have ended, for
// Config.StopWait at most. Those that have not are stopped and stay in the journal;
// restored servers keep running. ready may be nil.
func (a *Agent) Run(ctx context.Context, ready func()) error {
	if err := a.init(); err != nil {
		return err
	}
	ctx, end := a.outstay(ctx)
	defer end()
	g, ctx := errgroup.WithContext(ctx)
	a.group, a.life = g, ctx
	g.Go(func() error { return a.replay(ctx) })
	g.Go(func() error { return a.heartbeats(ctx) })
	g.Go(func() error { return a.Bus.Serve(ctx, message.HostAgent(a.ID), a.mux().Serve, ready) })
	if a.Host != nil {
		g.Go(func() error { return a.Host.Run(ctx) })
	}
	return g.Wait()
}

func (a *Agent) init() error {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&a.Config.Heartbeat, coffer.HeartbeatEvery)
	def(&a.Config.Beat, coffer.BeatEvery)
	def(&a.Config.Deadline, coffer.ManifestDeadline)
	if a.Config.Retry == (retry.Policy{}) {
		a.Config.Retry = retry.Policy{Min: 200 * time.Millisecond, Max: 10 * time.Second}
	}
	if a.Boottime == nil {
		a.Boottime = boottime
	}
	a.jobs = map[coffer.JobID]context.CancelCauseFunc{}
	a.noted = map[coffer.JobID]bool{}
	a.serving = map[coffer.InstanceID]context.CancelFunc{}
	a.clearing = map[coffer.InstanceID]bool{}
	a.wake = make(chan struct{}, 1)
	j, err := openJournal(a.Config.StateDir)
	a.journal = j
	return coffer.Wrap("open the agent's journal", err)
}

// mux is what an agent does: a closed list.
func (a *Agent) mux() bus.Mux {
	mux := bus.Mux{}
	bus.Handle(mux, message.Start, func(_ context.Context, r message.JobRef) (message.None, error) {
		return message.None{}, a.start(r.Job)
	})
	bus.Handle(mux, message.Cancel, a.cancel)
	bus.Handle(mux, message.Forget, a.forget)
	bus.Handle(mux, message.Register, a.register)
	bus.Handle(mux, message.Look, a.look)
	bus.Handle(mux, message.Tables, a.tables)
	return mux
}

// start makes the job ours on disk, then returns; the work goes on by itself. A
// doorbell for a job that runs here already changes nothing.
func (a *Agent) start(id coffer.JobID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, runs := a.jobs[id]; runs || a.leaving || a.life.Err() != nil {
		return nil
	}
	if err := a.journal.put(entry{Job: id, Runner: a.runner(), Begun: a.Now()}); err != nil {
		return coffer.Wrap("note the job in the journal", err)
	}
	ctx, cancel := context.WithCancelCause(a.life)
	a.jobs[id] = cancel
	a.group.Go(func() error {
		defer func() {
			cancel(nil)
			a.mu.Lock()
			delete(a.jobs, id)
			delete(a.noted, id)
			a.leave()
			a.mu.Unlock()
		}()
		a.run(ctx, id)
		return nil
	})
	return nil
}

func (a *Agent) cancel(_ context.Context, r message.JobRef) (message.None, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if stop := a.jobs[r.Job]; stop != nil {
		stop(errCancelled)
	}
	return message.None{}, nil
}

// call repeats f until it is answered, for as long as ctx lives. That the other
// side was stopped in the middle is no answer.
func (a *Agent) call(ctx context.Context, op string, f func(context.Context) error) error {
	return a.Config.Retry.Do(ctx, op, func(ctx context.Context) error {
		cctx, stop := context.WithTimeout(ctx, callTimeout)
		defer stop()
		err := f(cctx)
		if ctx.Err() == nil && coffer.IsKind(err, coffer.KindCanceled) {
			return coffer.E(coffer.KindUnavailable, "", "%w", err)
		}
		return err
	})
}

// answer makes an error that says nothing about the job, as of a control plane
// without room, worth asking again.
func answer(err error) error {
	if err == nil || coffer.IsKind(err, coffer.KindConflict, coffer.KindNotFound, coffer.KindUnsupported, coffer.KindInvalid) {
		return err
	}
	return coffer.E(coffer.KindUnavailable, "", "%w", err)
}

const callTimeout = 20 * time.Second
