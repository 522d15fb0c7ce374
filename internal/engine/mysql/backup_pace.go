package mysql

import (
	"time"

	"golang.org/x/time/rate"
)

// paceChunk is what is read at once under a limit: so little that the tool never
// waits long for its turn when the limit ends.
const paceChunk = 64 << 10

// pace keeps the tool to a bandwidth by reading no faster, so that it reads the
// database's files no faster. The limit holds while the tool holds nobody: from the
// moment it begins to lock, every byte is taken at once.
type pace struct {
	limit *rate.Limiter // nil is no limit
}

func newPace(bytesPerSecond int64) pace {
	if bytesPerSecond == 0 {
		return pace{}
	}
	return pace{rate.NewLimiter(rate.Limit(bytesPerSecond), paceChunk)}
}

// room is how much of p may be read at once.
func (p pace) room(b []byte) []byte {
	if p.limit == nil {
		return b
	}
	return b[:min(len(b), paceChunk)]
}

// took waits for as long as n bytes take, unless the limit has ended.
func (p pace) took(n int, ended bool) {
	if p.limit == nil || ended || n == 0 {
		return
	}
	time.Sleep(p.limit.ReserveN(time.Now(), n).Delay())
}
