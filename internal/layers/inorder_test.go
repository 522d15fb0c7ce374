package layers_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

// front is a file that is written front to back, as a stream takes it.
type front struct {
	t     *testing.T
	b     []byte
	whole bool
	open  *bool // the one file that is open
}

func (f *front) zeros(to int64) {
	if to < int64(len(f.b)) {
		f.t.Errorf("written back at %d of %d", to, len(f.b))
		return
	}
	f.b = append(f.b, make([]byte, to-int64(len(f.b)))...)
}

func (f *front) WriteAt(p []byte, off int64) (int, error) {
	f.zeros(off)
	f.b = append(f.b, p...)
	return len(p), nil
}

func (f *front) Truncate(size int64) error {
	f.zeros(size)
	f.whole = true
	return nil
}

func (f *front) Close() error {
	*f.open = false
	return nil
}

// inOrder writes the plan as a stream takes it.
func inOrder(t *testing.T, p *layers.Plan) (map[string]string, error) {
	t.Helper()
	files, open := map[string]*front{}, false
	err := p.WriteInOrder(t.Context(), layers.Options{Workers: 2, Create: func(name string) (layers.File, error) {
		if open || files[name] != nil {
			t.Errorf("%s is made while another is open, or twice", name)
		}
		open = true
		files[name] = &front{t: t, open: &open}
		return files[name], nil
	}})
	if open {
		t.Error("a file was not closed")
	}
	got := map[string]string{}
	for name, f := range files {
		if got[name] = string(f.b); err == nil && !f.whole {
			t.Errorf("%s has no end", name)
		}
	}
	return got, err
}

// checkInOrder holds that a stream gets what the files are.
func checkInOrder(t *testing.T, p *layers.Plan, files map[string]*memory, failed error) {
	t.Helper()
	if p.Bytes() > 16<<20 { // TestInOrderIsBounded has a large one
		return
	}
	got, err := inOrder(t, p)
	if coffer.KindOf(err) != coffer.KindOf(failed) {
		t.Errorf("in order: %v; as files: %v", err, failed)
	}
	if failed != nil {
		return
	}
	want := map[string]string{}
	for name, m := range files {
		want[name] = string(m.b)
	}
	if !cmp.Equal(want, got) {
		t.Error("in order the files are other ones")
	}
}

// made is a layer whose pages are made when they are read.
type made struct {
	*fake
	id      uint32
	size    int64
	version byte
	now     *atomic.Int64 // ranges that are open
	most    *atomic.Int64
}

// madeRange makes one page after another.
type madeRange struct {
	m        *made
	off, end int64
	now      []byte
}

func (r *madeRange) Read(p []byte) (int, error) {
	if r.off == r.end {
		return 0, io.EOF
	}
	if r.now == nil || r.off%ps == 0 {
		r.now = page(r.m.id, uint32(r.off/ps), r.m.version, uint32(r.m.size/ps))
	}
	n := copy(p, r.now[r.off%ps:min(ps, r.off%ps+r.end-r.off)])
	r.off += int64(n)
	return n, nil
}

func (r *madeRange) Close() error { r.m.now.Add(-1); return nil }

func (m *made) PlainBytes() int64 { return m.size }

func (m *made) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if at := m.now.Add(1); at > m.most.Load() {
		m.most.Store(at)
	}
	return &madeRange{m: m, off: off, end: off + n}, ctx.Err()
}

// TestInOrderIsBounded: a tablespace of 256 MiB passes in memory that does not grow
// with it, and no more ranges are open than were allowed.
func TestInOrderIsBounded(t *testing.T) {
	const size = 256 << 20
	id := uint32(7)
	var now, most atomic.Int64
	full := &made{fake: newFake("full"), id: id, size: size, version: 'f', now: &now, most: &most}
	full.entries = []engine.Entry{{
		Name: "d/t.ibd", Kind: engine.KindSpace, Space: &id, PageSize: ps, Page0: true, FSPSize: size / ps, Size: size,
		Chunks: []engine.Chunk{{Len: size}},
	}}
	var pages []uint32
	for p := uint32(5); p < size/ps; p += 97 {
		pages = append(pages, p)
	}
	chain := []engine.Layer{full}
	for v := byte('1'); v <= '4'; v++ {
		chain = append(chain, newFake(string(v)).delta("d/t.ibd", id, size/ps, v, pages...))
	}
	p, err := layers.Join(t.Context(), chain, nil, new(memory))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var heap uint64
	var done int64
	take := func(b []byte, off int64) {
		for i := int64(0); i < int64(len(b)); i += ps {
			want := byte('f')
			if (off+i)/ps%97 == 5 {
				want = '4'
			}
			if b[i+200] != want {
				t.Fatalf("page %d is of layer %c, want %c", (off+i)/ps, b[i+200], want)
			}
		}
	}
	err = p.WriteInOrder(t.Context(), layers.Options{Create: func(string) (layers.File, error) { return taker(take), nil }, Progress: func(n int64) {
		if done += n; done%(32<<20) == 0 {
			runtime.ReadMemStats(&after)
			heap = max(heap, after.HeapInuse)
		}
	}})
	if err != nil || done != size {
		t.Fatalf("%d bytes: %v", done, err)
	}
	if heap > before.HeapInuse+128<<20 {
		t.Errorf("%d MiB of heap", (heap-before.HeapInuse)>>20)
	}
	if most.Load() > 3 || now.Load() != 0 {
		t.Errorf("%d ranges at a time, %d left open", most.Load(), now.Load())
	}
}

// taker looks at what is written.
type taker func(b []byte, off int64)

func (f taker) WriteAt(p []byte, off int64) (int, error) { f(p, off); return len(p), nil }
func (taker) Truncate(int64) error                       { return nil }
func (taker) Close() error                               { return nil }

type nothing struct{}

func (nothing) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nothing) Truncate(int64) error                   { return nil }
func (nothing) Close() error                           { return nil }

// stuck is a layer whose ranges come only when the caller has ended.
type stuck struct{ *fake }

func (stuck) Range(ctx context.Context, _, _ int64) (io.ReadCloser, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func (s stuck) Entries(ctx context.Context) iter.Seq2[engine.Entry, error] {
	return s.fake.Entries(ctx)
}

// TestInOrderEnds: by the caller's wish, and by an output that takes no more, with
// their own words and without anything left behind.
func TestInOrderEnds(t *testing.T) {
	t.Parallel()
	why := errors.New("somebody cancelled")
	plan := func(l engine.Layer) *layers.Plan {
		p, err := layers.Join(t.Context(), []engine.Layer{l}, nil, new(memory))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		end := make(chan error)
		p := plan(stuck{newFake("full").whole("d/t.ibd", 7, 90, 'f')})
		go func() {
			end <- p.WriteInOrder(ctx, layers.Options{Create: func(string) (layers.File, error) { return nothing{}, nil }})
		}()
		synctest.Wait()
		cancel(why)
		if err := <-end; !errors.Is(err, why) {
			t.Errorf("cancelled: %v", err)
		}
	})
	full := errors.New("the output is full")
	p := plan(newFake("full").whole("d/t.ibd", 7, 90, 'f'))
	err := p.WriteInOrder(t.Context(), layers.Options{Create: func(string) (layers.File, error) { return nil, full }})
	if !errors.Is(err, full) {
		t.Errorf("the output fails: %v", err)
	}
}
