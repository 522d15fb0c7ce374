package amqp

import (
	"log/slog"
	"sync"
)

// quiet logs what a peer can cause as often as it likes: the first time, and then
// each time its number has grown tenfold.
type quiet struct {
	log  *slog.Logger
	mu   sync.Mutex
	seen map[string]int
}

// quietKinds bounds how many different causes are counted; beyond, all begin anew.
const quietKinds = 1000

// warn logs one happening of the cause key.
func (q *quiet) warn(key, msg string, args ...any) {
	q.mu.Lock()
	if len(q.seen) >= quietKinds {
		clear(q.seen)
	}
	q.seen[key]++
	n := q.seen[key]
	q.mu.Unlock()
	if !powerOfTen(n) {
		return
	}
	if n > 1 {
		args = append(args, "times", n)
	}
	q.log.Warn(msg, args...)
}

func powerOfTen(n int) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}
