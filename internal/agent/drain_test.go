package agent

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/message"
)

// held starts a backup that stands still in its stream until let go of.
func held(t *testing.T, wait time.Duration) (d *desk, release func()) {
	t.Helper()
	d = newDesk(t)
	d.a.Config.StopWait = wait
	gate, inside := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.fake.At = func(ctx context.Context, _ int64) error {
		once.Do(func() { close(inside) })
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	d.order = backupOrder()
	d.begin()
	if err := message.Start.Cast(t.Context(), d.bus, message.HostAgent("a"), message.JobRef{Job: d.order.Job}); err != nil {
		t.Fatal(err)
	}
	<-inside
	return d, func() { close(gate) }
}

func (d *desk) stops(within time.Duration) {
	d.t.Helper()
	select {
	case err := <-d.ended:
		d.ended <- err
		if err != nil {
			d.t.Error(err)
		}
	case <-time.After(within):
		d.t.Fatal("the agent does not stop")
	}
}

// An agent that is asked to stop finishes the backup that runs, begins no other, and
// then stops.
func TestStopFinishesWhatRuns(t *testing.T) {
	t.Parallel()
	d, release := held(t, time.Hour)
	d.end()
	d.poll("the agent is leaving", func() bool { d.a.mu.Lock(); defer d.a.mu.Unlock(); return d.a.leaving })
	if err := message.Start.Cast(t.Context(), d.bus, message.HostAgent("a"), message.JobRef{Job: "another"}); err != nil {
		t.Fatal(err)
	}
	d.poll("the bell was heard", func() bool { return d.bus.Pending(message.HostAgent("a")) == 0 })
	if n := d.a.Under(); n != 1 {
		t.Errorf("%d jobs run, want the one", n)
	}
	release()
	d.stops(10 * time.Second)
	if got := d.last(); len(got) != 1 || got[0].Outcome != message.Written || got[0].Job != d.order.Job {
		t.Errorf("last words: %+v", got)
	}
	if n := d.entries(); n != 0 {
		t.Errorf("the journal has %d entries", n)
	}
}

// Past the wait the backup is stopped, and FAILED with the reason.
func TestStopWaitIsBounded(t *testing.T) {
	t.Parallel()
	d, _ := held(t, 20*time.Millisecond)
	d.end()
	d.stops(10 * time.Second)
	if got := d.last(); len(got) != 1 || got[0].Outcome != message.Failed || !strings.Contains(got[0].Error, "was stopped in the middle") {
		t.Errorf("last words: %+v", got)
	}
}
