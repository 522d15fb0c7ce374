package mysql

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

// chunks cuts a stream before every header.
func chunks(t *testing.T, stream []byte) (all [][]byte) {
	t.Helper()
	for len(stream) > 0 {
		c, n, err := xbstream.ParseHeader(stream)
		if err != nil || n > len(stream) {
			t.Fatalf("a chunk of the scene: %v", err)
		}
		n += int(c.Len)
		all, stream = append(all, stream[:n]), stream[n:]
	}
	return all
}

// pieces writes a file in chunks of n bytes.
func (s *scene) pieces(name, content string, n int) *scene {
	for p := range slices.Chunk([]byte(content), n) {
		s.must(s.w.WriteChunk(name, 0, p))
	}
	s.must(s.w.CloseFile(name, 0))
	return s
}

// contents are what a stream's files are by its index.
func contents(out *keep) map[string]string {
	all := make(map[string]string)
	for _, e := range out.entries {
		switch e.Kind {
		case engine.KindPages:
			continue
		case engine.KindRename:
			if was, ok := all[e.Name]; ok {
				all[e.To] = was
			}
			fallthrough
		case engine.KindRemove:
			delete(all, e.Name)
			continue
		}
		var b []byte
		for _, c := range e.Chunks {
			b = append(b, out.Bytes()[c.Plain:c.Plain+c.Len]...)
		}
		all[e.Name] = string(b)
	}
	return all
}

// TestSpoiledChunks spoils a good stream at each of its chunks. It is refused, or
// (where two files change places) holds the same files: never others. Left aside is
// what the format cannot tell: a file that ends early, an order or a replacement that
// never came, an empty replacement.
func TestSpoiledChunks(t *testing.T) {
	t.Parallel()
	base := parent(t, full(t).whole("app/t.ibd", 7).whole("app/u.ibd", 8).closing(fullCheckpoints))
	s := increment(t).delta("app/t.ibd", 7, 0, 3, 4).pieces("app/a.MAD", "0123456789abcdef", 4).file("app/a.frm", "frm")
	s.must(s.w.Rename("app/a.MAD", "app/b.MAD"))
	s.must(s.w.WriteFile("app/a.frm", xbstream.Rewrite, []byte("new")))
	stream := s.delta("app/u.ibd", 8, 5).file("app/u.ren", "app/v").closing(incrCheckpoints)
	_, out, err := pass(stream, base, 1500, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want, all := contents(out), chunks(t, stream)
	hold := func(what string, i int, spoiled ...[]byte) {
		t.Helper()
		_, out, err := pass(slices.Concat(spoiled...), base, 1500, 1<<20)
		if err == nil && !cmp.Equal(want, contents(out)) {
			t.Errorf("chunk %d %s: taken, with other files: %s", i, what, cmp.Diff(want, contents(out)))
		}
	}
	for i := range all {
		head, tail := slices.Concat(all[:i]...), slices.Concat(all[i+1:]...)
		c, _, _ := xbstream.ParseHeader(all[i])
		if c.Path != "app/a.MAD" && c.Path != "app/a.frm" && c.Path != "app/u.ren" || c.Type == xbstream.Data && c.Offset < 12 && c.Path == "app/a.MAD" {
			hold("left out", i, head, tail)
		}
		if c.Type != xbstream.End || c.Flags&xbstream.Rewrite == 0 {
			hold("twice", i, head, all[i], all[i], tail)
		}
		for _, typ := range []byte("SQXp") {
			other := bytes.Clone(all[i])
			other[9] = typ
			hold("of type "+string(typ), i, head, other, tail)
		}
		flipped := bytes.Clone(all[i])
		flipped[len(flipped)-1] ^= 1
		if len(flipped) > 60 {
			hold("with a flipped bit", i, head, flipped, tail)
		}
		if i+1 < len(all) {
			a, _, _ := xbstream.ParseHeader(all[i])
			b, _, _ := xbstream.ParseHeader(all[i+1])
			if a.Type == xbstream.Data && b.Type == xbstream.Data {
				hold("behind the next", i, slices.Concat(all[:i]...), all[i+1], all[i], slices.Concat(all[i+2:]...))
			}
		}
		for _, n := range []int{0, 5, len(all[i]) / 2, len(all[i]) - 1} {
			if _, _, err := pass(slices.Concat(head, all[i][:n]), base, 1500, 1<<20); err == nil {
				t.Errorf("cut %d bytes into chunk %d: taken", n, i)
			}
		}
	}
}

// realPages are n valid pages of a tablespace.
func realPages(id uint32, fill byte, size uint32, numbers ...uint32) string {
	var all []byte
	for _, n := range numbers {
		b := bytes.Repeat([]byte{fill}, 16384)
		clear(b[:100])
		binary.BigEndian.PutUint32(b[4:], n)
		binary.BigEndian.PutUint32(b[34:], id)
		if n == 0 {
			clear(b)
			binary.BigEndian.PutUint32(b[34:], id)
			binary.BigEndian.PutUint32(b[46:], size)
			binary.BigEndian.PutUint32(b[54:], 0x15)
		}
		binary.BigEndian.PutUint32(b[16380:], crc32.Checksum(b[:16380], crc32.MakeTable(crc32.Castagnoli)))
		all = append(all, b...)
	}
	return string(all)
}

// realDelta is a delta of valid pages with its .meta.
func (s *scene) realDelta(name string, id uint32, pages ...uint32) *scene {
	s.delta(name, id, pages...) // and now with content
	b := s.Bytes()
	s.Reset()
	list := []byte("XTRA")
	for _, p := range pages {
		list = binary.BigEndian.AppendUint32(list, p)
	}
	list = append(list, bytes.Repeat([]byte{0xff}, 16384-len(list))...)
	cut := bytes.LastIndex(b, []byte("XBSTCK01\x00P"))
	s.Write(b[:cut])
	return s.file(name+".delta", string(list)+realPages(id, '1', 4, pages...))
}

// damagedChain is a full and an increment of valid pages.
func damagedChain(t *testing.T) (layers [2]indexed) {
	t.Helper()
	f := newScene(t).pieces("ibdata1", realPages(0, 'f', 4, 0, 1, 2, 3), 20000).file("undo001", realPages(1, 'f', 4, 0, 1, 2, 3)).
		pieces("app/t.ibd", realPages(7, 'f', 4, 0, 1, 2, 3), 20000).closing(fullCheckpoints)
	info, out, err := pass(f, engine.Base{}, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	pos := func(i streamInfo) coffer.Position {
		return coffer.Position{
			From: i.From, To: i.To, Last: i.Last, RedoStart: i.RedoStart, DataFilePath: i.DataFilePath, PageSize: i.PageSize,
			UndoSpaces: i.UndoSpaces, PageLists: i.PageLists,
		}
	}
	layers[0] = indexed{stored{id: "full", position: pos(info), stream: out.Bytes()}, out.entries}
	base := engine.Base{Backup: "full", Position: layers[0].position, Summary: info.Summary}
	inc := newScene(t).realDelta("ibdata1", 0, 1).realDelta("undo001", 1, 0, 2).realDelta("app/t.ibd", 7, 1, 3).closing(incrCheckpoints)
	if info, out, err = pass(inc, base, 1500, 1<<20); err != nil {
		t.Fatal(err)
	}
	layers[1] = indexed{stored{id: "incr", position: pos(info), stream: out.Bytes()}, out.entries}
	return layers
}

// at finds where a file's byte stands in a layer's stream.
func (l indexed) at(name string, off int64) int64 {
	for _, e := range l.entries {
		for _, c := range e.Chunks {
			if e.Name == name && off >= c.File && off < c.File+c.Len {
				return c.Plain + off - c.File
			}
		}
	}
	panic("no byte " + name)
}

// TestDamagedLayersLeaveNothing: a merge that meets a damaged page, or a layer that
// is not what its index says, names the file and the page, does not come to the
// prepare, and leaves an empty folder.
func TestDamagedLayersLeaveNothing(t *testing.T) {
	t.Parallel()
	flip := func(layer int, name string, off int64) func(l *[2]indexed) {
		return func(l *[2]indexed) { l[layer].stream[l[layer].at(name, off)] ^= 1 }
	}
	const page = 16384
	for what, c := range map[string]struct {
		damage func(l *[2]indexed)
		words  string // "" is no damage that matters
	}{
		"none":                       {func(*[2]indexed) {}, ""},
		"a page of the full":         {flip(0, "app/t.ibd", 2*page+500), "app/t.ibd: page 2 does"},
		"one that is newer above":    {flip(0, "app/t.ibd", 3*page+500), ""},
		"a page of the increment":    {flip(1, "app/t.ibd.delta", 2*page+500), "app/t.ibd: page 3 does"},
		"a page's number":            {flip(1, "app/t.ibd.delta", page+7), "app/t.ibd: page 1 of"},
		"a page's tablespace":        {flip(1, "app/t.ibd.delta", page+37), "app/t.ibd: page 1 of"},
		"the system tablespace":      {flip(0, "ibdata1", 3*page+200), "ibdata1: page 3 does"},
		"an undo tablespace's first": {flip(1, "undo001.delta", page+60), "undo001: page 0 does"},
		"the sum itself":             {flip(0, "app/t.ibd", page-1), "app/t.ibd: page 0 does"},
		"a stream that is cut":       {func(l *[2]indexed) { l[1].stream = l[1].stream[:l[1].at("app/t.ibd.delta", page)] }, "app/t.ibd"},
		"half of a page of zeros":    {func(l *[2]indexed) { clear(l[1].stream[l[1].at("app/t.ibd.delta", page):][:page/2]) }, "app/t.ibd: page 1"},
		"two pages changed their place": {func(l *[2]indexed) {
			a, b := l[1].stream[l[1].at("app/t.ibd.delta", page):], l[1].stream[l[1].at("app/t.ibd.delta", 2*page):]
			for i := range page {
				a[i], b[i] = b[i], a[i]
			}
		}, "app/t.ibd: page 1 of tablespace 7 says that it is page 3"},
	} {
		l := damagedChain(t)
		c.damage(&l)
		target := emptyTarget(t)
		target.Way = engine.Merged
		err := restore(t.Context(), restoreEnv{Backup: "/bin/false"}, target, []engine.Layer{l[0], l[1]})
		switch {
		case c.words == "" && !coffer.IsKind(err, coffer.KindTool):
			t.Errorf("%s: %v, and it should have come to the prepare", what, err)
		case c.words != "" && (!coffer.IsKind(err, coffer.KindCorrupt) || !strings.Contains(err.Error(), c.words)):
			t.Errorf("%s: got %v, want KindCorrupt with %q", what, err, c.words)
		}
		if left, err := os.ReadDir(target.Dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left in the target: %v %v", what, left, err)
		}
	}
}

// TestDroppedDatabase: the order to remove a dropped database's folder takes its
// tablespaces; where the database was made again, it would take tables that exist.
func TestDroppedDatabase(t *testing.T) {
	t.Parallel()
	drop := func(s *scene) *scene { s.must(s.w.Remove("old")); return s }
	gone := drop(full(t).whole("old/t.ibd", 7).file("old/t.del", "").file("app/t.frm", frm(12, 0)).whole("app/t.ibd", 8)).closing(fullCheckpoints)
	i, out, err := pass(gone, engine.Base{}, 0, 1000)
	if err != nil || !strings.Contains(string(i.Summary), `"app/t"`) || strings.Contains(string(i.Summary), `"old/t"`) {
		t.Errorf("%v, %s", err, i.Summary)
	}
	if e := out.entry("old"); e.Kind != engine.KindRemove {
		t.Errorf("%+v", e)
	}
	for what, s := range map[string]*scene{
		"a table": full(t).whole("old/t.ibd", 7).file("old/n.frm", frm(12, 0)).whole("old/n.new", 9),
		"a view":  full(t).file("old/v.frm", "TYPE=VIEW"),
	} {
		if _, _, err := pass(drop(s).closing(fullCheckpoints), engine.Base{}, 0, 1000); !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(err.Error(), "database old") {
			t.Errorf("%s made again: %v", what, err)
		}
	}
}

// TestDefinitionsWithoutTables: of a table that a backup defines, something must be in
// it by its name at the end.
func TestDefinitionsWithoutTables(t *testing.T) {
	t.Parallel()
	s := newStream(new(keep), engine.Base{}, 0)
	in := full(t).file("app/inno.frm", frm(12, 0)).whole("app/inno.ibd", 7).
		file("app/made.frm", frm(12, 0)).whole("app/made.new", 8).
		file("app/to.frm", frm(12, 0)).whole("app/from.ibd", 9).file("app/from.ren", "app/to").
		file("app/lost.frm", frm(12, 0)).
		file("app/aria.frm", frm(42, 0)).file("app/aria.MAI", "x").file("app/aria.MAD", "").
		file("app/half.frm", frm(42, 0)).file("app/half.MAD", "x").
		file("app/other.frm", frm(42, 0)).file("app/older.MAI", "x").file("app/older.MAD", "x").
		file("app/old.frm", frm(9, 0)).file("app/old.MYI", "x").file("app/old.MYD", "x").
		file("app/gone.frm", frm(9, 0)).
		file("app/parts.par", par("p0", "P1")).file("app/parts.frm", frm(20, 12)).whole("app/parts#P#p0.ibd", 10).whole("app/parts#P#P1.ibd", 11).
		file("app/less.par", par("p0", "p1")).file("app/less.frm", frm(20, 12)).whole("app/less#P#p0.ibd", 12).
		file("app/sub.par", par("q", "qsp0")).file("app/sub.frm", frm(20, 12)).whole("app/sub#P#q#SP#qsp0.ibd", 13).
		file("app/view.frm", "TYPE=VIEW").file("app/#sql-alter-1.frm", frm(12, 0)).file("app/csv.frm", frm(17, 0)).
		file("app/dropped.frm", frm(12, 0)).file("app/before.frm", frm(12, 0))
	in.must(in.w.Remove("app/dropped.frm"))
	in.must(in.w.Rename("app/before.frm", "app/after.frm"))
	in.must(in.w.Rename("app/older.MAI", "app/other.MAI"))
	in.must(in.w.Rename("app/older.MAD", "app/other.MAD"))
	in.must(in.w.WriteFile("app/gone.frm", xbstream.Rewrite, []byte("TYPE=VIEW")))
	if _, err := s.Write(in.closing(fullCheckpoints)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.finish(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range s.incomplete() {
		got = append(got, l.file)
	}
	if d := cmp.Diff([]string{"app/after", "app/half", "app/less#P#p1", "app/lost"}, got); d != "" {
		t.Error(d)
	}
}
