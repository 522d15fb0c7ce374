package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
)

// A new phase is told as soon as it lasts, not with the next beat: who looks at a job sees what
// it does.
func TestNewPhaseIsReportedSoon(t *testing.T) {
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

// listener notes the reports that it answers.
type listener struct {
	bus.Bus
	heard []message.ReportArgs
	times []time.Time
}

func (b *listener) Call(_ context.Context, _ bus.Target, _ string, body, _ any) error {
	b.heard, b.times = append(b.heard, body.(message.ReportArgs)), append(b.times, time.Now())
	return nil
}

// Phases that rush by are one report, of the last of them; it tells the size once. A
// job that is over by then, or whose last word is being said, sends none but beats.
func TestPhasesThatRushBy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &listener{}
		a := &Agent{Bus: b, Config: Config{Beat: 5 * time.Second}}
		ctx, stop := context.WithCancel(t.Context())
		d := &diary{phase: "start", news: make(chan struct{}, 1)}
		rush := func(phases ...string) {
			for _, p := range phases {
				d.at(p, 0, 0, time.Now())
				time.Sleep(10 * time.Millisecond)
			}
		}
		over := make(chan struct{})
		go func() { defer close(over); a.report(ctx, "j", "a/1", d) }()
		d.dataBytes(7)
		rush("probe", "copy", "upload")
		time.Sleep(900 * time.Millisecond) // before the first young beat is due
		rush("commit", "check")
		time.Sleep(2 * settling)
		d.end()
		rush("last")
		time.Sleep(4 * time.Second)
		stop()
		<-over
		var phases []string
		var sizes []int64
		for _, r := range b.heard[:2] {
			phases, sizes = append(phases, r.Phase), append(sizes, r.Data)
		}
		if diff := cmp.Diff([]string{"upload", "check"}, phases); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]int64{7, 0}, sizes); diff != "" {
			t.Error("sizes:", diff)
		}
		for i, at := range b.times[2:] { // young beats, a second apart
			if gap := at.Sub(b.times[i+1]); gap != time.Second {
				t.Errorf("report %d of %q came %v after the one before", i+2, b.heard[i+2].Phase, gap)
			}
		}
		if len(b.heard) < 5 {
			t.Errorf("%d reports in 5 s", len(b.heard))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := &listener{}
		a := &Agent{Bus: b, Config: Config{Beat: 5 * time.Second}}
		ctx, stop := context.WithTimeout(t.Context(), settling/2)
		defer stop()
		a.report(ctx, "j", "a/1", &diary{phase: "start"})
		if len(b.heard) > 0 {
			t.Errorf("a job that was over at once sent %v", b.heard)
		}
	})
}
