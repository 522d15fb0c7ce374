package plan

import (
	"sync"
	"time"

	"github.com/cofferdb/coffer"
)

// Heard is one observer's own view of which agents live: when it last saw an
// agent's beat or life change, on its own monotonic clock. The times in an agent's
// row are of whichever conductor wrote them, and clocks jump; they are compared,
// with each other only, for agents that the observer has not seen change yet. The
// zero value is ready.
type Heard struct {
	mu   sync.Mutex
	seen map[coffer.AgentID]sign
}

type sign struct {
	boot string
	beat uint64
	at   time.Time // monotonic
}

// Listen takes in what the rows say now and gives for how long each agent has not
// been heard.
func (h *Heard) Listen(agents []coffer.Agent, now time.Time) map[coffer.AgentID]time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	var last time.Time
	for _, a := range agents {
		if a.Seen.After(last) {
			last = a.Seen
		}
	}
	out := map[coffer.AgentID]time.Duration{}
	next := map[coffer.AgentID]sign{}
	for _, a := range agents {
		s, known := h.seen[a.ID]
		switch {
		case !known:
			s = sign{a.Boot, a.Beat, now.Add(-last.Sub(a.Seen))}
		case s.boot != a.Boot || s.beat != a.Beat:
			s = sign{a.Boot, a.Beat, now}
		}
		next[a.ID], out[a.ID] = s, now.Sub(s.at)
	}
	h.seen = next
	return out
}
