package workload

import (
	"sync"
	"time"
)

// Stalls are the longest times that one statement took, of each kind of client;
// a statement that is still waiting counts with what it has waited.
type Stalls struct {
	Commit   time.Duration `json:"commit"`   // any statement of a transaction, COMMIT above all
	NonTrans time.Duration `json:"nontrans"` // an insert into an Aria or MyISAM table
	DDL      time.Duration `json:"ddl"`      // CREATE, ALTER, DROP
}

// gauge measures one client's longest statement.
type gauge struct {
	mu    sync.Mutex
	since time.Time // zero between statements
	max   time.Duration
}

// time runs one statement.
func (g *gauge) time(f func() error) error {
	g.mu.Lock()
	g.since = time.Now()
	g.mu.Unlock()
	err := f()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.max = max(g.max, time.Since(g.since))
	g.since = time.Time{}
	return err
}

func (g *gauge) longest() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.since.IsZero() {
		return g.max
	}
	return max(g.max, time.Since(g.since))
}

// reset forgets the past; a statement under way counts from now.
func (g *gauge) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.max = 0
	if !g.since.IsZero() {
		g.since = time.Now()
	}
}

func longest(gauges []*gauge) (d time.Duration) {
	for _, g := range gauges {
		d = max(d, g.longest())
	}
	return d
}
