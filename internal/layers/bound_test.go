package layers_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

// A chain of 100 increments over one terabyte: tables of 64 GiB each, of which every
// increment has changed some runs of pages.
const (
	boundTables = 16
	boundPages  = 1 << 22 // of each table
	boundLinks  = 100
	boundRuns   = 80 // of a table, in each increment
	boundChunk  = 10 << 20
	// boundHeap is the heap that planning such a chain, and walking through all that
	// would be read for it, may take.
	boundHeap = 32 << 20
)

// generated is a layer of that chain: an index and no data.
type generated struct{ n int }

func (g generated) Backup() coffer.BackupID                       { return coffer.BackupID(fmt.Sprint("b", g.n)) }
func (g generated) Position() coffer.Position                     { return coffer.Position{} }
func (g generated) PlainBytes() int64                             { return 1 << 50 }
func (g generated) Stream(context.Context) (io.ReadCloser, error) { panic("only planned") }
func (g generated) Range(context.Context, int64, int64) (io.ReadCloser, error) {
	panic("only planned")
}

func (g generated) Entries(context.Context) iter.Seq2[engine.Entry, error] {
	return func(yield func(engine.Entry, error) bool) {
		rnd := rand.New(rand.NewPCG(uint64(g.n), 5))
		at := int64(0)
		give := func(e engine.Entry) bool {
			for off := int64(0); off < e.Size; off += boundChunk {
				n := min(boundChunk, e.Size-off)
				e.Chunks = append(e.Chunks, engine.Chunk{File: off, Len: n, Plain: at})
				at += n + 100
			}
			return yield(e, nil)
		}
		zero := uint32(0)
		if g.n == 0 {
			give(engine.Entry{Name: "ibdata1", Kind: engine.KindSpace, Space: &zero, Size: 4 * ps, PageSize: ps, Page0: true, FSPSize: 4})
			for i := range uint32(boundTables) {
				id := 10 + i
				give(engine.Entry{
					Name: fmt.Sprintf("d/t%d.ibd", i), Kind: engine.KindSpace, Space: &id, Size: boundPages * ps, PageSize: ps, Page0: true, FSPSize: boundPages,
				})
			}
			return
		}
		g.delta(give, "ibdata1", 0, nil)
		for i := range uint32(boundTables) {
			g.delta(give, fmt.Sprintf("d/t%d.ibd", i), 10+i, rnd)
		}
	}
}

// delta gives the lines of one delta.
func (g generated) delta(give func(engine.Entry) bool, name string, id uint32, rnd *rand.Rand) {
	give(engine.Entry{Name: name + ".meta", Kind: engine.KindMeta, Space: &id, PageSize: ps})
	var runs layers.Runs
	count := int64(0)
	for i := 0; rnd != nil && i < boundRuns; i++ {
		const stride = boundPages / boundRuns
		from, n := i*stride+1+rnd.IntN(stride/2), 1+rnd.IntN(60)
		for p := from; p < from+n; p++ {
			runs.Add(uint32(p))
		}
		count += int64(n)
	}
	give(engine.Entry{Name: name + ".delta", Kind: engine.KindPages, Runs: runs.Take(true)})
	const per = ps/4 - 1
	lists := max(1, (count+per-1)/per)
	give(engine.Entry{Name: name + ".delta", Kind: engine.KindDelta, PageSize: ps, Pages: count, Size: (lists + count) * ps})
}

// TestPlanOfATerabyteIsBounded: the page lists wait in the spool and are merged as
// streams, so the heap holds the files and their chunks only.
func TestPlanOfATerabyteIsBounded(t *testing.T) {
	// Not parallel: it looks at the heap of the whole process.
	var chain []engine.Layer
	for n := range boundLinks + 1 {
		chain = append(chain, generated{n})
	}
	spool, err := os.Create(t.TempDir() + "/spool")
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	base := heap()
	p, err := layers.Join(t.Context(), chain, []string{"ibdata1"}, spool)
	if err != nil {
		t.Fatal(err)
	}
	most := heap() - base
	var bytes, ranges int64
	for f := range p.Files() {
		for x, err := range f.Extents {
			if err != nil {
				t.Fatal(err)
			}
			if bytes += x.Len; ranges%200_000 == 0 {
				most = max(most, heap()-base)
			}
			ranges++
		}
	}
	t.Logf("%d GiB in %d ranges, %d MiB of heap", p.Bytes()>>30, ranges, most>>20)
	if p.Bytes() < 1<<40 || bytes != p.Bytes() {
		t.Errorf("the plan writes %d bytes and reads %d, want one terabyte", p.Bytes(), bytes)
	}
	if most > boundHeap {
		t.Errorf("the plan took %d bytes of heap, more than %d", most, boundHeap)
	}
	runtime.KeepAlive(p)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSupersededPagesAreNotFetched: of a full whose upper part was written anew,
// that part is not read.
func TestSupersededPagesAreNotFetched(t *testing.T) {
	t.Parallel()
	const n = 1200
	full := newFake("full").whole("ibdata1", 0, 4, 'f').whole("d/t.ibd", 7, n, 'f')
	var pages []uint32
	for p := uint32(300); p < n; p++ {
		pages = append(pages, p)
	}
	if _, err := join(t, full, newFake("1").delta("ibdata1", 0, 4, '1').delta("d/t.ibd", 7, n, '1', pages...)); err != nil {
		t.Fatal(err)
	}
	if got := int64(len(full.read)) << 12; got > 330*ps {
		t.Errorf("%d pages of the full were read, 304 are used", got/ps)
	}
}
