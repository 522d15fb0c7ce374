package layers_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

// TestPagesAreASet holds the set against one of booleans.
func TestPagesAreASet(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 7))
	const n = 200
	draw := func() (layers.Pages, []bool) {
		in := make([]bool, n)
		for range rnd.IntN(12) {
			at := rnd.IntN(n)
			for i := range rnd.IntN(30) {
				in[min(n-1, at+i)] = true
			}
		}
		var s layers.Pages
		for i, has := range in {
			if has {
				s.Add(int64(i), int64(i)+1)
			}
		}
		return s, in
	}
	same := func(what string, s layers.Pages, in func(i int) bool) {
		t.Helper()
		count, first := int64(0), int64(0)
		for i := range n {
			if s.Has(int64(i)) != in(i) {
				t.Fatalf("%s: page %d is %v", what, i, s.Has(int64(i)))
			}
			if in(i) {
				if count == 0 {
					first = int64(i)
				}
				count++
			}
		}
		if s.Count() != count || s.First() != first {
			t.Fatalf("%s: %d pages from %d, want %d from %d", what, s.Count(), s.First(), count, first)
		}
	}
	for range 500 {
		a, ina := draw()
		b, inb := draw()
		limit := rnd.IntN(n)
		same("with", a.With(b), func(i int) bool { return ina[i] || inb[i] })
		same("without", a.Without(b), func(i int) bool { return ina[i] && !inb[i] })
		same("below", a.Below(int64(limit)), func(i int) bool { return ina[i] && i < limit })
		again, err := layers.ReadPages(a.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		same("read again", again, func(i int) bool { return ina[i] })
	}
}

// TestPagesAreBounded: beyond its bound a set grows coarse, and never loses a page.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	var s layers.Pages
	const last = 4 * layers.MaxRuns
	for p := int64(0); p <= last; p += 2 {
		s.Add(p, p+1)
	}
	if got := len(s.Bytes()); got > 2*layers.MaxRuns+8 {
		t.Errorf("%d bytes for %d runs", got, layers.MaxRuns)
	}
	if !s.Has(2) || s.Has(3) || !s.Has(last) || !s.Has(last-1) {
		t.Error("it lost a page, or is coarse where it need not be")
	}
}

// inUse makes page 0 of a delta or whole file one of descriptors, changed at lsn, by
// which the first n pages are in use.
func (f *fake) inUse(name string, lsn uint64, n int) *fake {
	for _, e := range f.entries {
		if e.Name != name || e.Kind == engine.KindPages {
			continue
		}
		at := e.Chunks[0].Plain
		if e.Kind == engine.KindDelta {
			at += ps
		}
		b := f.data[at:][:ps]
		binary.BigEndian.PutUint64(b[16:], lsn)
		binary.BigEndian.PutUint16(b[24:], 8)
		for p := range (n + 63) / 64 * 64 {
			d := b[150+p/64*40:]
			binary.BigEndian.PutUint32(d[20:], 4)
			if p >= n {
				d[24+p%64/4] |= 1 << (p % 4 * 2)
			}
		}
		sum(b)
	}
	return f
}

func check(t *testing.T, chain ...*fake) error {
	t.Helper()
	var all []engine.Layer
	for _, f := range chain {
		all = append(all, at{f})
	}
	p, err := layers.Join(t.Context(), all, []string{"ibdata1"}, new(memory))
	if err != nil {
		t.Fatal(err)
	}
	return p.Check(t.Context())
}

// at is a layer whose redo starts at 1500.
type at struct{ *fake }

func (at) Position() coffer.Position { return coffer.Position{RedoStart: 1500} }

// TestPagesInNoLayerAreFound: what the descriptors say is in use must be somewhere,
// unless it came to be behind the redo start.
func TestPagesInNoLayerAreFound(t *testing.T) {
	t.Parallel()
	full := func() *fake { return newFake("full").whole("ibdata1", 0, 4, 'f').whole("d/t.ibd", 7, 6, 'f') }
	top := func(id string) *fake {
		return newFake(id).delta("ibdata1", 0, 4, '1').delta("d/t.ibd", 7, 6, '1', 2)
	}
	for name, c := range map[string]struct {
		chain []*fake
		lost  string
	}{
		"all are there":                   {[]*fake{full(), top("1").delta("d/n.ibd", 9, 6, '1', 0, 1, 2, 3).inUse("d/n.ibd.delta", 1500, 4)}, ""},
		"one is not":                      {[]*fake{full(), top("1").delta("d/n.ibd", 9, 6, '1', 0, 1, 3).inUse("d/n.ibd.delta", 1500, 4)}, "page 2"},
		"it came to be behind":            {[]*fake{full(), top("1").delta("d/n.ibd", 9, 6, '1', 0, 1, 3).inUse("d/n.ibd.delta", 1501, 4)}, ""},
		"a newer layer has it":            {[]*fake{full(), top("1").delta("d/n.ibd", 9, 6, '1', 0, 1, 3).inUse("d/n.ibd.delta", 1400, 4), top("2").delta("d/n.ibd", 9, 6, '2', 2)}, ""},
		"the last ones are not":           {[]*fake{full(), top("1").delta("d/n.ibd", 9, 6, '1', 0, 1, 2, 3).inUse("d/n.ibd.delta", 1500, 6)}, "2 pages"},
		"a whole file that grew":          {[]*fake{full(), newFake("1").delta("ibdata1", 0, 4, '1').delta("d/t.ibd", 7, 9, '1', 0, 8).inUse("d/t.ibd.delta", 1400, 9)}, "page 6"},
		"a free one need not be":          {[]*fake{full(), newFake("1").delta("ibdata1", 0, 4, '1').delta("d/t.ibd", 7, 9, '1', 0, 8).inUse("d/t.ibd.delta", 1400, 6)}, ""},
		"an undo tablespace is made anew": {[]*fake{full(), top("1").delta("undo001", 9, 6, '1', 0, 1, 3).inUse("undo001.delta", 1500, 4)}, ""},
	} {
		err := check(t, c.chain...)
		if c.lost == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.lost != "" && (!coffer.IsKind(err, coffer.KindCorrupt) || !strings.Contains(err.Error(), c.lost) || coffer.HintOf(err) == "") {
			t.Errorf("%s: got %v, want KindCorrupt with %s", name, err, c.lost)
		}
	}
}

// TestHolesInLaterStretches: each stretch of 16384 pages is judged by its own
// descriptors, and a table without holes costs no read.
func TestHolesInLaterStretches(t *testing.T) {
	t.Parallel()
	const n = 2*ps + 100
	var pages []uint32
	for p := uint32(0); p < n; p++ {
		pages = append(pages, p)
	}
	make1 := func(pages []uint32) *fake {
		f := newFake("1").delta("ibdata1", 0, 4, '1')
		// The pages are not written out: a check reads descriptors alone.
		var runs layers.Runs
		for _, p := range pages {
			runs.Add(p)
		}
		id := uint32(9)
		f.file(engine.Entry{Name: "d/n.ibd.meta", Kind: engine.KindMeta, Space: &id, PageSize: ps}, []byte("meta"))
		f.entries = append(f.entries, engine.Entry{Name: "d/n.ibd.delta", Kind: engine.KindPages, Runs: runs.Take(true)})
		per := int64(ps/4 - 1)
		count := int64(len(pages))
		size := (count + (count+per-1)/per) * ps
		f.entries = append(f.entries, engine.Entry{
			Name: "d/n.ibd.delta", Kind: engine.KindDelta, PageSize: ps, Pages: count, Page0: true, FSPSize: n, Size: size,
			Chunks: []engine.Chunk{{Len: size, Plain: 0}},
		})
		return f
	}
	full := newFake("full").whole("ibdata1", 0, 4, 'f')
	for _, lost := range []uint32{0, ps + 70, 2*ps + 64} {
		f := make1(slices.DeleteFunc(slices.Clone(pages), func(p uint32) bool { return lost > 0 && p == lost }))
		wide := &described{fake: f, pages: pages, without: lost}
		p, err := layers.Join(t.Context(), []engine.Layer{at{full}, wide}, []string{"ibdata1"}, new(memory))
		if err != nil {
			t.Fatal(err)
		}
		err = p.Check(t.Context())
		if lost == 0 && (err != nil || wide.reads > 0) {
			t.Errorf("nothing is lost: %v, %d reads", err, wide.reads)
		}
		if lost > 0 && (!coffer.IsKind(err, coffer.KindCorrupt) || wide.reads != 1) {
			t.Errorf("page %d is lost: %v, %d reads", lost, err, wide.reads)
		}
	}
}

// TestIndexThatDoesNotMatch: a file without pages is held against its chunks' headers
// and sums.
func TestIndexThatDoesNotMatch(t *testing.T) {
	t.Parallel()
	full := newFake("full").whole("ibdata1", 0, 4, 'f')
	top := func() *fake {
		return newFake("1").delta("ibdata1", 0, 4, '1').small("d/a.frm", engine.KindFile, "first").small("d/b.frm", engine.KindFile, "other")
	}
	chunk := func(f *fake, back int) *engine.Chunk { return &f.entries[len(f.entries)-1-back].Chunks[0] }
	for name, f := range map[string]*fake{
		"another file's bytes": func() *fake { f := top(); chunk(f, 0).Plain = chunk(f, 1).Plain; return f }(),
		"some bytes off":       func() *fake { f := top(); chunk(f, 1).Plain++; return f }(),
		"a changed byte":       func() *fake { f := top(); f.data[chunk(f, 0).Plain] ^= 1; return f }(),
	} {
		if _, err := join(t, full, f); !coffer.IsKind(err, coffer.KindCorrupt) || !strings.Contains(err.Error(), ".frm") {
			t.Errorf("%s: got %v, want KindCorrupt", name, err)
		}
	}
	if got, err := join(t, full, top()); err != nil || got["d/b.frm"] != "other" {
		t.Errorf("as it is: %v, %q", err, got["d/b.frm"])
	}
}
