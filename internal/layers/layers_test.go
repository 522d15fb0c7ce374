package layers_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
	"github.com/cofferdb/coffer/xbstream"
)

const ps = 16 << 10

// page is a valid page of a tablespace; size is FSP_SIZE, for page 0.
func page(id, number uint32, version byte, size uint32) []byte {
	return pageOf(ps, id, number, version, size)
}

func pageOf(n int, id, number uint32, version byte, size uint32) []byte {
	b := make([]byte, n)
	binary.BigEndian.PutUint32(b[4:], number)
	binary.BigEndian.PutUint32(b[34:], id)
	b[200] = version
	if number == 0 {
		binary.BigEndian.PutUint32(b[46:], size)
		binary.BigEndian.PutUint32(b[54:], 0x15)
	}
	return sum(b)
}

func sum(b []byte) []byte {
	end := len(b) - 4
	binary.BigEndian.PutUint32(b[end:], crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// fake is a layer in memory.
type fake struct {
	id      coffer.BackupID
	ps      int // bytes of a page
	data    []byte
	entries []engine.Entry
	mu      sync.Mutex
	read    map[int64]bool // pages of the stream that were asked for, by 4 KiB
}

func newFake(id string) *fake {
	return &fake{id: coffer.BackupID(id), ps: ps, read: map[int64]bool{}}
}

func (f *fake) Backup() coffer.BackupID                       { return f.id }
func (f *fake) Position() coffer.Position                     { return coffer.Position{} }
func (f *fake) PlainBytes() int64                             { return int64(len(f.data)) }
func (f *fake) Stream(context.Context) (io.ReadCloser, error) { panic("a merge reads ranges") }
func (f *fake) Entries(context.Context) iter.Seq2[engine.Entry, error] {
	return func(yield func(engine.Entry, error) bool) {
		for _, e := range f.entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (f *fake) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at := off; at < off+n; at += 4 << 10 {
		f.read[at>>12] = true
	}
	return io.NopCloser(bytes.NewReader(f.data[off : off+n])), nil
}

// file adds a file in chunks of odd sizes.
func (f *fake) file(e engine.Entry, content []byte) *fake {
	e.Size = int64(len(content))
	for at := int64(0); at < e.Size; {
		n := min(e.Size-at, 3*ps+5000)
		f.data = xbstream.AppendHeader(f.data, xbstream.Chunk{
			Type: xbstream.Data, Path: e.Name, Offset: at, Len: n, Sum: crc32.ChecksumIEEE(content[at : at+n]),
		})
		e.Chunks = append(e.Chunks, engine.Chunk{File: at, Len: n, Plain: int64(len(f.data))})
		f.data = append(f.data, content[at:at+n]...)
		at += n
	}
	f.entries = append(f.entries, e)
	return f
}

func (f *fake) small(name string, kind engine.EntryKind, content string) *fake {
	return f.file(engine.Entry{Name: name, Kind: kind, Inline: []byte(content)}, []byte(content))
}

// whole adds a tablespace of n pages.
func (f *fake) whole(name string, id uint32, n int, version byte) *fake {
	var b []byte
	for i := range n {
		b = append(b, pageOf(f.ps, id, uint32(i), version, uint32(n))...)
	}
	kind := engine.KindSpace
	if strings.HasSuffix(name, ".new") {
		kind = engine.KindNew
	}
	return f.file(engine.Entry{Name: name, Kind: kind, Space: &id, PageSize: f.ps, Page0: true, FSPSize: uint32(n)}, b)
}

// delta adds changed pages; size is FSP_SIZE if page 0 is one of them.
func (f *fake) delta(name string, id uint32, size uint32, version byte, pages ...uint32) *fake {
	var content []byte
	var runs layers.Runs
	per := f.ps/4 - 1
	for rest, first := pages, true; first || len(rest) > 0; first = false {
		n := min(per, len(rest))
		head := []byte("xtra")
		if n == len(rest) {
			head = []byte("XTRA")
		}
		for _, p := range rest[:n] {
			head = binary.BigEndian.AppendUint32(head, p)
		}
		head = append(head, bytes.Repeat([]byte{0xff}, f.ps-len(head))...)
		content = append(content, head...)
		for _, p := range rest[:n] {
			runs.Add(p)
			content = append(content, pageOf(f.ps, id, p, version, size)...)
		}
		rest = rest[n:]
	}
	f.file(engine.Entry{Name: name + ".meta", Kind: engine.KindMeta, Space: &id, PageSize: f.ps}, []byte("meta"))
	f.entries = append(f.entries, engine.Entry{Name: name + ".delta", Kind: engine.KindPages, Runs: runs.Take(true)})
	e := engine.Entry{Name: name + ".delta", Kind: engine.KindDelta, PageSize: f.ps, Pages: int64(len(pages))}
	if len(pages) > 0 && pages[0] == 0 {
		e.Page0, e.FSPSize = true, size
	}
	return f.file(e, content)
}

// memory is a spool and an output file.
type memory struct {
	mu sync.Mutex
	b  []byte
}

func (m *memory) Write(p []byte) (int, error) { m.b = append(m.b, p...); return len(p), nil }
func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}
func (m *memory) Close() error { return nil }
func (m *memory) Truncate(n int64) error {
	m.b = append(m.b, make([]byte, max(0, n-int64(len(m.b))))...)[:n]
	return nil
}
func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if len(p) > 128<<10 {
		panic("a write of more than 128 KiB")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if end := off + int64(len(p)); end > int64(len(m.b)) {
		m.b = append(m.b, make([]byte, end-int64(len(m.b)))...)
	}
	return copy(m.b[off:], p), nil
}

// join merges a chain; the files are told by the versions of their pages ('.' is a
// page of zeros), or by their content.
func join(t *testing.T, chain ...*fake) (map[string]string, error) {
	t.Helper()
	return joinPages(t, ps, chain...)
}

// joinPages tells pages of another size.
func joinPages(t *testing.T, ps int, chain ...*fake) (map[string]string, error) {
	t.Helper()
	var all []engine.Layer
	for _, f := range chain {
		all = append(all, f)
	}
	p, err := layers.Join(t.Context(), all, []string{"ibdata1"}, new(memory))
	if err != nil {
		return nil, err
	}
	files, mu := map[string]*memory{}, sync.Mutex{}
	err = p.Write(t.Context(), layers.Options{Create: func(name string) (layers.File, error) {
		mu.Lock()
		defer mu.Unlock()
		if files[name] != nil {
			t.Errorf("%s is made twice", name)
		}
		files[name] = new(memory)
		return files[name], nil
	}})
	checkInOrder(t, p, files, err)
	got := map[string]string{}
	for name, m := range files {
		got[name] = string(m.b)
		if len(m.b) >= ps {
			var s []byte
			for i := 0; i < len(m.b); i += ps {
				s = append(s, max('.', m.b[i+200]))
			}
			got[name] = string(s)
		}
	}
	return got, err
}

func TestRules(t *testing.T) {
	t.Parallel()
	full := func() *fake { return newFake("full").whole("ibdata1", 0, 4, 'f') }
	next := func(id string, pages ...uint32) *fake {
		return newFake(id).delta("ibdata1", 0, 4, id[0], pages...)
	}
	for name, c := range map[string]struct {
		chain []*fake
		want  map[string]string
	}{
		"the newest layer's page counts": {
			[]*fake{full().whole("d/t.ibd", 7, 6, 'f'), next("1", 2).delta("d/t.ibd", 7, 6, '1', 0, 1, 3), next("2").delta("d/t.ibd", 7, 6, '2', 1, 5)},
			map[string]string{"ibdata1": "ff1f", "d/t.ibd": "12f1f2"},
		},
		"pages are followed by id through a swap of names": {
			[]*fake{full().whole("d/a.ibd", 7, 2, 'a').whole("d/b.ibd", 8, 3, 'b'), next("1").delta("d/a.ibd", 8, 3, '1', 1).delta("d/b.ibd", 7, 2, '2')},
			map[string]string{"ibdata1": "ffff", "d/a.ibd": "b1b", "d/b.ibd": "aa"},
		},
		"renames within a layer are done at once": {
			[]*fake{full().whole("d/a.ibd", 7, 2, 'a').whole("d/b.ibd", 8, 3, 'b'), next("1").delta("d/a.ibd", 7, 2, '1', 1).delta("d/b.ibd", 8, 3, '2', 0).
				small("d/a.ren", engine.KindRen, "d/b").small("d/b.ren", engine.KindRen, "d/a")},
			map[string]string{"ibdata1": "ffff", "d/a.ibd": "2bb", "d/b.ibd": "a1"},
		},
		"made under the name of one that moved away": {
			[]*fake{full().whole("d/a.ibd", 7, 2, 'a'), next("1").delta("d/a.ibd", 7, 2, '1').small("d/a.ren", engine.KindRen, "d/old").whole("d/a.new", 20, 3, 'n'),
				next("2").delta("d/a.ibd", 20, 3, '2', 2).delta("d/old.ibd", 7, 2, '3', 0)},
			map[string]string{"ibdata1": "ffff", "d/a.ibd": "nn2", "d/old.ibd": "3a"},
		},
		"a new id under an old name takes no old page": {
			[]*fake{full().whole("d/a.ibd", 7, 9, 'a'), next("1").delta("d/a.ibd", 20, 3, '1', 0, 1)},
			map[string]string{"ibdata1": "ffff", "d/a.ibd": "11."},
		},
		"gone, and dropped while the backup ran": {
			[]*fake{full().whole("d/a.ibd", 7, 2, 'a').whole("d/b.ibd", 8, 2, 'b'), next("1").delta("d/b.ibd", 8, 2, '1').small("d/b.del", engine.KindDel, "")},
			map[string]string{"ibdata1": "ffff"},
		},
		"lacking in a layer between, the id is another's": {
			[]*fake{full().whole("undo001", 7, 2, 'a'), next("1"), next("2").delta("undo001", 7, 2, '2', 0)},
			map[string]string{"ibdata1": "ffff", "undo001": "2."},
		},
		"truncated: old pages behind the size are dropped, new ones kept": {
			[]*fake{full().whole("undo001", 1, 9, 'f'), next("1").delta("undo001", 1, 9, '1', 7), next("2").delta("undo001", 1, 4, '2', 0, 5), next("3").delta("undo001", 1, 0, '3', 3, 6)},
			map[string]string{"ibdata1": "ffff", "undo001": "2ff3.23"},
		},
		"a whole file with an empty page 0 is copied from the last layer": {
			[]*fake{full(), next("1").file(engine.Entry{Name: "d/n.new", Kind: engine.KindNew}, make([]byte, 2*ps))},
			map[string]string{"ibdata1": "ffff", "d/n.ibd": ".."},
		},
		"and ignored in another": {
			[]*fake{full(), next("1").file(engine.Entry{Name: "d/n.new", Kind: engine.KindNew}, make([]byte, 2*ps)), next("2").delta("d/n.ibd", 9, 2, '2', 0, 1)},
			map[string]string{"ibdata1": "ffff", "d/n.ibd": "22"},
		},
		"other files are the last layer's, after the stream's orders": {
			[]*fake{full().small("d/old.MAD", engine.KindFile, "x"), func() *fake {
				f := next("1").small("d/a.MAD", engine.KindFile, "aria").small("d/gone", engine.KindFile, "x").small("d/t.frm", engine.KindFile, "old")
				f.entries = append(f.entries, engine.Entry{Name: "d/a.MAD", To: "d/b.MAD", Kind: engine.KindRename}, engine.Entry{Name: "d/gone", Kind: engine.KindRemove})
				return f.small("d/t.frm", engine.KindFile, "new").small("empty", engine.KindFile, "")
			}()},
			map[string]string{"ibdata1": "ffff", "d/b.MAD": "aria", "d/t.frm": "new", "empty": ""},
		},
	} {
		got, err := join(t, c.chain...)
		if d := cmp.Diff(c.want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
}

// TestHostileLayers: what contradicts itself is refused, by file and page.
func TestHostileLayers(t *testing.T) {
	t.Parallel()
	full := newFake("full").whole("ibdata1", 0, 4, 'f').whole("d/t.ibd", 7, 6, 'f')
	top := func() *fake {
		return newFake("top").delta("ibdata1", 0, 4, '1').delta("d/t.ibd", 7, 6, '1', 2, 3)
	}
	last := func(f *fake) *engine.Entry { return &f.entries[len(f.entries)-1] }
	spoil := func(f *fake, at int) *fake { // a byte of the last delta's file
		e := last(f)
		f.data[e.Chunks[0].Plain+int64(at)] ^= 1
		return f
	}
	swap := func(f *fake, do func(e *engine.Entry)) *fake { do(last(f)); return f }
	without := func(f *fake, name string) *fake {
		f.entries = slices.DeleteFunc(f.entries, func(e engine.Entry) bool { return e.Name == name })
		return f
	}
	for name, c := range map[string]struct {
		f     *fake
		words []string
	}{
		"wrong sum": {spoil(top(), ps+5000), []string{"d/t.ibd", "page 2", "sum"}},
		"wrong number": {func() *fake {
			f := top()
			e := last(f)
			copy(f.data[e.Chunks[0].Plain+ps:], page(7, 4, '1', 0))
			return f
		}(), []string{"d/t.ibd", "page 2"}},
		"wrong tablespace": {func() *fake {
			f := top()
			e := last(f)
			copy(f.data[e.Chunks[0].Plain+ps:], page(9, 2, '1', 0))
			return f
		}(), []string{"d/t.ibd", "page 2", "tablespace 9"}},
		"empty page":         {func() *fake { f := top(); e := last(f); clear(f.data[e.Chunks[0].Plain+ps:][:ps]); return f }(), []string{"d/t.ibd", "page 2", "empty"}},
		"list too short":     {swap(top(), func(e *engine.Entry) { e.Pages = 3 }), []string{"d/t.ibd"}},
		"list lies":          {func() *fake { f := top(); f.entries[len(f.entries)-2].Runs = []byte{4, 2}; return f }(), []string{"d/t.ibd", "page 4"}},
		"list damaged":       {func() *fake { f := top(); f.entries[len(f.entries)-2].Runs = []byte{4, 0}; return f }(), []string{"d/t.ibd"}},
		"chunks overlap":     {swap(top(), func(e *engine.Entry) { e.Chunks[0].File++ }), []string{"d/t.ibd"}},
		"chunks outside":     {swap(top(), func(e *engine.Entry) { e.Chunks[0].Plain = 1 << 40 }), []string{"d/t.ibd"}},
		"no meta":            {without(top(), "d/t.ibd.meta"), []string{"d/t.ibd", ".meta"}},
		"no delta":           {without(top(), "d/t.ibd.delta"), []string{"d/t.ibd", "delta"}},
		"two names, one id":  {top().delta("d/u.ibd", 7, 6, '1', 1), []string{"d/u.ibd", "both tablespace 7"}},
		"leads out":          {top().small("../x", engine.KindFile, "x"), []string{"../x"}},
		"renamed to outside": {top().small("d/t.ren", engine.KindRen, "../x"), []string{"d/t.ren"}},
		"two renamed to one": {top().delta("d/u.ibd", 8, 6, '1').small("d/t.ren", engine.KindRen, "d/x").small("d/u.ren", engine.KindRen, "d/x"), []string{"d/u.ren"}},
		"no page 0":          {top().delta("d/imported.ibd", 30, 6, '1', 3), []string{"d/imported.ibd", "page 0"}},
		"another page size":  {swap(top(), func(e *engine.Entry) { e.PageSize = 8192 }), []string{"d/t.ibd"}},
		"system missing":     {without(without(top(), "ibdata1.delta"), "ibdata1.meta"), []string{"ibdata1"}},
	} {
		_, err := join(t, full, c.f)
		if !coffer.IsKind(err, coffer.KindCorrupt) {
			t.Errorf("%s: got %v, want KindCorrupt", name, err)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", name, err, w)
			}
		}
	}
	for name, f := range map[string]*fake{
		"no index": newFake("none"), "no page lists": swap(top(), func(e *engine.Entry) { e.PageSize = 0 }),
		"a link": top().small("d/x.isl", engine.KindFile, "/srv/x.ibd"), "compressed by the tool": top().small("d/x.frm.qp", engine.KindFile, "x"),
		"MyRocks": top().small("#rocksdb/000012.sst", engine.KindFile, "x"),
	} {
		if _, err := join(t, full, f); !coffer.IsKind(err, coffer.KindUnsupported) {
			t.Errorf("%s: got %v, want KindUnsupported", name, err)
		}
	}
}

// TestRandomChains holds random chains against a model, page by page. The pages are of
// 4 KiB, so that a delta of little memory has more than one list.
func TestRandomChains(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		const ps, n = 4 << 10, 3400
		want := bytes.Repeat([]byte{'f'}, n)
		layer := func(id string) *fake { f := newFake(id); f.ps = ps; return f }
		chain := []*fake{layer("full").whole("ibdata1", 0, 16, 'f').whole("d/t.ibd", 7, n, 'f')}
		for v := byte('1'); v <= '4'; v++ {
			set := map[uint32]bool{}
			for range 1 + rnd.IntN(40) {
				at := rnd.IntN(n)
				for i := range rnd.IntN(1 << rnd.IntN(10)) {
					set[uint32(min(n-1, at+i))] = true
				}
			}
			pages := slices.Sorted(maps.Keys(set))
			for _, p := range pages {
				want[p] = v
			}
			chain = append(chain, layer(string(v)).delta("ibdata1", 0, 16, v).delta("d/t.ibd", 7, n, v, pages...))
		}
		if got, err := joinPages(t, ps, chain...); err != nil || got["d/t.ibd"] != string(want) {
			t.Fatalf("seed %d: %v, or pages differ", seed, err)
		}
	}
}
