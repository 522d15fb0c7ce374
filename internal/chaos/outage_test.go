package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

// A backup that ends while the broker is away, for several leases, is COMPLETED when
// it is back: nobody fails it meanwhile.
func TestBrokerOutage(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program and runs servers")
	}
	outage(t, "lease=3s,deadline=2s,beat=500ms,heartbeat=1s,grace=1s,sweep=1h,backoff=1s", 9*time.Second, "tool ended")
}

// The same with the real timings: ten minutes.
func TestHeavyBrokerOutage(t *testing.T) {
	t.Parallel()
	heavy(t)
	outage(t, "", 10*time.Minute, "intent", "tool ended", "commit answered")
}

// outage lets one backup come to each step, takes the broker away, lets them go on
// and end, and brings it back. What it had in its queues is gone.
func outage(t *testing.T, timings string, away time.Duration, steps ...string) {
	f := newFleet(t, timings)
	f.add("taskmanager", "taskmanager")
	f.add("conductor", "conductor")
	f.api("api")
	for i, step := range steps {
		f.agent(fmt.Sprintf("agent%d", i+1)).fail = step + "=stop"
	}
	f.start()
	w := &work{f: f}
	var all []*made
	for _, s := range f.shops() {
		m, err := w.create(t.Context(), s, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	for i, a := range f.agents {
		within(t, time.Minute, "a backup comes to: "+steps[i], a.stopped)
	}
	f.broker.Kill()
	for _, a := range f.agents {
		a.signal(syscall.SIGCONT)
	}
	for end := time.Now().Add(away); time.Now().Before(end); <-time.After(away / 10) {
		for i, m := range all {
			if b, err := f.show(t.Context(), 0, m.id); err != nil || !b.State.Running() {
				t.Fatalf("without a broker the backup that came to %q is %s: %+v, %v", steps[i], b.State, b.Error, err)
			}
		}
	}
	if err := f.broker.Start(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for i, m := range all {
		b := f.settled(m.id, time.Minute)
		t.Logf("%-16s %s %v after the broker was back", steps[i], b.State, time.Since(back).Round(time.Millisecond))
		if b.State != coffer.Completed {
			t.Errorf("%+v", b.Error)
		}
	}
}

// TestHeavyStopped stops an agent at each step around its commit until it is taken for
// lost, and wakes it: the commit is refused, the row stays FAILED, and nothing of it
// can be read or is left.
func TestHeavyStopped(t *testing.T) {
	t.Parallel()
	heavy(t)
	f := newFleet(t, chaosTimings)
	f.add("taskmanager1", "taskmanager")
	f.add("taskmanager2", "taskmanager")
	f.add("conductor", "conductor")
	f.api("api")
	f.api("api2")
	agent := f.agent("agent")
	f.start()
	s := f.shops()[0]
	w := &work{f: f}
	dice := rand.New(rand.NewPCG(1, 1))
	for _, step := range []string{"claimed", "intent", "parts stored", "commit journaled", "commit answered", "before put .manifest.json", ""} {
		agent.stop()
		if agent.fail = ""; step != "" {
			agent.fail = step + "=stop"
		}
		agent.start()
		m, err := w.create(t.Context(), s, dice)
		if err != nil {
			t.Fatal(err)
		}
		if step == "" {
			if b := f.settled(m.id, time.Minute); b.State != coffer.Completed {
				t.Errorf("undisturbed it is %s: %+v", b.State, b.Error)
			}
			continue
		}
		within(t, time.Minute, "the agent stops itself at: "+step, agent.stopped)
		b := f.settled(m.id, time.Minute)
		t.Logf("%-26s %s: %v", step, b.State, b.Error)
		agent.signal(syscall.SIGCONT)
		within(t, time.Minute, "the journal is done with it", func() bool {
			names, err := os.ReadDir(filepath.Join(agent.state, "agent", "journal"))
			return err == nil && len(names) == 0
		})
		if b, err = f.show(t.Context(), 0, m.id); err != nil || b.State != coffer.Failed {
			t.Errorf("woken after it was lost at %q it is %s, %v", step, b.State, err)
		}
		of := f.objects()[m.id]
		if named(of, ".manifest.json") != "" && named(of, ".dead.json") == "" {
			t.Errorf("woken after it was lost at %q its backup can be read: %q", step, of)
		}
	}
	a := &audit{f: f, made: w.made, dice: dice}
	a.ends()
	a.runners()
	a.verified()
	a.restored(1)
	a.gone()
	for _, r := range f.roles {
		r.stop()
	}
	a.nobodyLeft()
}
