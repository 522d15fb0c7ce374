package guard

import (
	"testing"
	"time"
)

// Silence is counted look by look; a pause of our own counts as a few looks, and a sign
// of life ends it.
func TestHearing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	h := newHearing(100*time.Millisecond, now)
	looks := func(n int) (silent time.Duration) {
		for range n {
			now = now.Add(100 * time.Millisecond)
			silent = h.look(now)
		}
		return silent
	}
	if got := looks(30); got != 3*time.Second {
		t.Errorf("after 30 looks of 100 ms: %v", got)
	}
	h.heard(now)
	now = now.Add(time.Hour) // the machine was paused
	if got := h.look(now); got != 500*time.Millisecond {
		t.Errorf("after a pause of our own: %v", got)
	}
	if got := looks(26); got <= 3*time.Second {
		t.Errorf("who stays silent after the pause is not found: %v", got)
	}
}
