package remote

import (
	"context"
	"sync"

	"github.com/cofferdb/coffer"
)

// Names is a set of names, each held by at most one goroutine. The zero value
// holds none.
type Names struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is given back
}

// Hold waits until nobody holds name, then holds it until release is called.
func (n *Names) Hold(ctx context.Context, op, name string) (release func(), err error) {
	for {
		n.mu.Lock()
		wait, taken := n.held[name]
		if !taken {
			if n.held == nil {
				n.held = map[string]chan struct{}{}
			}
			free := make(chan struct{})
			n.held[name] = free
			n.mu.Unlock()
			return func() {
				n.mu.Lock()
				delete(n.held, name)
				n.mu.Unlock()
				close(free)
			}, nil
		}
		n.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, coffer.Wrap(op, ctx.Err())
		}
	}
}
