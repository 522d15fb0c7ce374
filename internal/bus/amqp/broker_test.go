package amqp_test

import (
	"context"
	"encoding/json"
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
)

// as is options of another account.
func as(addr, user, password string) amqp.Options {
	o := options(addr)
	o.User, o.Password, o.UserID = user, password, true
	return o
}

// The sender is the account that the broker has checked.
func TestFromIsTheAccount(t *testing.T) {
	t.Parallel()
	addr := broker(t).Addr()
	at, got := bus.Target{Topic: topic()}, make(chan string, 2)
	bustest.Serve(t, dial(t, options(addr)), at, func(_ context.Context, m bus.Message) (any, error) { got <- m.From; return nil, nil })
	if err := dial(t, as(addr, "agent-a", "pw-a")).Cast(t.Context(), at, "m", nil); err != nil {
		t.Fatal(err)
	}
	if from := wait(t, got, "the message"); from != "agent-a" {
		t.Errorf("from %q", from)
	}
}

// An agent's account that may write to the conductor alone learns so, and so does
// one that serves what is not its own.
func TestPermissions(t *testing.T) {
	t.Parallel()
	addr := broker(t).Addr()
	agent := dial(t, as(addr, "agent-b", "pw-b"))
	other := bus.Target{Topic: topic()}
	bustest.Serve(t, dial(t, options(addr)), other, func(context.Context, bus.Message) (any, error) { return nil, nil })
	for range 2 { // the channel that was closed is opened again
		if err := agent.Cast(t.Context(), other, "m", nil); !coffer.IsKind(err, coffer.KindForbidden) || coffer.HintOf(err) == "" {
			t.Errorf("a cast to a stranger: %s, %v", coffer.KindOf(err), err)
		}
	}
	if err := agent.Cast(t.Context(), bus.Target{Topic: "trove-conductor", Server: "nobody"}, "m", nil); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("a cast to one conductor: %v", err)
	}
	if err := agent.Cast(t.Context(), bus.Target{Topic: "trove-conductor"}, "m", nil); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Errorf("a cast that is allowed, and nobody serves: %s, %v", coffer.KindOf(err), err)
	}
	err := agent.Serve(t.Context(), other, nil, nil)
	if !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("serving a stranger's topic: %v", err)
	}

	// A refusal closes the channel under others' casts: those are never told that
	// they are forbidden.
	conductor := bus.Target{Topic: "trove-conductor"}
	bustest.Serve(t, dial(t, options(addr)), conductor, func(context.Context, bus.Message) (any, error) { return nil, nil })
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			to := conductor
			if i%20 == 10 {
				to = other
			}
			err := agent.Cast(t.Context(), to, "m", nil)
			if i%20 == 10 && err == nil || i%20 != 10 && err != nil && !coffer.IsKind(err, coffer.KindUnavailable) {
				t.Errorf("cast %d to %s: %s, %v", i, to.Topic, coffer.KindOf(err), err)
			}
		})
	}
	wg.Wait()
}

// A wrong password is unavailable, with a hint, and shows no password.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	_, err := amqp.Dial(t.Context(), as(broker(t).Addr(), "agent-a", "hidden"))
	if !coffer.IsKind(err, coffer.KindUnavailable) || !strings.Contains(coffer.HintOf(err), "password") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%s, %v, hint %q", coffer.KindOf(err), err, coffer.HintOf(err))
	}
}

// Casts do not wait for each other's confirms, and each gets its own answer:
// those to nobody are unavailable, all others arrive, once.
func TestConfirmsArePipelined(t *testing.T) {
	t.Parallel()
	b := dial(t, options(broker(t).Addr()))
	at, nobody := bus.Target{Topic: topic()}, bus.Target{Topic: topic()}
	var handled, lost atomic.Int32
	bustest.Serve(t, b, at, func(context.Context, bus.Message) (any, error) { handled.Add(1); return nil, nil })
	const n = 400
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			to := at
			if i%4 == 0 {
				to = nobody
			}
			err := b.Cast(t.Context(), to, "m", nil)
			if i%4 == 0 {
				if !coffer.IsKind(err, coffer.KindUnavailable) || !strings.Contains(err.Error(), "nobody serves") {
					t.Errorf("to nobody: %v", err)
				}
				lost.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	until(t, "every handler", func() bool { return handled.Load() == n-lost.Load() })
}

// KeepQueues leaves the queue, as Trove does, and a cast waits there for its
// server; by default it is gone, and so is nothing that another server reads.
func TestKeepQueues(t *testing.T) {
	t.Parallel()
	addr := broker(t).Addr()
	keep := options(addr)
	keep.KeepQueues, keep.HostName = true, "h"
	b := dial(t, keep)
	at, got := bus.Target{Topic: topic()}, make(chan string, 1)
	h := func(_ context.Context, m bus.Message) (any, error) { got <- m.Method; return nil, nil }
	bustest.Serve(t, b, at, h)()
	if err := b.Cast(t.Context(), at, "kept", nil); err != nil {
		t.Fatal(err)
	}
	other := dial(t, options(addr))
	if n := other.Pending(at); n != 1 {
		t.Errorf("%d messages wait, want 1", n)
	}
	stop := bustest.Serve(t, other, at, h)
	if m := wait(t, got, "the kept cast"); m != "kept" {
		t.Errorf("got %q", m)
	}
	second := bustest.Serve(t, other, at, h)
	stop()
	if err := other.Cast(t.Context(), at, "second", nil); err != nil {
		t.Errorf("one of two servers left: %v", err)
	}
	wait(t, got, "the second server")
	second()
	if err := other.Cast(t.Context(), at, "m", nil); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Errorf("both left: %v", err)
	}
	// The server's own queue was kept by the first bus.
	if err := other.Cast(t.Context(), bus.Target{Topic: at.Topic, Server: "h"}, "m", nil); err != nil {
		t.Errorf("the kept server queue: %v", err)
	}
}

// A cast that waits too long in a queue is gone.
func TestCastsExpire(t *testing.T) {
	t.Parallel()
	o := options(broker(t).Addr())
	o.CastExpires = 100 * time.Millisecond
	b := dial(t, o)
	at, release := bus.Target{Topic: topic()}, make(chan struct{})
	var ran atomic.Int32
	stop := bustest.Serve(t, b, at, func(context.Context, bus.Message) (any, error) { ran.Add(1); <-release; return nil, nil })
	for range 4 {
		if err := b.Cast(t.Context(), at, "m", nil); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the first handler", func() bool { return ran.Load() == 1 })
	until(t, "the others to expire", func() bool { return b.Pending(at) == 0 })
	close(release)
	stop()
	if n := ran.Load(); n != 1 {
		t.Errorf("%d handlers ran, want 1", n)
	}
}

// A queue with other flags, as a Trove with durable queues has it, is refused and
// said to be so.
func TestOtherFlags(t *testing.T) {
	t.Parallel()
	b := broker(t)
	p, at := newPeer(t, b.URL()), topic()
	if _, err := p.ch.QueueDeclare(at, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	err := dial(t, options(b.Addr())).Serve(t.Context(), bus.Target{Topic: at}, nil, nil)
	if !coffer.IsKind(err, coffer.KindConflict) || coffer.HintOf(err) == "" {
		t.Errorf("%s, %v", coffer.KindOf(err), err)
	}
	o := options(b.Addr())
	o.Durable, o.Exchange = true, at+".exchange"
	durable := dial(t, o)
	stop := bustest.Serve(t, durable, bus.Target{Topic: at}, func(context.Context, bus.Message) (any, error) { return 1, nil })
	if err := durable.Call(t.Context(), bus.Target{Topic: at}, "m", nil, nil); err != nil {
		t.Errorf("with the same flags: %v", err)
	}
	stop()
	if err := p.ch.ExchangeDelete(o.Exchange, false, false); err != nil {
		t.Error(err)
	}
}

// A queue that somebody deletes under its server is made again; a host that is
// down is passed over.
func TestQueueDeleted(t *testing.T) {
	t.Parallel()
	b := broker(t)
	o := options(b.Addr())
	o.Hosts = []string{closedPort(t), b.Addr()}
	ours, p, at := dial(t, o), newPeer(t, b.URL()), bus.Target{Topic: topic()}
	bustest.Serve(t, ours, at, func(context.Context, bus.Message) (any, error) { return 1, nil })
	if _, err := p.ch.QueueDelete(at.Topic, false, false, false); err != nil {
		t.Fatal(err)
	}
	until(t, "the queue to be served again", func() bool { return ours.Call(t.Context(), at, "m", nil, nil) == nil })
}

// stamps signs by writing down what it signed, under a key.
type stamps string

func (s stamps) Sign(to bus.Target, method string, body json.RawMessage) (string, error) {
	return string(s) + to.Topic + method + string(body), nil
}

func (s stamps) Verify(at bus.Target, method string, body json.RawMessage, signature string) error {
	if want, _ := s.Sign(at, method, body); signature != want {
		return fmt.Errorf("got %q, want %q", signature, want)
	}
	return nil
}

// Verbs to agents are signed, also when they are encrypted; one without a
// signature, or with another's, reaches no handler.
func TestSignatures(t *testing.T) {
	t.Parallel()
	addr := broker(t).Addr()
	for _, keys := range []amqp.Keys{nil, oneKey("k")} {
		o := options(addr)
		o.Keys = keys
		plain := dial(t, o)
		o.Signer = stamps("good")
		control := dial(t, o)
		o.Signer = stamps("bad")
		stranger := dial(t, o)
		o.Signer, o.Verifier = nil, stamps("good")
		agent := dial(t, o)

		at, ran := bus.Target{Topic: "guestagent." + coffer.NewUUID()}, make(chan string, 8)
		bustest.Serve(t, agent, at, func(_ context.Context, m bus.Message) (any, error) { ran <- m.Method; return 1, nil })
		body := map[string]any{"z": 1, "a": map[string]any{"y": "<ü>", "x": 1.5}}
		for name, b := range map[string]*amqp.Bus{"unsigned": plain, "stranger": stranger} {
			if err := b.Call(t.Context(), at, name, body, nil); !coffer.IsKind(err, coffer.KindForbidden) {
				t.Errorf("%s: %s, %v", name, coffer.KindOf(err), err)
			}
			if err := b.Cast(t.Context(), at, name, body); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, v := range []any{body, nil, "text", []int{1}} {
			if err := control.Call(t.Context(), at, "good", v, nil); err != nil {
				t.Errorf("signed %v: %v", v, err)
			}
		}
		close(ran)
		for m := range ran {
			if m != "good" {
				t.Errorf("handled %q", m)
			}
		}
		open, at2 := dial(t, o), bus.Target{Topic: topic()}
		bustest.Serve(t, open, at2, func(context.Context, bus.Message) (any, error) { return 1, nil })
		if err := plain.Call(t.Context(), at2, "m", nil, nil); err != nil {
			t.Errorf("a topic that is no agent's: %v", err)
		}
	}
}

// After Close everything ends and nothing begins.
func TestClose(t *testing.T) {
	t.Parallel()
	b := dial(t, options(broker(t).Addr()))
	at, ready, done := bus.Target{Topic: topic()}, make(chan struct{}), make(chan error, 2)
	go func() {
		done <- b.Serve(context.Background(), at, func(context.Context, bus.Message) (any, error) { return nil, nil }, func() { close(ready) })
	}()
	wait(t, ready, "Serve")
	go func() {
		done <- b.Call(context.Background(), bus.Target{Topic: newSilent(t, broker(t).URL())}, "m", nil, nil)
	}()
	time.AfterFunc(50*time.Millisecond, func() { b.Close() })
	for range 2 {
		if err := wait(t, done, "Serve and Call to end"); !coffer.IsKind(err, coffer.KindUnavailable) {
			t.Errorf("%s, %v", coffer.KindOf(err), err)
		}
	}
	if err := b.Cast(t.Context(), at, "m", nil); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Errorf("a cast after Close: %v", err)
	}
	if n := b.Pending(at); n >= 0 {
		t.Errorf("pending after Close: %d", n)
	}
}

// newSilent is a topic whose server takes and never answers.
func newSilent(t *testing.T, url string) string {
	at := topic()
	in := newPeer(t, url).listen(at, at)
	go func() {
		for range in {
		}
	}()
	return at
}

// Options that cannot work are refused at once.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []amqp.Options{{}, {Hosts: []string{"h"}}, {Hosts: []string{"h"}, User: "u", SelfID: "i"}} {
		if _, err := amqp.New(o); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := amqp.Dial(t.Context(), options(closedPort(t))); !coffer.IsKind(err, coffer.KindUnavailable) || coffer.HintOf(err) == "" {
		t.Errorf("nobody listens: %v", err)
	}
}

// A forged sender is refused by the broker; casts beside it are told to try again,
// and the channel is opened again.
func TestForgedSender(t *testing.T) {
	t.Parallel()
	addr := broker(t).Addr()
	b := dial(t, as(addr, "agent-a", "pw-a"))
	at, got := bus.Target{Topic: topic()}, make(chan string, 8)
	bustest.Serve(t, dial(t, options(addr)), at, func(_ context.Context, m bus.Message) (any, error) { got <- m.Method; return nil, nil })
	amqp.ForgeUser(b, "coffer")
	for range 2 {
		err := b.Cast(t.Context(), at, "forged", nil)
		if !coffer.IsKind(err, coffer.KindForbidden) || !strings.Contains(err.Error(), "406") {
			t.Errorf("%s, %v", coffer.KindOf(err), err)
		}
	}
	amqp.ForgeUser(b, "agent-a")
	if err := b.Cast(t.Context(), at, "honest", nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if m := wait(t, got, "the honest one"); m != "honest" {
		t.Errorf("handled %q", m)
	}
}
