package guard

import (
	"sync"
	"time"
)

// hearing measures how long the other side has been silent while we were awake to hear
// it. A machine that stands still (a paused virtual one, a starved one) stops both
// sides: the time until we look again says nothing of the other one, and counts as a
// few of our looks at most.
type hearing struct {
	mu     sync.Mutex
	most   time.Duration // that one look may count
	looked time.Time
	silent time.Duration
}

// newHearing begins with a sign of life; looks are to come every tick.
func newHearing(tick time.Duration, now time.Time) *hearing {
	return &hearing{most: 5 * tick, looked: now}
}

// heard notes a sign of life.
func (h *hearing) heard(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looked, h.silent = now, 0
}

// look gives the silence so far.
func (h *hearing) look(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent += min(max(0, now.Sub(h.looked)), h.most)
	h.looked = now
	return h.silent
}
