package amqp_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/bus/bustest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// tally counts what a server has handled.
type tally struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *tally) handle(_ context.Context, m bus.Message) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[m.Method]++
	return m.Method, nil
}

func (c *tally) of(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[method]
}

// load sends casts and calls until end is closed, and gives what the casts
// returned by their names. No call may take longer than limit.
func load(t *testing.T, b bus.Bus, at bus.Target, end <-chan struct{}, limit time.Duration) (results map[string]error) {
	results = map[string]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				case <-time.After(time.Millisecond):
				}
				began := time.Now()
				name := fmt.Sprintf("%d-%d", w, i)
				var err error
				if w%2 == 0 {
					err = b.Call(t.Context(), at, "call", nil, nil)
				} else {
					err = b.Cast(t.Context(), at, name, nil)
					mu.Lock()
					results[name] = err
					mu.Unlock()
				}
				if err != nil && !coffer.IsKind(err, coffer.KindUnavailable) {
					t.Errorf("%s: %s, %v", name, coffer.KindOf(err), err)
				}
				if took := time.Since(began); took > limit {
					t.Errorf("%s took %s: %v", name, took, err)
				}
			}
		})
	}
	wg.Wait()
	return results
}

// A connection is cut again and again under load: every cast that was confirmed is
// handled once, none twice, every call ends soon, and Serve goes on by itself.
func TestCutUnderLoad(t *testing.T) {
	t.Parallel()
	proxy := testenv.NewProxy(t, broker(t).Addr())
	sender, server := dial(t, options(proxy.Addr())), dial(t, options(proxy.Addr()))
	at, c := bus.Target{Topic: topic()}, &tally{seen: map[string]int{}}
	bustest.Serve(t, server, at, c.handle)
	end, done := make(chan struct{}), make(chan map[string]error)
	go func() { done <- load(t, sender, at, end, 5*time.Second) }()
	for range 5 {
		before := c.of("call")
		until(t, "calls to go through", func() bool { return c.of("call") > before+3 })
		proxy.Cut()
	}
	close(end)
	good, bad := 0, 0
	for name, err := range <-done {
		if err != nil {
			bad++
			continue
		}
		good++
		until(t, "cast "+name, func() bool { return c.of(name) > 0 })
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, n := range c.seen {
		if name != "call" && n > 1 {
			t.Errorf("cast %s was handled %d times", name, n)
		}
	}
	if good == 0 || bad == 0 {
		t.Errorf("%d casts were confirmed and %d failed: the test proves nothing", good, bad)
	}
}

// A server that loses its connection while it handles a call answers over the next.
func TestAnswerAfterCut(t *testing.T) {
	t.Parallel()
	addr := broker(t).Addr()
	proxy := testenv.NewProxy(t, addr)
	caller, server := dial(t, options(addr)), dial(t, options(proxy.Addr()))
	at, begun, release := bus.Target{Topic: topic()}, make(chan struct{}, 2), make(chan struct{})
	var ran atomic.Int32
	bustest.Serve(t, server, at, func(context.Context, bus.Message) (any, error) {
		ran.Add(1)
		begun <- struct{}{}
		<-release
		return "late", nil
	})
	result := make(chan error, 1)
	var got string
	go func() { result <- caller.Call(t.Context(), at, "m", nil, &got) }()
	wait(t, begun, "the handler")
	proxy.Cut()
	close(release)
	if err := wait(t, result, "the answer"); err != nil || got != "late" {
		t.Errorf("got %q, %v", got, err)
	}
	// The message came again, since nobody had acknowledged it, and was a repeat.
	if err := caller.Call(t.Context(), at, "next", nil, nil); err != nil {
		t.Error(err)
	}
	if n := ran.Load(); n != 2 {
		t.Errorf("%d handlers ran, want 2", n)
	}
}

// A network that stands still makes a deadline pass, and nothing hang.
func TestPausedNetwork(t *testing.T) {
	t.Parallel()
	addr := broker(t).Addr()
	proxy := testenv.NewProxy(t, addr)
	b := dial(t, options(proxy.Addr()))
	at := bus.Target{Topic: topic()}
	bustest.Serve(t, dial(t, options(addr)), at, func(context.Context, bus.Message) (any, error) { return nil, nil })
	serving := bustest.Serve(t, b, bus.Target{Topic: topic()}, nil)
	starting := func() func() {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- b.Serve(ctx, bus.Target{Topic: topic()}, nil, nil) }()
		return func() {
			cancel()
			wait(t, done, "Serve to end")
		}
	}
	proxy.Pause()
	for name, send := range map[string]func(context.Context) error{
		"cast": func(ctx context.Context) error { return b.Cast(ctx, at, "m", nil) },
		"call": func(ctx context.Context) error { return b.Call(ctx, at, "m", nil, nil) },
	} {
		ctx, stop := withTimeout(t, 100*time.Millisecond)
		if err := send(ctx); !coffer.IsKind(err, coffer.KindUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		stop()
	}
	for name, stop := range map[string]func(){"a Serve": serving, "one that had just begun": starting()} {
		began := time.Now()
		stop()
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("%s took %s to end", name, took)
		}
	}
	proxy.Resume()
	if err := b.Call(t.Context(), at, "m", nil, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// While there is no broker Cast and Call fail at once, and Serve waits for it.
func TestAbsentBroker(t *testing.T) {
	t.Parallel()
	proxy := testenv.NewProxy(t, broker(t).Addr())
	proxy.Drop()
	b, err := amqp.New(options(proxy.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	at, ready := bus.Target{Topic: topic()}, make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- b.Serve(ctx, at, func(context.Context, bus.Message) (any, error) { return "here", nil }, func() { close(ready) })
	}()
	for range 3 {
		began := time.Now()
		err := b.Cast(t.Context(), at, "m", nil)
		if took := time.Since(began); !coffer.IsKind(err, coffer.KindUnavailable) || coffer.HintOf(err) == "" || took > 5*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
		if err := b.Call(t.Context(), at, "m", nil, nil); !coffer.IsKind(err, coffer.KindUnavailable) {
			t.Error(err)
		}
	}
	select {
	case <-ready:
		t.Error("Serve is ready without a broker")
	default:
	}
	proxy.Resume()
	wait(t, ready, "Serve to be ready")
	var got string
	if err := b.Call(t.Context(), at, "m", nil, &got); err != nil || got != "here" {
		t.Errorf("%q, %v", got, err)
	}
	stop()
	if err := wait(t, done, "Serve to end"); err != nil {
		t.Error(err)
	}
}

// The broker is killed under load and comes back: everything is declared again,
// over TLS. Then it runs short of memory: senders are told at once.
func TestBrokerRestarts(t *testing.T) {
	t.Parallel()
	certs, client := testCerts(t)
	broker := testenv.RabbitMQ(t, testenv.RabbitMQOptions{TLS: &certs})
	o := options(fmt.Sprintf("127.0.0.1:%d", broker.TLSPort))
	o.TLS, o.HostName = client, "h"
	sender, server := dial(t, o), dial(t, o)
	at, c := bus.Target{Topic: topic()}, &tally{seen: map[string]int{}}
	bustest.Serve(t, server, at, c.handle)
	end, done := make(chan struct{}), make(chan map[string]error)
	go func() { done <- load(t, sender, at, end, 10*time.Second) }()
	until(t, "calls to go through", func() bool { return c.of("call") > 10 })
	broker.Kill()
	if n := sender.Pending(at); n >= 0 {
		t.Errorf("without a broker %d wait", n)
	}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	before := c.of("call")
	until(t, "calls to go through again", func() bool { return c.of("call") > before+10 })
	close(end)
	<-done
	if err := sender.Cast(t.Context(), bus.Target{Topic: at.Topic, Server: "h"}, "named", nil); err != nil {
		t.Errorf("the server's own queue: %v", err)
	}
	until(t, "the cast by name", func() bool { return c.of("named") == 1 })

	if _, err := broker.Ctl("set_vm_memory_high_watermark", "absolute", "1"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 2 {
		err := sender.Cast(t.Context(), at, "m", nil)
		if !coffer.IsKind(err, coffer.KindUnavailable) || !strings.Contains(coffer.HintOf(err), "alarms") {
			t.Errorf("under an alarm: %v, hint %q", err, coffer.HintOf(err))
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to say so", took)
	}

	o.TLS = o.TLS.Clone()
	o.TLS.RootCAs = nil
	if _, err := amqp.Dial(t.Context(), o); err == nil || !strings.Contains(coffer.HintOf(err), "CA") {
		t.Errorf("an unknown CA: %v, hint %q", err, coffer.HintOf(err))
	}
}
