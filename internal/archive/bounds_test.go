package archive_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// gauge is a store that counts the bytes it is being given or asked for.
type gauge struct {
	store.Full
	gate chan struct{} // Part waits for it

	mu        sync.Mutex
	now, most int64
	asked     int64
}

func (g *gauge) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	g.mu.Lock()
	g.now += b.Size()
	g.most = max(g.most, g.now)
	g.mu.Unlock()
	<-g.gate
	defer func() {
		g.mu.Lock()
		g.now -= b.Size()
		g.mu.Unlock()
	}()
	return g.Full.Part(ctx, u, i, off, b)
}

func (g *gauge) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	g.mu.Lock()
	g.asked += n
	g.mu.Unlock()
	return g.Full.Open(ctx, name, off, n)
}

// However much is written while the store stands still, what is taken is bounded
// by the bytes in flight and the codec's frames.
func TestWritingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const inFlight, plain = 4 << 20, 48 << 20
		g := &gauge{Full: storetest.NewMemory(), gate: make(chan struct{})}
		p := archive.Place{Store: g, Prefix: prefix}
		o := archive.Options{Workers: 1, InFlight: inFlight, PartSize: func(i int) int64 { return 1 << 20 }, Retry: quick}
		w, err := archive.Create(t.Context(), p, intentOf(backupA), o)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		block := content(1, 1<<20)
		go func() {
			var err error
			for range plain >> 20 {
				if _, err = w.Write(block); err != nil {
					break
				}
			}
			done <- err
		}()
		synctest.Wait()
		if g.most > inFlight || g.most < inFlight/2 {
			t.Errorf("%d bytes were in flight, the bound is %d", g.most, inFlight)
		}
		if n := w.Plain(); n > inFlight+6<<20 {
			t.Errorf("%d plain bytes were taken by a store that stands still", n)
		}
		close(g.gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(t.Context(), manifest()); err != nil {
			t.Fatal(err)
		}
		if g.most > inFlight {
			t.Errorf("%d bytes were in flight, the bound is %d", g.most, inFlight)
		}
		if out, err := w.Commit(t.Context()); out != archive.Done {
			t.Fatal(err)
		}
	})
}

// A reader that is not read from fetches no more ahead than its bound.
func TestReadingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, mem := memory()
		o := small()
		plain := content(2, 8<<20)
		s := commit(t, p, backupA, plain, o)
		g := &gauge{Full: mem}
		p.Store = g
		w := want(s.SHA256)
		w.InFlight, w.Workers = 512<<10, 1
		a, err := archive.Open(t.Context(), p, backupA, w)
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		const codecs = 6 << 20 // the frames that the decoder holds
		if g.asked > 512<<10+codecs+2*s.Manifest.Index.Size {
			t.Errorf("%d bytes were asked for by a reader that nobody reads", g.asked)
		}
		if _, err := io.CopyN(io.Discard, r, 100); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil { // in the middle: nothing may be left running
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Error("a closed stream gave bytes")
		}
	})
}
