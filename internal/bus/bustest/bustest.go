// Package bustest is the law that every bus obeys. A new bus passes Run, or it is
// not one.
package bustest

import (
	"context"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/bus"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// Run checks a kind of bus. newBus gives a fresh one, which it stops with t.Cleanup.
func Run(t *testing.T, newBus func(t *testing.T) bus.Bus) {
	for name, law := range map[string]func(*testing.T, bus.Bus){
		"cast reaches a handler as JSON":          castReaches,
		"cast does not wait for the handler":      castDoesNotWait,
		"a cast's failing handler harms no other": castFailureIsContained,
		"nobody serves":                           nobodyServes,
		"call answers":                            callAnswers,
		"any JSON crosses":                        anyJSON,
		"unknown method, unreadable body":         badMessages,
		"errors cross":                            errorsCross,
		"a panic is an internal error":            panicIsInternal,
		"a deadline is unavailable":               deadline,
		"a cancelled caller":                      canceled,
		"what is not JSON does not travel":        notJSON,
		"one at a time per Serve":                 oneAtATime,
		"two servers share a topic":               twoServers,
		"a server can be meant":                   namedServer,
		"Serve ends after its handler":            serveEnds,
		"calls in the queue of a stopped server":  stoppedWithQueue,
		"pending":                                 pending,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			law(t, newBus(t))
		})
	}
}

// Serve serves at on b in the background until the test ends (or stop is called)
// and returns when messages can arrive.
func Serve(t *testing.T, b bus.Bus, at bus.Target, h bus.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.Serve(ctx, at, h, func() { close(ready) }) }()
	wait(t, ready, "Serve to be ready")
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve did not end")
		}
	}
	t.Cleanup(stop)
	return stop
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
