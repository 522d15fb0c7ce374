package agent

import (
	"context"
	"testing"
	"time"
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
