package bench

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/message"
)

// swarm is many simulated agents: each serves the topics that an agent serves,
// sends heartbeats, and claims what it is rung for, to beat for it for ever.
type swarm struct {
	heartbeat, beat time.Duration
	buses           []*amqp.Bus
	drones          []*drone

	laps    lap // round trips, by method
	failed  atomic.Int64
	claimed atomic.Int64
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

// drone is one simulated agent.
type drone struct {
	of       *swarm
	id       coffer.AgentID
	boot     string
	instance coffer.InstanceID
	bus      bus.Bus
	deaf     atomic.Bool // it beats no more for its job, as one that hangs

	mu    sync.Mutex
	last  time.Time     // the last answer to a heartbeat
	worst time.Duration // the longest time between two
}

// launchSwarm starts the agents over some connections; they are heard for the
// first time spread over one heartbeat.
func launchSwarm(tb testing.TB, p *plane, agents, connections int, heartbeat, beat time.Duration) *swarm {
	tb.Helper()
	s := &swarm{heartbeat: heartbeat, beat: beat}
	ids := make([]coffer.AgentID, agents)
	for i := range ids {
		ids[i] = coffer.AgentID(coffer.NewUUID())
	}
	instances := p.populate(tb, ids, 1)
	for range connections {
		b, err := amqp.Dial(tb.Context(), wire(p.broker.Addr(), slog.New(slog.DiscardHandler)))
		if err != nil {
			tb.Fatal(err)
		}
		s.buses = append(s.buses, b)
	}
	ctx, stop := context.WithCancel(tb.Context())
	s.stop = stop
	tb.Cleanup(s.end)
	var ready sync.WaitGroup
	for i, id := range ids {
		d := &drone{of: s, id: id, boot: coffer.NewNonce(), instance: instances[id][0], bus: s.buses[i%connections]}
		s.drones = append(s.drones, d)
		for _, at := range []bus.Target{message.HostAgent(id), message.GuestAgent(d.instance)} {
			ready.Add(1)
			s.wg.Go(func() { _ = d.bus.Serve(ctx, at, d.mux(ctx).Serve, ready.Done) }) // its error is the bus's end
		}
	}
	ready.Wait()
	for _, d := range s.drones {
		s.wg.Go(func() { d.live(ctx) })
	}
	return s
}

// end closes the connections first: the broker then has no 20,000 goodbyes to hear.
func (s *swarm) end() {
	var all sync.WaitGroup
	for _, b := range s.buses {
		all.Go(func() { b.Close() })
	}
	all.Wait()
	s.stop()
	s.wg.Wait()
}

// forget begins the measurement anew.
func (s *swarm) forget() {
	s.laps.take()
	s.failed.Store(0)
	for _, d := range s.drones {
		d.mu.Lock()
		d.worst = 0
		d.mu.Unlock()
	}
}

// gap is the longest time that any agent had no heartbeat answered.
func (s *swarm) gap() (worst time.Duration) {
	for _, d := range s.drones {
		d.mu.Lock()
		worst = max(worst, d.worst, time.Since(d.last))
		d.mu.Unlock()
	}
	return worst
}

func (d *drone) mux(life context.Context) bus.Mux {
	mux, begun := bus.Mux{}, map[coffer.JobID]bool{}
	bus.Handle(mux, message.Start, func(_ context.Context, r message.JobRef) (message.None, error) {
		if begun[r.Job] {
			return message.None{}, nil
		}
		begun[r.Job] = true
		d.of.wg.Go(func() { d.run(life, r.Job) })
		return message.None{}, nil
	})
	return mux
}

// timeout is an agent's for each of its calls.
const timeout = 20 * time.Second

// call measures one round trip.
func call[A, R any](ctx context.Context, d *drone, m bus.Method[A, R], a A) (r R, err error) {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	from := time.Now()
	r, err = m.Call(ctx, d.bus, message.Conductor, a)
	d.of.laps.add(m.Name, time.Since(from))
	return r, err
}

// live sends heartbeats as an agent does: soon again after one without an answer.
func (d *drone) live(ctx context.Context) {
	d.note(time.Now())
	wait := rand.N(d.of.heartbeat)
	for beats := uint64(1); nap(ctx, wait); beats++ {
		wait = d.of.heartbeat
		r, err := call(ctx, d, message.Heartbeat, message.HeartbeatArgs{
			Agent: d.id, Boot: d.boot, Beat: beats, Version: "bench", At: time.Now(),
		})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil || len(r.Instances) != 1 || r.Instances[0].ID != d.instance:
			d.of.failed.Add(1)
			wait = 200 * time.Millisecond
		default:
			d.note(time.Now())
		}
	}
}

func (d *drone) note(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.last.IsZero() {
		d.worst = max(d.worst, at.Sub(d.last))
	}
	d.last = at
}

// run claims a job and beats for it.
func (d *drone) run(ctx context.Context, job coffer.JobID) {
	me := coffer.NewRunner(d.id, d.boot)
	for _, err := call(ctx, d, message.Claim, message.ClaimArgs{Job: job, Runner: me}); err != nil; {
		if !nap(ctx, time.Second) {
			return
		}
		_, err = call(ctx, d, message.Claim, message.ClaimArgs{Job: job, Runner: me})
	}
	d.of.claimed.Add(1)
	for n := uint64(1); nap(ctx, d.of.beat); n++ {
		if d.deaf.Load() {
			continue
		}
		_, err := call(ctx, d, message.Report, message.ReportArgs{
			Job: job, Runner: me, Seq: n, Beat: n, Phase: "copy", Progress: coffer.Progress{Done: int64(n) << 20, Total: 1 << 40},
		})
		if err != nil && ctx.Err() == nil {
			d.of.failed.Add(1)
		}
	}
}

// nap waits, and reports false when there is no more to wait for.
func nap(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
