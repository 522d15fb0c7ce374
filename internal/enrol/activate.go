package enrol

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
)

// Prober reads back, with the control plane's own credentials, the object that an
// agent has written into a store.
type Prober interface {
	ReadProbe(ctx context.Context, store, object, sha256 string) error
}

// Activator turns an instance ACTIVE when its new agent has looked at it. The
// conductor rings for each instance that still waits, with every heartbeat of its
// agent; the row is read again here, so a bell too many does nothing. Any number of
// processes may run one.
type Activator struct {
	Records   Records
	Bus       bus.Bus
	Prober    Prober
	Store     string                        // where agents write their probe
	VersionID func(coffer.Datastore) string // of a datastore's version, for the API
	Log       *slog.Logger
	Now       func() time.Time
	Workers   int // instances looked at, at once; 0 is 4

	mu    sync.Mutex
	under map[coffer.InstanceID]bool
	said  map[coffer.InstanceID]string // the last reason that was logged
}

// lookTimeout bounds an agent's look at a server and its probe of the store.
const lookTimeout = 45 * time.Second

// Run serves until ctx ends. ready may be nil.
func (a *Activator) Run(ctx context.Context, ready func()) error {
	n := a.Workers
	if n == 0 {
		n = 4
	}
	mux := bus.Mux{}
	bus.Handle(mux, message.Enrolled, func(ctx context.Context, r message.InstanceRef) (message.None, error) {
		if _, agent := AgentOf(bus.Sender(ctx)); agent {
			return message.None{}, coffer.E(coffer.KindForbidden, "look after an instance", "an agent rang")
		}
		a.ring(ctx, r.Instance)
		return message.None{}, nil
	})
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		r := ready
		if i > 0 {
			r = nil
		}
		g.Go(func() error { return a.Bus.Serve(ctx, message.Enrolment, mux.Serve, r) })
	}
	return g.Wait()
}

// ring activates an instance unless that is under way, and logs a reason once.
func (a *Activator) ring(ctx context.Context, id coffer.InstanceID) {
	a.mu.Lock()
	if a.under == nil || len(a.said) > maxSaid {
		a.under, a.said = map[coffer.InstanceID]bool{}, map[coffer.InstanceID]string{}
	}
	busy := a.under[id]
	a.under[id] = true
	a.mu.Unlock()
	if busy {
		return
	}
	err := a.Activate(ctx, id)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.under, id)
	if err == nil || ctx.Err() != nil || coffer.IsKind(err, coffer.KindNotFound) {
		delete(a.said, id)
		return
	}
	if text := err.Error(); a.said[id] != text {
		a.said[id] = text
		a.Log.Warn("an instance cannot be looked after yet; it is tried again", "instance", id, "err", err, "hint", coffer.HintOf(err))
	}
}

const maxSaid = 10_000

// Activate has the agent look at the instance's server and reads its probe object
// back. An instance that does not wait for that is left alone.
func (a *Activator) Activate(ctx context.Context, id coffer.InstanceID) error {
	const op = "begin to look after an instance"
	in, err := a.Records.InstanceByID(ctx, id)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if !message.Waits(in) {
		return nil
	}
	cctx, stop := context.WithTimeout(ctx, lookTimeout)
	defer stop()
	seen, err := message.Register.Call(cctx, a.Bus, message.HostAgent(in.Agent), message.RegisterArgs{
		Instance: in.ID, Project: in.Project, Conn: in.Conn, StoreName: a.Store,
	})
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if err := a.Prober.ReadProbe(cctx, a.Store, seen.ProbeObject, seen.ProbeSHA256); err != nil {
		return coffer.Wrap("read back what the agent wrote into store "+a.Store, err)
	}
	now, err := a.Records.InstanceByID(ctx, id)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if !message.Waits(now) || now.Agent != in.Agent {
		return nil
	}
	now.Status, now.Updated, now.Datastore, now.Conn.DataDir = "ACTIVE", a.Now(), seen.Datastore, seen.Conn.DataDir
	now.VolumeGiB = int((max(seen.DataBytes, 0) + 1<<30 - 1) >> 30)
	if a.VersionID != nil {
		now.Datastore.VersionID = a.VersionID(now.Datastore)
	}
	return coffer.Wrap(op, a.Records.UpdateInstance(ctx, now))
}
