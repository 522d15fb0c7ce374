package model

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// weather is how badly the bus behaves, in chances of one message.
type weather struct {
	mu   sync.Mutex
	rng  *rand.Rand
	lost float64 // a cast vanishes, a call is not delivered
	deaf float64 // a call's effect happens and its answer is lost
	twin float64 // the message comes twice
	late time.Duration
	out  int // the broker is away, for so many reasons: nothing comes or goes
}

type mishap struct {
	lost, deaf, twin, out bool
	late                  time.Duration
}

// away takes the broker away for d.
func (w *weather) away(d time.Duration) {
	add := func(n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.out += n
	}
	add(1)
	time.AfterFunc(d, func() { add(-1) })
}

func (w *weather) isAway() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out > 0
}

func errAway(what string) error {
	return coffer.E(coffer.KindUnavailable, what, "the broker is away")
}

func (w *weather) set(lost, deaf, twin float64, late time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost, w.deaf, w.twin, w.late = lost, deaf, twin, late
}

func (w *weather) next() (m mishap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.out = w.out > 0
	m.lost, m.deaf, m.twin = w.rng.Float64() < w.lost, w.rng.Float64() < w.deaf, w.rng.Float64() < w.twin
	if w.late > 0 {
		m.late = rand.N(w.late)
	}
	return m
}

// gatedBus is the bus as one life sees it.
type gatedBus struct {
	bus.Bus
	l *life
	w *weather
}

// Cast may lose the message, send it twice or late: later casts overtake it.
func (b gatedBus) Cast(ctx context.Context, to bus.Target, method string, body any) error {
	return b.l.through("cast "+method, func() error {
		m := b.w.next()
		switch {
		case m.out:
			pause(ctx, time.Second)
			return errAway("cast " + method)
		case m.lost:
			return nil
		}
		pause(ctx, m.late)
		err := b.Bus.Cast(ctx, to, method, body)
		if m.twin && err == nil {
			err = b.Bus.Cast(ctx, to, method, body)
		}
		return err
	})
}

// Call may lose the question or the answer.
func (b gatedBus) Call(ctx context.Context, to bus.Target, method string, body, reply any) error {
	return b.l.through("call "+method, func() error {
		m := b.w.next()
		pause(ctx, m.late)
		if b.w.isAway() {
			pause(ctx, time.Second)
			return errAway("call " + method)
		}
		if m.lost {
			return coffer.E(coffer.KindUnavailable, "call "+method, "made to be lost")
		}
		err := b.Bus.Call(ctx, to, method, body, reply)
		if m.twin {
			err = b.Bus.Call(ctx, to, method, body, reply)
		}
		if m.deaf || b.w.isAway() {
			return coffer.E(coffer.KindUnavailable, "call "+method, "its answer was made to be lost")
		}
		return err
	})
}

// Serve ends when the life is killed, and handles nothing while it is stopped.
func (b gatedBus) Serve(ctx context.Context, at bus.Target, h bus.Handler, ready func()) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(b.l.serving, stop)()
	return b.Bus.Serve(ctx, at, func(ctx context.Context, m bus.Message) (any, error) {
		if err := b.l.pass("serve " + m.Method); err != nil {
			return nil, err
		}
		if b.w.isAway() { // what was in its queues is gone with it
			return nil, errAway("serve " + m.Method)
		}
		return h(ctx, m)
	}, ready)
}

// Pending is unknown while the broker is away.
func (b gatedBus) Pending(at bus.Target) int {
	if b.w.isAway() {
		return -1
	}
	return b.Bus.Pending(at)
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
