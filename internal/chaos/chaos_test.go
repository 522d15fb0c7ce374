package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// chaosTimings are short, and leave a busy machine of two cores room.
const chaosTimings = "lease=8s,deadline=3s,beat=1s,heartbeat=2s,grace=1s,sweep=20s,backoff=1s"

func number(t *testing.T, name string, def int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestHeavyChaos is the whole of it: see the package's comment.
func TestHeavyChaos(t *testing.T) {
	heavy(t)
	seed := number(t, "COFFER_SEED", time.Now().UnixNano()%1_000_000)
	t.Logf("repeat with COFFER_SEED=%d", seed)
	f := newFleet(t, chaosTimings)
	f.seed = seed
	shops := f.grow(3, 2, 2, 8)
	d := &disturber{f: f, dice: rand.New(rand.NewPCG(uint64(seed), 1))}
	w := &work{f: f, limit: number(t, "COFFER_CHAOS_BACKUPS", 200)}
	began := time.Now()
	stop, over := d.begin()
	ctx, give := context.WithTimeout(t.Context(), 40*time.Minute)
	defer give()
	g, gctx := errgroup.WithContext(ctx)
	for i, s := range shops {
		g.Go(func() error { return w.run(gctx, s, rand.New(rand.NewPCG(uint64(seed), uint64(10+i)))) })
	}
	err := g.Wait()
	stop()
	<-over
	if err != nil {
		t.Errorf("after %d of %d backups: %v", len(w.made), w.limit, err)
	}
	t.Logf("calm after %v", time.Since(began).Round(time.Second))
	a := &audit{f: f, made: w.made, dice: rand.New(rand.NewPCG(uint64(seed), 2))}
	a.ends()
	a.runners()
	a.explained()
	a.keys()
	a.verified()
	a.restored(10)
	a.gone()
	for _, r := range f.roles {
		r.stop()
	}
	a.nobodyLeft()
	t.Logf("seed %d: %d backups in %v: %v; disturbances: %v", seed, len(w.made), time.Since(began).Round(time.Second), a.tally, d.counts)
}

// begin disturbs until stop is called; over is closed when every harm has ended.
func (d *disturber) begin() (stop func(), over chan struct{}) {
	ctx, stop := context.WithCancel(context.Background())
	over = make(chan struct{})
	go func() {
		defer close(over)
		d.run(ctx)
	}()
	return stop, over
}

// grow adds so many of each role with a lossy bus, starts them, and gives each agent
// a database.
func (f *fleet) grow(tasks, conductors, apis, agents int) []*shop {
	f.t.Helper()
	for i := range tasks {
		f.add(fmt.Sprintf("taskmanager%d", i+1), "taskmanager")
	}
	for i := range conductors {
		f.add(fmt.Sprintf("conductor%d", i+1), "conductor")
	}
	for i := range apis {
		f.api(fmt.Sprintf("api%d", i+1))
	}
	for i := range agents {
		f.agent(fmt.Sprintf("agent%d", i+1))
	}
	for i, r := range f.roles {
		r.lossy, r.index = "drop=0.02,dup=0.02", i
	}
	f.start()
	return f.shops()
}

// shops gives each agent a database.
func (f *fleet) shops() []*shop {
	f.t.Helper()
	all := make([]*shop, len(f.agents))
	for i, a := range f.agents {
		s, src := newShop(f.t)
		s.agent, s.instance = a, f.register(a, src)
		all[i] = s
	}
	return all
}
