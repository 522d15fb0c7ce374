package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

func away() error {
	return coffer.E(coffer.KindUnavailable, "reach the store", "away").WithHint("look at it")
}

func TestDoRepeatsUnavailableOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := retry.Policy{}.Do(t.Context(), "write", func(context.Context) error {
			if calls++; calls < 4 {
				return away()
			}
			return nil
		})
		if err != nil || calls != 4 {
			t.Fatalf("got %v after %d calls, want nil after 4", err, calls)
		}
	})
	for _, kind := range []coffer.Kind{coffer.KindUnknown, coffer.KindExists, coffer.KindInternal, coffer.KindNotFound, coffer.KindNoSpace} {
		calls := 0
		err := retry.Policy{}.Do(t.Context(), "write", func(context.Context) error {
			calls++
			return coffer.E(kind, "x", "no")
		})
		if calls != 1 || coffer.KindOf(err) != kind {
			t.Errorf("%s: %d calls, %v; an answer is not asked again", kind, calls, err)
		}
	}
}

func TestDoGivesUp(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]retry.Policy{
		"tries": {Min: time.Second, Tries: 5},
		"time":  {Min: time.Second, Max: time.Second, For: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, calls := time.Now(), 0
				err := p.Do(t.Context(), "write", func(context.Context) error { calls++; return away() })
				if coffer.KindOf(err) != coffer.KindUnavailable || coffer.HintOf(err) != "look at it" {
					t.Fatalf("got %v, hint %q", err, coffer.HintOf(err))
				}
				if name == "tries" && calls != 5 {
					t.Errorf("%d calls, want 5", calls)
				}
				if took := time.Since(start); name == "time" && (took > 5*time.Second || calls < 5) {
					t.Errorf("%d calls in %s, want at least 5 and none after 5s", calls, took)
				}
			})
		})
	}
}

func TestDoEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		start := time.Now()
		err := retry.Policy{Min: time.Hour}.Do(ctx, "write", func(context.Context) error { return away() })
		if took := time.Since(start); took != time.Minute {
			t.Errorf("returned after %s, want at the cancel", took)
		}
		if coffer.KindOf(err) != coffer.KindCanceled || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v (%s)", err, coffer.KindOf(err))
		}
		if coffer.HintOf(err) != "look at it" {
			t.Errorf("the last error's hint is lost: %q", coffer.HintOf(err))
		}
		calls := 0
		err = retry.Policy{}.Do(ctx, "write", func(ctx context.Context) error { calls++; return ctx.Err() })
		if calls != 1 || err == nil {
			t.Errorf("an ended context: %d calls, %v", calls, err)
		}
	})
}

func TestWaitGrowsWithinBounds(t *testing.T) {
	t.Parallel()
	p := retry.Policy{Min: 100 * time.Millisecond, Max: time.Second}
	for try := 1; try < 200; try++ {
		full := time.Second
		if try <= 4 {
			full = 100 * time.Millisecond << (try - 1)
		}
		if d := p.Wait(try); d < full/2 || d > full {
			t.Errorf("try %d waits %s, want %s to %s", try, d, full/2, full)
		}
	}
}
