package bench

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cofferdb/coffer/internal/bus"
)

// lap gathers how long things took, by name. Its zero value is empty.
type lap struct {
	mu   sync.Mutex
	took map[string][]time.Duration
}

func (l *lap) add(name string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.took == nil {
		l.took = map[string][]time.Duration{}
	}
	l.took[name] = append(l.took[name], d)
}

// take gives what was gathered and begins anew.
func (l *lap) take() map[string][]time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.took
	l.took = nil
	return out
}

// quantile is in milliseconds; it sorts took. Of nothing it is 0.
func quantile(took []time.Duration, q float64) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return ms(took[min(len(took)-1, int(float64(len(took))*q))])
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// timed measures how long a role's handlers take.
type timed struct {
	bus.Bus
	lap
}

// Serve implements bus.Bus.
func (t *timed) Serve(ctx context.Context, at bus.Target, h bus.Handler, ready func()) error {
	return t.Bus.Serve(ctx, at, func(ctx context.Context, m bus.Message) (any, error) {
		from := time.Now()
		defer func() { t.add(m.Method, time.Since(from)) }()
		return h(ctx, m)
	}, ready)
}

// account is what was handled since the last one.
func (t *timed) account() account {
	a := account{Median: map[string]float64{}, P99: map[string]float64{}}
	for method, took := range t.take() {
		a.Count += len(took)
		a.Median[method], a.P99[method] = quantile(took, 0.5), quantile(took, 0.99)
		a.Max = max(a.Max, quantile(took, 1))
	}
	return a
}
