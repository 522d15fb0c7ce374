package layers_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

// line is a layer's line about a file.
func (f *fake) line(name string, kind engine.EntryKind) *engine.Entry {
	i := slices.IndexFunc(f.entries, func(e engine.Entry) bool { return e.Name == name && e.Kind == kind })
	return &f.entries[i]
}

// block is a delta's block: the list is 0, its pages follow.
func (f *fake) block(name string, n int) []byte {
	at := f.line(name, engine.KindDelta).Chunks[0].Plain + int64(n)*ps
	return f.data[at : at+ps]
}

func runsOf(pages ...uint32) []byte {
	var r layers.Runs
	for _, p := range pages {
		r.Add(p)
	}
	return r.Take(true)
}

// TestIndexThatLies: what an index says of a layer is held against what the layer
// holds, down to the page.
func TestIndexThatLies(t *testing.T) {
	t.Parallel()
	const name = "d/t.ibd"
	for what, c := range map[string]struct {
		lie   func(full, top *fake)
		words []string
	}{
		"a page more":         {func(_, f *fake) { f.list(name, 1, 2, 3, 4) }, []string{name, "4 pages"}},
		"a page fewer":        {func(_, f *fake) { f.list(name, 1, 2) }, []string{name, "2 pages"}},
		"no page":             {func(_, f *fake) { f.list(name) }, []string{name, "0 pages"}},
		"a fewer, line right": {func(_, f *fake) { f.line(name+".delta", engine.KindPages).Runs = runsOf(1, 2) }, []string{name, "2 pages"}},
		"another page":        {func(_, f *fake) { f.list(name, 1, 2, 5) }, []string{name, "page 5", "page 3"}},
		"all shifted":         {func(_, f *fake) { f.list(name, 2, 3, 4) }, []string{name, "page 2", "page 1"}},
		"claims page 0":       {func(_, f *fake) { f.list(name, 0, 2, 3) }, []string{name, "page 0"}},
		"denies page 0": {func(_, f *fake) {
			f.delta("d/u.ibd", 9, 3, '1', 0, 1, 2)
			f.line("d/u.ibd.delta", engine.KindDelta).Page0 = false
		}, []string{"d/u.ibd", "page 0"}},
		"a smaller tablespace": {func(f, _ *fake) { f.line(name, engine.KindSpace).FSPSize = 3 }, []string{name, "page 0", "6 pages", "3"}},
		"another tablespace":   {func(f, _ *fake) { *f.line(name, engine.KindSpace).Space = 8 }, []string{name, "page 0"}},
		"another page size":    {func(f, _ *fake) { f.line(name, engine.KindSpace).PageSize = 8192 }, []string{name, "8192"}},
		"no page size": {func(_, f *fake) {
			f.whole("d/n.new", 30, 2, 'n')
			f.line("d/n.new", engine.KindNew).PageSize = 0
		}, []string{"d/n.ibd", "page"}},
		"a gap":                    {func(f, _ *fake) { f.line(name, engine.KindSpace).Chunks[1].File += ps }, []string{name, "join"}},
		"an overlap":               {func(f, _ *fake) { f.line(name, engine.KindSpace).Chunks[1].File -= ps }, []string{name, "join"}},
		"chunks shuffled":          {func(f, _ *fake) { c := f.line(name, engine.KindSpace).Chunks; c[0], c[1] = c[1], c[0] }, []string{name, "join"}},
		"two chunks, one place":    {func(f, _ *fake) { c := f.line(name, engine.KindSpace).Chunks; c[1].Plain = c[0].Plain }, []string{name, "page"}},
		"a chunk missing":          {func(f, _ *fake) { e := f.line(name, engine.KindSpace); e.Chunks = e.Chunks[:1] }, []string{name, "bytes"}},
		"a chunk behind the end":   {func(f, _ *fake) { f.line(name, engine.KindSpace).Chunks[1].Plain = int64(len(f.data)) }, []string{name, "join"}},
		"a chunk of no length":     {func(f, _ *fake) { f.line(name, engine.KindSpace).Chunks[0].Len = 0 }, []string{name, "join"}},
		"a chunk before the start": {func(f, _ *fake) { f.line(name, engine.KindSpace).Chunks[0].Plain = -ps }, []string{name, "join"}},
		"an endless list":          {func(_, f *fake) { f.line(name+".delta", engine.KindPages).Runs = bytes.Repeat([]byte{0xff}, 40) }, []string{name, "list"}},
		"beyond all pages": {func(_, f *fake) {
			f.line(name+".delta", engine.KindPages).Runs = []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 3}
		}, []string{name}},
		"a whole one and a delta": {func(_, f *fake) { f.whole(name, 7, 2, 'w') }, []string{name, "whole"}},
		"system missing between":  {func(f, _ *fake) { f.entries = f.entries[1:] }, []string{"ibdata1", "missing"}},
	} {
		full := newFake("full").whole("ibdata1", 0, 4, 'f').whole(name, 7, 6, 'f')
		top := newFake("top").delta("ibdata1", 0, 4, '1').delta(name, 7, 6, '1', 1, 2, 3)
		c.lie(full, top)
		refusedWith(t, what, c.words, full, top)
	}
}

// list makes a delta's lines say that it has other pages.
func (f *fake) list(name string, pages ...uint32) {
	f.line(name+".delta", engine.KindPages).Runs = runsOf(pages...)
	e := f.line(name+".delta", engine.KindDelta)
	e.Pages, e.Page0 = int64(len(pages)), len(pages) > 0 && pages[0] == 0
}

func refusedWith(t *testing.T, what string, words []string, chain ...*fake) {
	t.Helper()
	_, err := join(t, chain...)
	if !coffer.IsKind(err, coffer.KindCorrupt) {
		t.Errorf("%s: got %v, want KindCorrupt", what, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, err, w)
		}
	}
}

// vast is a layer that is planned from and not read.
type vast struct{ *fake }

func (vast) PlainBytes() int64 { return 1 << 40 }

// TestShortListAtABlocksEnd: a delta whose pages fill its lists may end with an empty
// list, and no other may: one page too few would pass for it.
func TestShortListAtABlocksEnd(t *testing.T) {
	t.Parallel()
	const per = ps/4 - 1
	id := uint32(7)
	for n, more := range map[int64]bool{per: true, per - 1: false, per + 1: false, 2 * per: true, 1: false} {
		for _, extra := range []int64{0, 1} {
			top := vast{newFake("top").delta("ibdata1", 0, 4, '1').
				file(engine.Entry{Name: "d/t.ibd.meta", Kind: engine.KindMeta, Space: &id, PageSize: ps}, []byte("meta"))}
			var runs layers.Runs
			for p := range n {
				runs.Add(uint32(p))
			}
			size := ((n+per-1)/per + n + extra) * ps
			top.entries = append(top.entries, engine.Entry{Name: "d/t.ibd.delta", Kind: engine.KindPages, Runs: runs.Take(true)},
				engine.Entry{
					Name: "d/t.ibd.delta", Kind: engine.KindDelta, PageSize: ps, Pages: n, Page0: true, FSPSize: uint32(n),
					Size: size, Chunks: []engine.Chunk{{Len: size, Plain: 1 << 30}},
				})
			full := newFake("full").whole("ibdata1", 0, 4, 'f')
			_, err := layers.Join(t.Context(), []engine.Layer{full, top}, []string{"ibdata1"}, new(memory))
			if (err == nil) != (extra == 0 || more) {
				t.Errorf("%d pages and %d lists too many: %v", n, extra, err)
			}
		}
	}
}

// sealers give a page the sum of one of the server's rules.
func sealers() map[string]func(b []byte) {
	c := func(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }
	put := binary.BigEndian.PutUint32
	return map[string]func(b []byte){
		"full_crc32": func(b []byte) { put(b[len(b)-4:], c(b[:len(b)-4])) },
		"crc32": func(b []byte) {
			put(b, c(b[4:26])^c(b[38:len(b)-8]))
			put(b[len(b)-8:], binary.BigEndian.Uint32(b))
		},
		"crc32 of a compressed row's page": func(b []byte) { put(b, c(b[4:16])^c(b[24:26])^c(b[34:])) },
	}
}

// TestWrongPageSums: by each of innochecksum's rules a page of a layer is taken when
// its sum is right, and refused, by file and page, when any part of it is another.
func TestWrongPageSums(t *testing.T) {
	t.Parallel()
	for rule, seal := range sealers() {
		for what, spoil := range map[string]func(b []byte){
			"":                 func([]byte) {},
			"sum":              func(b []byte) { b[0] ^= 1; b[ps-1] ^= 1 },
			"number":           func(b []byte) { b[7] ^= 1; seal(b) },
			"tablespace":       func(b []byte) { b[37] ^= 1; seal(b) },
			"first byte":       func(b []byte) { b[38] ^= 1 },
			"in the middle":    func(b []byte) { b[ps/2] ^= 0x80 },
			"at the end":       func(b []byte) { b[ps-9] ^= 1 },
			"half of it empty": func(b []byte) { clear(b[ps/2:]) },
			"all of it empty":  func(b []byte) { clear(b) },
			"another's":        func(b []byte) { copy(b, page(7, 3, 'x', 0)) },
		} {
			full := newFake("full").whole("ibdata1", 0, 4, 'f').whole("d/t.ibd", 7, 6, 'f')
			top := newFake("top").delta("ibdata1", 0, 4, '1').delta("d/t.ibd", 7, 6, '1', 2, 4)
			b := top.block("d/t.ibd.delta", 2)
			clear(b[ps-4:])
			for i := 300; i < ps-8; i++ {
				b[i] = byte(i * 7)
			}
			seal(b)
			spoil(b)
			if what != "" {
				refusedWith(t, rule+", "+what, []string{"d/t.ibd", "page 4"}, full, top)
			} else if _, err := join(t, full, top); err != nil {
				t.Errorf("%s: %v", rule, err)
			}
		}
	}
}

// TestDamageInWholeFiles: the same in the full's own pages, of which the newest
// layer's are not read.
func TestDamageInWholeFiles(t *testing.T) {
	t.Parallel()
	for _, p := range []int64{0, 1, 2, 3, 4, 5} {
		full := newFake("full").whole("ibdata1", 0, 4, 'f').whole("d/t.ibd", 7, 6, 'f')
		top := newFake("top").delta("ibdata1", 0, 4, '1').delta("d/t.ibd", 7, 6, '1', 2, 4)
		at := p*ps + 1000
		for _, c := range full.line("d/t.ibd", engine.KindSpace).Chunks {
			if at >= c.File && at < c.File+c.Len {
				full.data[c.Plain+at-c.File] ^= 4
			}
		}
		if p != 2 && p != 4 {
			refusedWith(t, "a damaged page", []string{"d/t.ibd", "page " + string(rune('0'+p)), "sum"}, full, top)
		} else if _, err := join(t, full, top); err != nil {
			t.Errorf("page %d is not used: %v", p, err)
		}
	}
}

// TestTwoOfOne: two live tablespaces of one id, and two of one name, are refused
// wherever they are in the chain.
func TestTwoOfOne(t *testing.T) {
	t.Parallel()
	full := func() *fake { return newFake("full").whole("ibdata1", 0, 4, 'f').whole("d/t.ibd", 7, 6, 'f') }
	next := func(id string) *fake { return newFake(id).delta("ibdata1", 0, 4, '1').delta("d/t.ibd", 7, 6, '1', 1) }
	for what, c := range map[string]struct {
		chain []*fake
		words []string
	}{
		"in the full":     {[]*fake{full().whole("d/u.ibd", 7, 2, 'u'), next("1")}, []string{"d/t.ibd", "d/u.ibd", "tablespace 7"}},
		"between":         {[]*fake{full(), next("1").delta("d/u.ibd", 7, 2, 'u', 1), next("2")}, []string{"d/t.ibd", "d/u.ibd", "tablespace 7"}},
		"in the last":     {[]*fake{full(), next("1"), next("2").delta("d/u.ibd", 7, 2, 'u', 1)}, []string{"d/t.ibd", "d/u.ibd", "tablespace 7"}},
		"one of them new": {[]*fake{full(), next("1").whole("d/u.new", 7, 2, 'u')}, []string{"d/t.ibd", "d/u.ibd", "tablespace 7"}},
		"the system's id": {[]*fake{full(), next("1").delta("d/u.ibd", 0, 2, 'u', 1), next("2").delta("d/u.ibd", 0, 2, 'u', 1)}, []string{"d/u.ibd"}},
		"renamed onto another": {[]*fake{full(), next("1").delta("d/u.ibd", 8, 2, 'u', 0, 1).
			small("d/u.ren", engine.KindRen, "d/t")}, []string{"d/t.ibd", "another has that name"}},
		"a table and a file": {[]*fake{full(), next("1").whole("d/u.new", 9, 2, 'u').small("d/u.ibd", engine.KindFile, "x")}, []string{"d/u.ibd", "two files"}},
	} {
		refusedWith(t, what, c.words, c.chain...)
	}
}

// TestRemovedFolder: an order to remove a folder takes all that was sent of it, and
// nothing that comes later.
func TestRemovedFolder(t *testing.T) {
	t.Parallel()
	full := newFake("full").whole("ibdata1", 0, 4, 'f').whole("d/a.ibd", 7, 2, 'a').whole("dd/b.ibd", 8, 2, 'b')
	top := newFake("top").delta("ibdata1", 0, 4, '1').delta("d/a.ibd", 7, 2, '1', 1).delta("dd/b.ibd", 8, 2, '1', 1).small("d/db.opt", engine.KindFile, "old")
	top.entries = append(top.entries, engine.Entry{Name: "d", Kind: engine.KindRemove})
	top.small("d/db.opt", engine.KindFile, "new")
	got, err := join(t, full, top)
	if d := cmp.Diff(map[string]string{"ibdata1": "ffff", "dd/b.ibd": "b1", "d/db.opt": "new"}, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

// TestShortCompressedTable: a server makes a tablespace of compressed rows longer than
// its first page tells, and does not take a shorter one.
func TestShortCompressedTable(t *testing.T) {
	t.Parallel()
	const small = 4 << 10
	content, runs := append([]byte("XTRA"), bytes.Repeat([]byte{0xff}, small-4)...), layers.Runs{}
	for n := range uint32(2) {
		b := make([]byte, small)
		binary.BigEndian.PutUint32(b[4:], n)
		binary.BigEndian.PutUint32(b[34:], 7)
		if n == 0 {
			binary.BigEndian.PutUint32(b[46:], 9)
			binary.BigEndian.PutUint32(b[54:], 3<<1)
		}
		b[200] = 'z'
		sealers()["crc32 of a compressed row's page"](b)
		content = append(content, b...)
		runs.Add(n)
	}
	id := uint32(7)
	full := newFake("full").whole("ibdata1", 0, 4, 'f')
	top := newFake("top").delta("ibdata1", 0, 4, '1').
		file(engine.Entry{Name: "d/z.ibd.meta", Kind: engine.KindMeta, Space: &id, PageSize: small}, []byte("meta"))
	top.entries = append(top.entries, engine.Entry{Name: "d/z.ibd.delta", Kind: engine.KindPages, Runs: runs.Take(true)})
	top.file(engine.Entry{Name: "d/z.ibd.delta", Kind: engine.KindDelta, PageSize: small, Pages: 2, Page0: true, FSPSize: 9}, content)
	if got, err := join(t, full, top); err != nil || len(got["d/z.ibd"]) != 4 { // told by 16 KiB
		t.Errorf("%v, %d times 16 KiB", err, len(got["d/z.ibd"]))
	}
}
