package model

import (
	"context"
	"sync"

	"github.com/cofferdb/coffer"
)

// errBuried is what the gates of a killed life answer once the test is over.
var errBuried = coffer.E(coffer.KindInternal, "go on", "this process was killed")

// fate is what happens to a life that comes to an armed gate.
type fate int

const (
	kill fate = iota
	stop
)

// life is one process from its start to its end.
type life struct {
	buried chan struct{} // closed at the end of the test

	mu     sync.Mutex
	thaw   chan struct{} // not nil: stopped until it is closed
	dead   bool
	armed  map[string]fate
	passed map[string]int

	serving context.Context // ends when the life is killed: it reads no queue any more
	deafen  context.CancelFunc
}

func newLife() *life {
	l := &life{buried: make(chan struct{}), armed: map[string]fate{}, passed: map[string]int{}}
	l.serving, l.deafen = context.WithCancel(context.Background())
	return l
}

// arm lets f happen when the life next comes to the gate.
func (l *life) arm(gate string, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed[gate] = f
}

func (l *life) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killLocked()
}

func (l *life) killLocked() {
	l.dead = true
	l.wakeLocked()
	l.deafen()
}

func (l *life) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopLocked()
}

func (l *life) stopLocked() {
	if l.thaw == nil && !l.dead {
		l.thaw = make(chan struct{})
	}
}

func (l *life) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeLocked()
}

func (l *life) wakeLocked() {
	if l.thaw != nil {
		close(l.thaw)
		l.thaw = nil
	}
}

func (l *life) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

func (l *life) isStopped() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.thaw != nil
}

// count is how often the life has come to the gate.
func (l *life) count(gate string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed[gate]
}

// pass returns when the life may go on: at once, when it is woken, or, for a
// killed one, with an error at the end of the test.
func (l *life) pass(gate string) error {
	l.mu.Lock()
	l.passed[gate]++
	if f, ok := l.armed[gate]; ok && !l.dead {
		delete(l.armed, gate)
		if f == kill {
			l.killLocked()
		} else {
			l.stopLocked()
		}
	}
	for {
		dead, thaw := l.dead, l.thaw
		l.mu.Unlock()
		switch {
		case dead:
			<-l.buried
			return errBuried
		case thaw == nil:
			return nil
		}
		select {
		case <-thaw:
		case <-l.buried:
			return errBuried
		}
		l.mu.Lock()
	}
}

// through passes a gate before f and another after it: the effect without its
// answer.
func (l *life) through(gate string, f func() error) error {
	if err := l.pass(gate); err != nil {
		return err
	}
	err := f()
	if gone := l.pass(gate + " done"); gone != nil {
		return gone
	}
	return err
}
