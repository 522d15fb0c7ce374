package archive

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// chunkSize is the unit in which memory is asked for and used again. The first chunks
// of a stream are shorter, for a small archive needs little.
const (
	chunkSize  = 1 << 20
	firstChunk = 16 << 10
)

// pool bounds the bytes in flight and keeps full-sized chunks for the next part.
type pool struct {
	budget *semaphore.Weighted
	mu     sync.Mutex
	free   [][]byte
}

func newPool(bytes int64) *pool { return &pool{budget: semaphore.NewWeighted(bytes)} }

// get waits for n bytes, at most chunkSize, and gives an empty chunk that holds
// them.
func (p *pool) get(ctx context.Context, n int64) ([]byte, error) {
	if err := p.budget.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return p.take(n), nil
}

// take gives a chunk whose bytes were acquired already.
func (p *pool) take(n int64) []byte {
	if n < chunkSize {
		return make([]byte, 0, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		c := p.free[last]
		p.free = p.free[:last]
		return c
	}
	return make([]byte, 0, chunkSize)
}

// put gives chunks back, and their bytes to whoever waits.
func (p *pool) put(chunks [][]byte) {
	var n int64
	for _, c := range chunks {
		n += int64(cap(c))
	}
	p.keep(chunks)
	p.budget.Release(n)
}

// keep gives chunks back whose bytes are released elsewhere.
func (p *pool) keep(chunks [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range chunks {
		if cap(c) == chunkSize {
			p.free = append(p.free, c[:0])
		}
	}
}
