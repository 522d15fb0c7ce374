package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer/internal/bus"
)

// A new phase is told at once, not with the next beat: who looks at a job sees what
// it does.
func TestNewPhaseIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t) // its beat is an hour
	d.begin()
	ctx, stop := context.WithCancel(t.Context())
	said := &diary{phase: "start", news: make(chan struct{}, 1)}
	ended := make(chan struct{})
	go func() { defer close(ended); d.a.report(ctx, "j", "a/1", said) }()
	for _, phase := range []string{"probe", "copy", "commit"} {
		said.at(phase, 0, 0, time.Now())
		for end := time.Now().Add(10 * time.Second); d.phase.Load() != phase; <-time.After(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("phase %s was not told; last heard: %v", phase, d.phase.Load())
			}
		}
	}
	stop()
	<-ended
}

// deafBus never answers the first report.
type deafBus struct {
	bus.Bus
	asked []time.Time
}

func (b *deafBus) Call(ctx context.Context, _ bus.Target, _ string, _, _ any) error {
	b.asked = append(b.asked, time.Now())
	if len(b.asked) > 1 {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// A report that nobody answers does not keep the beats back: the next one goes out
// when it is due.
func TestUnansweredReportKeepsNoBeatBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &deafBus{}
		a := &Agent{Bus: b, Config: Config{Beat: 5 * time.Second}}
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		a.report(ctx, "j", "a/1", &diary{phase: "start"})
		for i := 1; i < len(b.asked); i++ {
			if gap := b.asked[i].Sub(b.asked[i-1]); gap > a.Config.Beat {
				t.Errorf("beat %d came %v after the one before", i, gap)
			}
		}
		if len(b.asked) < 6 {
			t.Errorf("%d beats in 30 s", len(b.asked))
		}
	})
}
