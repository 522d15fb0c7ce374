// Package taskmanager is the role that carries out decisions: it sends work to
// agents, runs the jobs that need no agent (verify, delete, import), rescues jobs whose
// runner is lost, and sweeps from the stores what is proven ours and dead.
//
// Rows are the work and messages are doorbells: an intent stays due until its
// effect (a runner) is in the row, and is rung again until then.
//
// Any number of task managers may run on one set of records: every step is a
// conditional change of a row, and what one of them has begun when it dies another
// goes on with. How long something has lasted each measures for itself, on its own
// monotonic clock: a time in a row was written by another process, whose clock may
// have jumped, and is for people to read and for ordering.
package taskmanager

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
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/plan"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/trovestore"
)

// Records is what a task manager asks of the metadata.
type Records interface {
	settle.Records
	Installation() coffer.InstallationID
	Due(context.Context, time.Time, int) ([]coffer.Job, error)
	Rang(ctx context.Context, job coffer.JobID, now, next time.Time) (bool, error)
	RangAll(ctx context.Context, now time.Time, bells []records.Bell) ([]bool, error)
	Running(context.Context) ([]coffer.Job, error)
	JobByID(context.Context, coffer.JobID) (coffer.Job, error)
	Chain(context.Context, coffer.ProjectID, coffer.BackupID) ([]coffer.Backup, error)
	Assign(ctx context.Context, restore coffer.JobID, from, to coffer.AgentID) (bool, error)
	SetWaiting(ctx context.Context, job coffer.JobID, from, to string) (bool, error)
	Requeue(context.Context, coffer.JobID, coffer.Runner, time.Time) (bool, error)
	Claim(context.Context, coffer.JobID, coffer.Runner, time.Time) (coffer.Job, error)
	Report(context.Context, records.Report) (bool, error)
	Finish(context.Context, coffer.JobID, time.Time) (bool, error)
	MarkLost(context.Context, coffer.JobID, time.Time) error
	AddEvents(context.Context, coffer.JobID, []coffer.Event) error
	Deleted(context.Context, coffer.BackupID, time.Time) error
	DeleteFailed(context.Context, coffer.BackupID, records.Ending) error
	CreateImport(context.Context, records.NewImport) (b coffer.Backup, made bool, err error)
	SetImportParent(ctx context.Context, job coffer.JobID, runner coffer.Runner, parent coffer.BackupID) (bool, error)
	CompleteImport(context.Context, coffer.JobID, coffer.Runner, records.Completion) (bool, error)
	SetVerdict(context.Context, coffer.BackupID, coffer.Verdict) error
	Agent(context.Context, coffer.AgentID) (coffer.Agent, error)
	Agents(context.Context) ([]coffer.Agent, error)
	Counter(context.Context, string) (uint64, error)
	RaiseCounter(context.Context, string) (uint64, error)
	Places(context.Context) ([]records.Place, error)
	FailedBackups(ctx context.Context, after coffer.BackupID, limit int) ([]coffer.Backup, error)
	Swept(context.Context, coffer.BackupID) error
	LongChains(ctx context.Context, links int, after coffer.BackupID, limit int) ([]coffer.Backup, error)
	CreateSynthesis(context.Context, records.NewSynthesis) (coffer.Backup, error)
	Prune(ctx context.Context, before time.Time) (int, error)
	PruneJoins(ctx context.Context, before time.Time) (int, error)
}

// Keys opens data keys for jobs that must read what is stored.
type Keys interface {
	// Identities gives what opens the archives of key, read from beside them.
	// Without an identity file it gives none and no error.
	Identities(ctx context.Context, p archive.Place, key coffer.KeyID) ([]age.Identity, error)
}

// Timings of a task manager; a zero field takes the default in brackets.
type Timings struct {
	Ring     time.Duration // how often due intents are looked for [500 ms]
	Rescue   time.Duration // how often running jobs are observed [1 s]
	Lease    time.Duration // no beat for so long: lost [coffer.LeaseLost]
	Deadline time.Duration // a manifest's [coffer.ManifestDeadline]
	Sweep    time.Duration // how often the stores are swept [5 min]
	Grace    time.Duration // between two listings that must agree [5 min]
	Prune    time.Duration // how often the records are pruned [1 h]
	Keep     time.Duration // what has been over for so long is pruned [90 days]
	Shorten  time.Duration // how often long chains are looked for [1 min]
	Rejoin   time.Duration // pause after a chain could not be joined, four times that after the next [5 min]
	MaxQueue time.Duration // an intent that this process saw nobody take for so long FAILS [24 h]
}

// TaskManager is the role. Its fields are what it needs; Run is its life.
type TaskManager struct {
	ID      coffer.AgentID // of this process, for the jobs that it runs itself
	Boot    string
	Records Records
	Bus     bus.Bus
	Stores  settle.Stores
	Settler *settle.Settler
	Keys    Keys
	Trove   trovestore.Sources // nil: backups of Trove's cannot be read here
	Log     *slog.Logger
	Now     func() time.Time
	Timings Timings
	Caps    Caps
	Chains  Chains
	// Dead is extra proof that a runner is gone: a lock that this process holds. It
	// is for a control plane that is one process; with others beside it, nil.
	Dead func(coffer.Runner) bool

	rescuing sync.Mutex // guards watch: one pass at a time
	watch    watcher

	belling  sync.Mutex // guards the next four: one round at a time
	bells    map[coffer.JobID]*bell
	served   map[coffer.ProjectID]time.Time // when each project was last rung for
	storesOf map[coffer.JobID]string        // of running jobs
	heard    plan.Heard

	sweeping sync.Mutex                    // guards the next three
	seen     map[string]time.Time          // when each orphan was first listed
	gone     map[coffer.BackupID]time.Time // when each dead backup's runner was first found replaced
	turns    uint64                        // the sweeps' counter as it was last seen

	joining sync.Mutex                   // guards failing
	failing map[coffer.BackupID]*failing // by the chain's full

	mu   sync.Mutex
	own  map[coffer.JobID]context.CancelFunc // jobs that run here
	wake chan struct{}
}

func (t *TaskManager) runner() coffer.Runner { return coffer.NewRunner(t.ID, t.Boot) }

// Run works until ctx ends and the jobs that run here have stopped. ready may be
// nil.
func (t *TaskManager) Run(ctx context.Context, ready func()) error {
	t.init()
	mux := bus.Mux{}
	bus.Handle(mux, message.Dispatch, t.dispatched)
	bus.Handle(mux, message.Cancel, t.cancelled)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.Bus.Serve(ctx, message.TaskManager, mux.Serve, ready) })
	g.Go(func() error { return t.ringing(ctx, g) })
	g.Go(func() error { return t.every(ctx, t.Timings.Rescue, "observe running jobs", t.Rescue) })
	g.Go(func() error { return t.every(ctx, t.Timings.Sweep, "sweep the stores", t.sweepInTurn) })
	g.Go(func() error { return t.every(ctx, t.Timings.Prune, "prune the records", t.prune) })
	g.Go(func() error { return t.every(ctx, t.Timings.Shorten, "join long chains", t.shorten) })
	return g.Wait()
}

func (t *TaskManager) init() {
	t.mu.Lock()
	defer t.mu.Unlock()
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Timings.Ring, 500*time.Millisecond)
	def(&t.Timings.Rescue, time.Second)
	def(&t.Timings.Lease, coffer.LeaseLost)
	def(&t.Timings.Deadline, coffer.ManifestDeadline)
	def(&t.Timings.Sweep, 5*time.Minute)
	def(&t.Timings.Grace, 5*time.Minute)
	def(&t.Timings.Prune, time.Hour)
	def(&t.Timings.Shorten, time.Minute)
	def(&t.Timings.Rejoin, 5*time.Minute)
	def(&t.Timings.Keep, 90*24*time.Hour)
	def(&t.Timings.MaxQueue, 24*time.Hour)
	if t.own == nil {
		t.own = map[coffer.JobID]context.CancelFunc{}
		t.wake = make(chan struct{}, 1)
		t.seen = map[string]time.Time{}
		t.failing = map[coffer.BackupID]*failing{}
		t.gone = map[coffer.BackupID]time.Time{}
		t.bells = map[coffer.JobID]*bell{}
		t.served = map[coffer.ProjectID]time.Time{}
		t.storesOf = map[coffer.JobID]string{}
		t.watch = watcher{jobs: map[coffer.JobID]*watched{}}
	}
}

// every runs f at an interval until ctx ends; an error is logged, once each time,
// and f is tried again.
func (t *TaskManager) every(ctx context.Context, d time.Duration, what string, f func(context.Context) error) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := f(ctx); err != nil && ctx.Err() == nil {
				t.Log.Warn("could not "+what+"; will try again", "err", err, "hint", coffer.HintOf(err))
			}
		}
	}
}

// busy reports whether as many jobs run in this process as may.
func (t *TaskManager) busy() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.own) >= ownAtOnce
}

// dispatched is the doorbell: the row is read again by the ringing loop.
func (t *TaskManager) dispatched(context.Context, message.JobRef) (message.None, error) {
	t.awake()
	return message.None{}, nil
}

// awake lets the ringing loop look at once.
func (t *TaskManager) awake() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// cancelled ends a job that runs here; its row already says cancel.
func (t *TaskManager) cancelled(_ context.Context, a message.JobRef) (message.None, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stop := t.own[a.Job]; stop != nil {
		stop()
	}
	return message.None{}, nil
}
