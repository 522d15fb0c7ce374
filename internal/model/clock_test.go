package model

import (
	"sync"
	"time"
)

// clock is the wall clock of one machine: it may be off, and jump. What lasts is
// measured with the monotonic clock, which does not; so no time that it gives
// carries a monotonic reading.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).Add(c.off)
}

func (c *clock) jump(off time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
}

// clockOf is the clock of the process of that name, in all its lives; "api" is the
// API's, which asks for jobs.
func (w *world) clockOf(name string) *clock {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.clocks[name]
	if c == nil {
		c = &clock{}
		w.clocks[name] = c
	}
	return c
}
