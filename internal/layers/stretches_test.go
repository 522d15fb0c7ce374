package layers_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

// watched is a file of which every byte is written once, and whose end comes once and
// last.
type watched struct {
	t       *testing.T
	mu      sync.Mutex
	busy    int // writers, now
	most    int
	got     map[int64]int64 // length by offset
	want    func(page int64) byte
	fail    int64 // an offset that cannot be written; -1 is none
	sized   bool
	closed  bool
	written int64
}

var errFull = errors.New("the disk is full")

func (f *watched) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	if _, twice := f.got[off]; twice || f.sized || f.closed {
		f.t.Errorf("%d is written twice, or after the end", off)
	}
	f.got[off] = int64(len(p))
	f.written += int64(len(p))
	f.busy++
	f.most = max(f.most, f.busy)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.busy--
		f.mu.Unlock()
	}()
	if f.fail >= off && f.fail < off+int64(len(p)) {
		return 0, errFull
	}
	for i := int64(0); i < int64(len(p)); i += ps {
		if at := (off + i) / ps; p[i+200] != f.want(at) {
			f.t.Errorf("page %d is of layer %c, want %c", at, p[i+200], f.want(at))
		}
	}
	return len(p), nil
}

func (f *watched) Truncate(int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sized || f.closed || f.busy > 0 {
		f.t.Error("its end came twice, or while it was written")
	}
	f.sized = true
	return nil
}

func (f *watched) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.busy > 0 {
		f.t.Error("it was closed twice, or while it was written")
	}
	f.closed = true
	return nil
}

// TestOneFileIsWrittenByAll: several workers write a large file at once, each a stretch
// of it; its end comes when the last has finished. When one fails, the file is closed
// and gets no end.
func TestOneFileIsWrittenByAll(t *testing.T) {
	t.Parallel()
	const size = 140<<20 + 5*ps
	id := uint32(7)
	var now, most atomic.Int64
	full := &made{fake: newFake("full"), id: id, size: size, version: 'f', now: &now, most: &most}
	e := engine.Entry{Name: "d/t.ibd", Kind: engine.KindSpace, Space: &id, PageSize: ps, Page0: true, FSPSize: size / ps, Size: size}
	for at := int64(0); at < size; { // a page lies across each chunk's edge; one chunk is larger than any job
		n := min(size-at, int64(10<<20+999))
		if at > 80<<20 {
			n = size - at
		}
		e.Chunks = append(e.Chunks, engine.Chunk{File: at, Len: n, Plain: at})
		at += n
	}
	full.entries = []engine.Entry{e}
	var pages []uint32
	const changed = 120 << 20 / ps // from there on, every 97th page
	for p := uint32(changed); p < size/ps; p += 97 {
		pages = append(pages, p)
	}
	p, err := layers.Join(t.Context(), []engine.Layer{full, newFake("1").delta("d/t.ibd", id, size/ps, '1', pages...)}, nil, new(memory))
	if err != nil {
		t.Fatal(err)
	}
	want := func(page int64) byte {
		if page >= changed && (page-changed)%97 == 0 {
			return '1'
		}
		return 'f'
	}
	for _, fail := range []int64{-1, 100 << 20} {
		f := &watched{t: t, got: map[int64]int64{}, want: want, fail: fail}
		var done atomic.Int64
		err = p.Write(t.Context(), layers.Options{Workers: 3, Create: func(string) (layers.File, error) { return f, nil }, Progress: func(n int64) { done.Add(n) }})
		if fail >= 0 {
			if !errors.Is(err, errFull) || f.sized || !f.closed {
				t.Errorf("a write failed: %v, ended %v, closed %v", err, f.sized, f.closed)
			}
			continue
		}
		if err != nil || f.written != size || done.Load() != size || !f.sized || !f.closed {
			t.Fatalf("%v: %d of %d bytes, %d told, ended %v, closed %v", err, f.written, size, done.Load(), f.sized, f.closed)
		}
		if most.Load() < 2 {
			t.Error("one worker has written all of the file")
		}
	}
	if now.Load() != 0 {
		t.Errorf("%d ranges are left open", now.Load())
	}
}
