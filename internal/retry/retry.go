// Package retry is the one loop that tries again. It repeats a step while it
// fails with coffer.KindUnavailable and with nothing else: every other kind is
// an answer. Waits grow exponentially between two bounds and are jittered, so
// that many callers that lost the same server do not come back as one.
//
// The loop does not know whether a step may be repeated. That is the caller's
// knowledge: hand it idempotent steps only.
package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cofferdb/coffer"
)

// Bounds of a wait where a policy names none.
const (
	DefaultMin = 100 * time.Millisecond
	DefaultMax = 10 * time.Second
)

// Policy says how patiently a step is repeated. The zero value waits between
// DefaultMin and DefaultMax and gives up only when its context ends.
type Policy struct {
	Min, Max time.Duration // first and longest wait; 0 is the default
	Tries    int           // calls at most; 0 is no limit
	For      time.Duration // no call starts later than this after the first; 0 is no limit
}

// Do calls f until it succeeds, answers with another kind than KindUnavailable,
// or patience ends. Then it returns f's last error with the step op around it.
// When ctx ends during a wait the error is ctx's and still holds f's last one.
func (p Policy) Do(ctx context.Context, op string, f func(context.Context) error) error {
	start := time.Now()
	for try := 1; ; try++ {
		err := f(ctx)
		if err == nil || coffer.KindOf(err) != coffer.KindUnavailable || ctx.Err() != nil {
			return coffer.Wrap(op, err)
		}
		wait := p.Wait(try)
		if p.Tries > 0 && try >= p.Tries || p.For > 0 && time.Since(start)+wait > p.For {
			return coffer.E(coffer.KindUnavailable, op, "given up after %d tries in %s: %w",
				try, time.Since(start).Round(time.Millisecond), err).WithHint("%s", coffer.HintOf(err))
		}
		if end := Sleep(ctx, wait); end != nil {
			return coffer.E(coffer.KindOf(end), op, "%w while waiting to try again after: %w", end, err).
				WithHint("%s", coffer.HintOf(err))
		}
	}
}

// Wait is how long to pause after the given failed try (from 1): a random time
// between half of and the whole of min(Min × 2^(try-1), Max).
func (p Policy) Wait(try int) time.Duration {
	lo, hi := p.Min, p.Max
	if lo <= 0 {
		lo = DefaultMin
	}
	if hi <= 0 {
		hi = max(DefaultMax, lo)
	}
	d := lo
	for i := 1; i < try && d < hi; i++ {
		d *= 2
	}
	d = min(d, hi)
	return d/2 + rand.N(d/2+1)
}

// Sleep pauses for d. It returns nil, or ctx's error as soon as ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
