package amqp

import (
	"context"
	"sync"
)

// lazy is something of a session that is made when first needed and again when it
// is dead. Making it knows no context, so it goes on in the session's time while
// those who need it may leave.
type lazy[T any] struct {
	mu  sync.Mutex
	now *made[T]
}

type made[T any] struct {
	ready chan struct{}
	v     T
	err   error
}

func (z *lazy[T]) get(ctx context.Context, s *session, alive func(T) bool, open func() (T, error)) (T, error) {
	z.mu.Lock()
	m := z.now
	if m == nil || m.over(alive) {
		m = &made[T]{ready: make(chan struct{})}
		z.now = m
		if !s.begin(func() { m.v, m.err = open(); close(m.ready) }) {
			m.err = s.why()
			close(m.ready)
		}
	}
	z.mu.Unlock()
	select {
	case <-m.ready:
		return m.v, m.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// peek is what was made, if it was.
func (z *lazy[T]) peek() (v T, ok bool) {
	z.mu.Lock()
	m := z.now
	z.mu.Unlock()
	if m == nil {
		return v, false
	}
	select {
	case <-m.ready:
		return m.v, m.err == nil
	default:
		return v, false
	}
}

// over says that it was made, and is of no use now.
func (m *made[T]) over(alive func(T) bool) bool {
	select {
	case <-m.ready:
		return m.err != nil || !alive(m.v)
	default:
		return false
	}
}

// alarm tells whether the broker is short of memory or disk and takes nothing.
type alarm struct {
	mu sync.Mutex
	on bool
	c  chan struct{} // closed while it is on
}

func (a *alarm) set(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case on && !a.on:
		close(a.c)
	case !on && (a.on || a.c == nil):
		a.c = make(chan struct{})
	}
	a.on = on
}

// raised is closed as soon as the alarm is on.
func (a *alarm) raised() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.c
}
