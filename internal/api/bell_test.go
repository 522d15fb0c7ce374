package api

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// belfry notes when bells are cast.
type belfry struct {
	bus.Bus
	mu   sync.Mutex
	rang []time.Time
}

func (b *belfry) Cast(context.Context, bus.Target, string, any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rang = append(b.rang, time.Now())
	return nil
}

// A job that comes alone is rung for at once; of many, each is followed by a bell, of
// which there are few.
func TestJobsShareBells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &belfry{}
		a := &api{Config: Config{Bus: b, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
		r := request{Request: httptest.NewRequest("POST", "/", nil)}
		var jobs []time.Time
		ring := func() {
			jobs = append(jobs, time.Now())
			a.ring(r, coffer.JobID("j"))
		}
		ring()
		if len(b.rang) != 1 {
			t.Errorf("a job alone was rung for %d times", len(b.rang))
		}
		time.Sleep(time.Second)
		from := len(b.rang)
		for range 200 {
			ring()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(bellGap)
		synctest.Wait()
		if n := len(b.rang) - from; n > 12 {
			t.Errorf("200 jobs in 200 ms were rung for %d times", n)
		}
		for _, at := range jobs {
			heard := false
			for _, bell := range b.rang {
				heard = heard || !bell.Before(at) && bell.Sub(at) <= bellGap
			}
			if !heard {
				t.Fatalf("no bell follows the job of %v; there are %v", at, b.rang)
			}
		}
	})
}
