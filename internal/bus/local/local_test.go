package local_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/bustest"
	"github.com/cofferdb/coffer/internal/bus/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaw(t *testing.T) {
	bustest.Run(t, func(*testing.T) bus.Bus { return local.New() })
}

// A queue is bounded: one message too many is refused at once.
func TestFullQueueRefuses(t *testing.T) {
	t.Parallel()
	b := local.New()
	at := bus.Target{Topic: "full"}
	release := make(chan struct{})
	bustest.Serve(t, b, at, func(context.Context, bus.Message) (any, error) { <-release; return nil, nil })
	sent := 0
	for ; sent <= local.Depth+1; sent++ {
		if err := b.Cast(t.Context(), at, "m", nil); err != nil {
			if !coffer.IsKind(err, coffer.KindUnavailable) {
				t.Errorf("a full queue: kind %q, want unavailable", coffer.KindOf(err))
			}
			break
		}
	}
	close(release)
	if sent < local.Depth || sent > local.Depth+1 {
		t.Errorf("accepted %d messages, want %d or one more in hand", sent, local.Depth)
	}
}
