package bustest

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

func deadline(t *testing.T, b bus.Bus) {
	to, release := at(t), make(chan struct{})
	Serve(t, b, to, func(context.Context, bus.Message) (any, error) { <-release; return nil, nil })
	defer close(release)
	wantKind(t, b.Call(within(t, 30*time.Millisecond), to, "m", nil, nil), coffer.KindUnavailable)
}

func canceled(t *testing.T, b bus.Bus) {
	to, release, begun := at(t), make(chan struct{}), make(chan struct{})
	Serve(t, b, to, func(context.Context, bus.Message) (any, error) { close(begun); <-release; return nil, nil })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	wantKind(t, b.Call(ctx, to, "m", nil, nil), coffer.KindCanceled)
}

func oneAtATime(t *testing.T, b bus.Bus) {
	to, done := at(t), make(chan struct{}, 50)
	var running atomic.Int32
	Serve(t, b, to, func(context.Context, bus.Message) (any, error) {
		if running.Add(1) != 1 {
			t.Error("two handlers of one Serve ran at once")
		}
		for range 100 {
			runtime.Gosched()
		}
		running.Add(-1)
		done <- struct{}{}
		return nil, nil
	})
	for range 50 {
		if err := b.Cast(t.Context(), to, "m", nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		wait(t, done, "every handler")
	}
}

// twoServers: while one is busy the other takes the next message.
func twoServers(t *testing.T, b bus.Bus) {
	to, both, release := at(t), make(chan struct{}, 2), make(chan struct{})
	h := func(context.Context, bus.Message) (any, error) { both <- struct{}{}; <-release; return nil, nil }
	Serve(t, b, bus.Target{Topic: to.Topic, Server: "one"}, h)
	Serve(t, b, bus.Target{Topic: to.Topic, Server: "two"}, h)
	defer close(release)
	for range 2 {
		if err := b.Cast(t.Context(), to, "m", nil); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, both, "the first server")
	wait(t, both, "the second server")
}

func namedServer(t *testing.T, b bus.Bus) {
	to := at(t)
	for _, name := range []string{"one", "two"} {
		Serve(t, b, bus.Target{Topic: to.Topic, Server: name}, func(context.Context, bus.Message) (any, error) { return name, nil })
	}
	for range 20 {
		for _, name := range []string{"one", "two"} {
			var got string
			if err := b.Call(within(t, patience), bus.Target{Topic: to.Topic, Server: name}, "m", nil, &got); err != nil {
				t.Fatal(err)
			}
			if got != name {
				t.Errorf("server %q answered for %q", got, name)
			}
		}
	}
	wantKind(t, b.Cast(t.Context(), bus.Target{Topic: to.Topic, Server: "three"}, "m", nil), coffer.KindUnavailable)
}

func serveEnds(t *testing.T, b bus.Bus) {
	to, begun, release := at(t), make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	stop := Serve(t, b, to, func(context.Context, bus.Message) (any, error) {
		close(begun)
		<-release
		finished.Store(true)
		return nil, nil
	})
	if err := b.Cast(t.Context(), to, "m", nil); err != nil {
		t.Fatal(err)
	}
	wait(t, begun, "the handler")
	go func() { time.Sleep(20 * time.Millisecond); close(release) }()
	stop()
	if !finished.Load() {
		t.Error("Serve returned before its handler")
	}
	wantKind(t, b.Cast(t.Context(), to, "m", nil), coffer.KindUnavailable)
}

// stoppedWithQueue: a call that no handler will take ends as unavailable, and
// never hangs.
func stoppedWithQueue(t *testing.T, b bus.Bus) {
	to, begun, release := at(t), make(chan struct{}), make(chan struct{})
	stop := Serve(t, b, to, func(context.Context, bus.Message) (any, error) { close(begun); <-release; return nil, nil })
	if err := b.Cast(t.Context(), to, "m", nil); err != nil {
		t.Fatal(err)
	}
	wait(t, begun, "the handler")
	result := make(chan error, 1)
	ctx := within(t, 2*time.Second)
	go func() { result <- b.Call(ctx, to, "m", nil, nil) }()
	until(t, "the call to be queued", func() bool { return b.Pending(to) == 1 })
	go func() { time.Sleep(20 * time.Millisecond); close(release) }()
	stop()
	wantKind(t, wait(t, result, "the queued call"), coffer.KindUnavailable)
}

func pending(t *testing.T, b bus.Bus) {
	to, begun, release := at(t), make(chan struct{}, 8), make(chan struct{})
	if n := b.Pending(to); n > 0 {
		t.Errorf("pending of nobody: %d", n)
	}
	Serve(t, b, to, func(context.Context, bus.Message) (any, error) { begun <- struct{}{}; <-release; return nil, nil })
	for range 4 {
		if err := b.Cast(t.Context(), to, "m", nil); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, begun, "the first handler")
	until(t, "three to wait", func() bool { return b.Pending(to) == 3 })
	close(release)
	until(t, "an empty queue", func() bool { return b.Pending(to) == 0 })
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
