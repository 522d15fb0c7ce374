package trovelink

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/retry"
)

// Guest is Coffer's agent under Trove. Its fields are what it needs; Run is its life.
//
// Its bus serves [GuestVersion], keeps its queues, lets casts wait for days, and has
// Trove's key of this instance where RPC is encrypted.
type Guest struct {
	Instance coffer.InstanceID // guest_id
	Bus      bus.Bus
	Engine   engine.Engine
	Options  engine.Options
	HTTP     *http.Client // to the object store; nil is Go's own
	Dir      string       // its own, 0700: the journal, and what increments stand on
	Region   string       // of the object store; "" is the only one
	// ContextOf is the context of the message that is handled: the bus's own.
	ContextOf func(context.Context) map[string]json.RawMessage
	Beat      time.Duration // between heartbeats; 0 is 30 s
	StopWait  time.Duration // how long a stop waits for the backup that runs; 0 ends it at once
	Now       func() time.Time
	Log       *slog.Logger

	patient retry.Policy // with the store; zero is storePatience
	stamps  stamps
	sending sync.Mutex // reports go out in the order of their stamps

	mu   sync.Mutex
	busy bool // a backup runs
	work sync.WaitGroup
}

// Run serves until ctx ends, and then until the backup that runs has ended: no other
// begins meanwhile. One that takes longer than StopWait is FAILED. Trove is told now,
// or at the next start. ready may be nil.
func (g *Guest) Run(ctx context.Context, ready func()) error {
	g.Beat = cmp.Or(g.Beat, 30*time.Second)
	if g.HTTP == nil {
		g.HTTP = http.DefaultClient
	}
	if g.patient == (retry.Policy{}) {
		g.patient = storePatience()
	}
	if err := g.stamps.open(g.Dir, g.Now); err != nil {
		return err
	}
	old, err := g.read()
	if err != nil {
		return err
	}
	asked, leave := context.WithCancel(ctx)
	defer leave()
	life, end := later(asked, g.StopWait)
	defer end()
	beats, quiet := context.WithCancel(context.WithoutCancel(ctx)) // as long as a backup runs
	if old != nil {
		g.busy = true
		g.work.Go(func() { g.settle(asked, old) })
	}
	var wg errgroup.Group
	wg.Go(func() error {
		defer quiet()
		err := g.Bus.Serve(asked, g.target(), g.mux(asked, life).Serve, ready)
		leave()
		if ctx.Err() == nil {
			end() // nobody has asked: what runs is not waited for
		} else if g.runs() && g.StopWait > 0 {
			g.Log.Warn("asked to stop: the backup that runs is finished first", "wait", g.StopWait)
		}
		g.work.Wait()
		return err
	})
	wg.Go(func() error { g.beat(beats); return nil })
	return wg.Wait()
}

// later is a context that ends a while after ctx does, or by its own end.
func later(ctx context.Context, after time.Duration) (_ context.Context, end func()) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(after, cancel)
		context.AfterFunc(out, func() { t.Stop() })
	})
	return out, func() { forget(); cancel() }
}

// runs reports whether a backup runs, or its end is still to be told.
func (g *Guest) runs() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.busy
}

// target is where Trove's task managers reach a guest: its topic, and on it a server
// of the same name.
func (g *Guest) target() bus.Target {
	t := message.GuestAgent(g.Instance)
	t.Server = string(g.Instance)
	return t
}

// mux are the methods that are served. What they begin runs until life ends, which is
// a while after a stop was asked for.
func (g *Guest) mux(asked, life context.Context) bus.Mux {
	mux := bus.Mux{}
	bus.Handle(mux, createBackup, func(ctx context.Context, a createArgs) (message.None, error) {
		return message.None{}, g.create(ctx, asked, life, a.BackupInfo)
	})
	yes := func(context.Context, bus.Message) (any, error) { return true, nil }
	mux["rpc_ping"], mux["backup_required_for_replication"] = yes, yes
	mux["get_filesystem_stats"] = func(ctx context.Context, _ bus.Message) (any, error) { return g.filesystem(ctx) }
	mux["prepare"] = func(ctx context.Context, _ bus.Message) (any, error) { return nil, g.prepare(ctx) }
	return mux
}

// prepare would make the database; that is refused, and Trove is told, so that the
// instance does not wait in BUILD for ever.
func (g *Guest) prepare(ctx context.Context) error {
	r, err := readRequest(g.ContextOf(ctx))
	if err != nil {
		return err
	}
	refused := coffer.E(coffer.KindUnsupported, "prepare the instance", "Coffer's agent looks after a database that is there; it makes and restores none under Trove").
		WithHint("restore with Coffer's own control plane, or with Trove's own agent: the backups are in Trove's layout")
	g.say(ctx, r, refused)
	g.tell(ctx, nil, func(ctx context.Context, sent float64) error { return g.sendBeat(ctx, sent, "failed to spawn") })
	return refused
}

const gib = 1 << 30

// filesystem is what the data folder's filesystem has.
func (g *Guest) filesystem(ctx context.Context) (Filesystem, error) {
	facts, err := g.Engine.Probe(ctx, engine.Base{})
	if err != nil {
		return Filesystem{}, coffer.Wrap("look at the database", err)
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(facts.DataDir, &s); err != nil {
		return Filesystem{}, coffer.E(coffer.KindInternal, "look at the filesystem", "%w", err)
	}
	total, free := int64(s.Blocks)*s.Bsize, int64(s.Bfree)*s.Bsize
	return Filesystem{
		BlockSize: s.Bsize, TotalBlocks: int64(s.Blocks), FreeBlocks: int64(s.Bfree), AvailBlocks: int64(s.Bavail),
		Total: float64(total) / gib, Free: free, Used: coffer.Sizes{Data: total - free}.GiB(), Extra: map[string]any{},
	}, nil
}

// beat sends a heartbeat now and then. One that cannot be sent is not kept: the next
// one says the same.
func (g *Guest) beat(ctx context.Context) {
	tick := time.NewTicker(g.Beat)
	defer tick.Stop()
	for {
		status := g.health(ctx)
		err := g.stamped(func(sent float64) error { return g.sendBeat(ctx, sent, status) })
		if err != nil && ctx.Err() == nil {
			g.Log.Warn("could not send a heartbeat; the next one follows", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// health is the database's state in Trove's words. Whatever it refuses to tell, a
// server that answers is healthy.
func (g *Guest) health(ctx context.Context) string {
	ctx, stop := context.WithTimeout(ctx, g.Beat)
	defer stop()
	if _, err := g.Engine.Probe(ctx, engine.Base{}); coffer.IsKind(err, coffer.KindUnavailable) {
		return "crashed"
	}
	return "healthy"
}

func (g *Guest) sendBeat(ctx context.Context, sent float64, status string) error {
	b := Beat{InstanceID: string(g.Instance), Sent: sent}
	b.Payload.ServiceStatus = status
	return heartbeat.Cast(ctx, g.Bus, toConductor, b)
}
