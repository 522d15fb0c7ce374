package sign

import (
	"sync"
	"time"
)

// maxNonces bounds the memory: seven verbs a second for as long as they are
// remembered, about 16 MiB. Only a trusted key's verbs are remembered, so nobody
// else can fill it; when it is full the oldest is forgotten, since a repeated
// doorbell is harmless and a lost one is not.
const maxNonces = 1 << 17

// memory knows the nonces of the verbs that came, each for as long as any clock may
// hold its signature fresh.
type memory struct {
	mu    sync.Mutex
	seen  map[string]struct{}
	order []entry // the oldest first, from head on
	head  int
	// since is a clock that only goes forward.
	since func() time.Duration
	max   int
}

type entry struct {
	nonce string
	at    time.Duration
}

func newMemory() *memory {
	start := time.Now()
	return &memory{seen: map[string]struct{}{}, max: maxNonces, since: func() time.Duration { return time.Since(start) }}
}

// first reports whether nonce comes for the first time, and remembers it.
func (m *memory) first(nonce string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.since()
	for m.head < len(m.order) && (now-m.order[m.head].at > Life+2*Skew || len(m.order)-m.head >= m.max) {
		delete(m.seen, m.order[m.head].nonce)
		m.head++
	}
	if m.head > len(m.order)/2 {
		m.order = append([]entry(nil), m.order[m.head:]...)
		m.head = 0
	}
	if _, known := m.seen[nonce]; known {
		return false
	}
	m.seen[nonce] = struct{}{}
	m.order = append(m.order, entry{nonce, now})
	return true
}
