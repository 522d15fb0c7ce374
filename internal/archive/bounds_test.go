package archive_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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

// narrow is a store whose objects have few parts.
type narrow struct {
	store.Full
	most int
}

func (n narrow) MaxParts(context.Context) (int, error) { return n.most, nil }

// The archive goes on in a next volume where the store's objects end, whatever
// decorates the store and whatever more the caller would take; a volume that is just
// full is the last one, and none is empty.
func TestVolumesEndWhereObjectsDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most, asked int
		want        []int // parts of each volume
	}{
		{3, 0, []int{3, 3, 2}},
		{4, 100, []int{4, 4}},
		{8, 0, []int{8}},
		{9, 3, []int{3, 3, 2}},
		{0, 0, []int{8}},
	} {
		mem := storetest.NewMemory()
		once := storetest.WriteOnce(narrow{mem, c.most}, time.Now().Add(time.Hour))
		p := archive.Place{Store: store.Retry(store.Limit(&storetest.Faulty{Full: once}, 1<<40), quick), Prefix: prefix}
		o := small()
		o.MaxParts = c.asked
		plain := content(3, 8*(64<<10)-200) // with the frame's own bytes, eight parts
		s := commit(t, p, backupA, plain, o)
		var got []int
		for _, v := range s.Manifest.Volumes {
			got = append(got, len(v.Parts))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d parts an object, %d asked for (-want +got):\n%s", c.most, c.asked, diff)
		}
		mustRead(t, p, backupA, want(s.SHA256), plain)
	}
}

// Beyond S3's 10,000 parts the archive goes on in a next object.
func TestTenThousandParts(t *testing.T) {
	t.Parallel()
	mem := storetest.NewMemory()
	p := archive.Place{Store: narrow{mem, 10_000}, Prefix: prefix}
	o := small()
	o.InFlight, o.PartSize = 64<<10, func(int) int64 { return 64 }
	plain := content(5, 10_200*64)
	s := commit(t, p, backupA, plain, o)
	if v := s.Manifest.Volumes; len(v) != 2 || len(v[0].Parts) != 10_000 || len(v[1].Parts) < 200 {
		t.Errorf("%d volumes, the first of %d parts", len(v), len(v[0].Parts))
	}
	mustRead(t, p, backupA, want(s.SHA256), plain)
	if err := archive.Delete(t.Context(), p, backupA); err != nil || len(names(t, mem)) > 0 {
		t.Errorf("%v; left %v", err, names(t, mem))
	}
}
