package bench

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/agent"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/message"
)

// crew is real agents with fake engines, each with a connection of its own, and the
// times at which they had their jobs' claims and ends answered.
type crew struct {
	instances []coffer.InstanceID // of each agent in turn
	rings     atomic.Int64        // bells heard

	mu             sync.Mutex
	claimed, ended map[coffer.JobID]time.Time
	states         map[coffer.JobID]coffer.State // of those that have ended
}

// launchCrew starts the agents and waits until they serve their instances. Their
// state lies in memory, as the store does: in a fleet each has a disk of its own.
func launchCrew(tb testing.TB, p *plane, agents, each int, engines agent.Engines) *crew {
	tb.Helper()
	c := &crew{claimed: map[coffer.JobID]time.Time{}, ended: map[coffer.JobID]time.Time{}, states: map[coffer.JobID]coffer.State{}}
	ids := make([]coffer.AgentID, agents)
	for i := range ids {
		ids[i] = coffer.AgentID(coffer.NewUUID())
	}
	instances := p.populate(tb, ids, each)
	for i := range each {
		for _, id := range ids {
			c.instances = append(c.instances, instances[id][i])
		}
	}
	files, err := newFolders(p.store)
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(tb.Context())
	var running sync.WaitGroup
	tb.Cleanup(func() { stop(); running.Wait() })
	var refreshed sync.WaitGroup
	for _, id := range ids {
		b, err := amqp.Dial(ctx, wire(p.broker.Addr(), log))
		if err != nil {
			tb.Fatal(err)
		}
		dir := filepath.Join(p.store, ".agents", string(id))
		a := &agent.Agent{
			ID: id, Boot: coffer.NewNonce(), Bus: heard{b, c}, Stores: files, Engines: engines, Log: log, Now: time.Now,
			Config: agent.Config{StateDir: dir, SpoolDir: dir, Workers: 1, Version: "bench"},
		}
		ready := make(chan struct{})
		running.Go(func() {
			defer b.Close()
			if err := a.Run(ctx, func() { close(ready) }); err != nil && ctx.Err() == nil {
				tb.Error(err)
			}
		})
		refreshed.Go(func() {
			select {
			case <-ready:
			case <-ctx.Done():
				return
			}
			if err := a.Refresh(ctx); err != nil {
				tb.Error(err)
			}
		})
	}
	refreshed.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
	return c
}

// await waits until every job has ended, and fails the test if one did otherwise
// than it should.
func (c *crew) await(tb testing.TB, jobs map[coffer.JobID]time.Time, want coffer.State) {
	tb.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; nap(tb.Context(), 20*time.Millisecond) {
		left, wrong := c.missing(jobs, want)
		if wrong > 0 || time.Now().After(deadline) {
			tb.Fatalf("of %d jobs %d have not ended, and %d otherwise than %s", len(jobs), left, wrong, want)
		}
		if left == 0 {
			return
		}
	}
}

func (c *crew) missing(jobs map[coffer.JobID]time.Time, want coffer.State) (left, wrong int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range jobs {
		switch c.states[id] {
		case want:
		case "":
			left++
		default:
			wrong++
		}
	}
	return left, wrong
}

// times are when a job had its claim and its end answered.
func (c *crew) times(id coffer.JobID) (claimed, ended time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claimed[id], c.ended[id]
}

// fakes makes a new fake database for each job, of which the first look fails with
// fail.
type fakes struct{ fail error }

// Engine implements agent.Engines.
func (f fakes) Engine(coffer.Conn) (engine.Engine, error) {
	return &enginetest.Fake{Bytes: 4096, ProbeErr: f.fail}, nil
}

// heard notes what an agent is answered.
type heard struct {
	bus.Bus
	c *crew
}

// Serve implements bus.Bus.
func (h heard) Serve(ctx context.Context, at bus.Target, do bus.Handler, ready func()) error {
	return h.Bus.Serve(ctx, at, func(ctx context.Context, m bus.Message) (any, error) {
		if m.Method == message.Start.Name {
			h.c.rings.Add(1)
		}
		return do(ctx, m)
	}, ready)
}

// Call implements bus.Bus.
func (h heard) Call(ctx context.Context, to bus.Target, method string, body, reply any) error {
	err := h.Bus.Call(ctx, to, method, body, reply)
	if err != nil {
		return err
	}
	at := time.Now()
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	switch a := body.(type) {
	case message.ClaimArgs:
		h.c.claimed[a.Job] = at
	case message.DoneArgs:
		if r := reply.(*message.DoneReply); !r.State.Running() {
			h.c.ended[a.Job], h.c.states[a.Job] = at, r.State
		}
	}
	return nil
}
