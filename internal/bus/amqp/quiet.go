package amqp

import (
	"log/slog"
	"sync"
	"time"
)

// quiet logs what a peer can cause as often as it likes: so many lines a minute
// for each cause, and with the next one how many were left out.
type quiet struct {
	log  *slog.Logger
	mu   sync.Mutex
	seen map[string]hush
}

// hush is one cause's present minute.
type hush struct {
	until        time.Time
	said, unsaid int
}

// quietKinds bounds how many different causes are counted; beyond, all begin anew.
const quietKinds = 1000

// warn logs one happening of the cause key, of which a minute has most lines.
func (q *quiet) warn(key string, most int, msg string, args ...any) {
	unsaid, ok := q.count(key, most, time.Now())
	if !ok {
		return
	}
	if unsaid > 0 {
		args = append(args, "left_out_before", unsaid)
	}
	q.log.Warn(msg, args...)
}

func (q *quiet) count(key string, most int, now time.Time) (unsaid int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h, known := q.seen[key]
	if !known && len(q.seen) >= quietKinds {
		clear(q.seen)
	}
	if now.After(h.until) {
		h.until, h.said = now.Add(time.Minute), 0
	}
	if h.said >= most {
		h.unsaid++
		q.seen[key] = h
		return 0, false
	}
	unsaid = h.unsaid
	h.said, h.unsaid = h.said+1, 0
	q.seen[key] = h
	return unsaid, true
}
