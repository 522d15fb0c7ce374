package s3_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/testenv"
)

// filled is n bytes that differ by seed.
func filled(seed, n int) store.Body {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((i*7 + i>>8*13 + seed*31) >> 1)
	}
	return store.Bytes(b)
}

// sent uploads count parts of size bytes, four at a time, and answers the SHA-256
// of the whole.
func sent(t *testing.T, s store.Full, name string, count, size int) string {
	t.Helper()
	u, err := s.Begin(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	parts := make([]store.Part, count)
	sum := sha256.New()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(4)
	for i := range count {
		b := filled(i, size)
		_, _ = io.Copy(sum, b.Reader())
		g.Go(func() (err error) {
			parts[i], err = s.Part(ctx, u, i, int64(i*size), b)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Complete(t.Context(), u, parts); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func wantSum(t *testing.T, s store.Store, name, want string) {
	t.Helper()
	r, err := s.Open(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil || hex.EncodeToString(h.Sum(nil)) != want {
		t.Errorf("%s is not what was sent: %v", name, err)
	}
}

// TestCutConnections breaks every connection again and again while parts are
// sent and read: with patience nothing of it is seen.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	next := places(t, "cut", "cut")(t)
	p := testenv.NewProxy(t, strings.TrimPrefix(next.opts.Endpoint, "http://"))
	o := next.opts
	o.Endpoint = "http://" + p.Addr()
	s := store.Retry(open(t, o), retry.Policy{Min: 10 * time.Millisecond, Max: 200 * time.Millisecond, For: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for retry.Sleep(ctx, 150*time.Millisecond) == nil {
			p.Cut()
		}
	}()
	sum := sent(t, s, "big", 12, 2<<20)
	wantSum(t, s, "big", sum)
	cancel()
	<-ended
	// A Begin whose answer was lost leaves an upload: it is seen and ended.
	for u, err := range s.Stale(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Abort(t.Context(), u); err != nil {
			t.Error(err)
		}
	}
	wantSum(t, s, "big", sum)
}

// TestHeavyBigParts sends and reads parts of the sizes that a backup has.
func TestHeavyBigParts(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") != "1" {
		t.Skip("COFFER_HEAVY is not 1")
	}
	s := places(t, "heavy", "heavy")(t)
	for name, c := range map[string]struct{ count, size int }{"16": {16, 16 << 20}, "64": {6, 64 << 20}, "uneven": {9, 5<<20 + 1}} {
		wantSum(t, s, name, sent(t, s, name, c.count, c.size))
		if err := s.Delete(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}
