package xbstream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/xbstream"
)

// raw builds streams that the Writer refuses to write.
type raw struct{ bytes.Buffer }

func (r *raw) header(typ byte, flags byte, path string) *raw {
	r.WriteString("XBSTCK01")
	r.Write([]byte{flags, typ})
	r.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(path))))
	r.WriteString(path)
	return r
}

func (r *raw) data(path string, off uint64, flags byte, data string) *raw {
	r.header('P', flags, path)
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint64(b, off)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(data)))
	r.Write(append(b, data...))
	return r
}

func (r *raw) end(path string) *raw { return r.header('E', 0, path) }

func (r *raw) file(path, data string) *raw { return r.data(path, 0, 0, data).end(path) }

func (r *raw) rename(path, to string) *raw {
	r.header('R', 0, path)
	r.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(to))))
	r.WriteString(to)
	return r
}

func (r *raw) seek(path string, off uint64) *raw {
	r.header('S', 0, path)
	r.Write(binary.LittleEndian.AppendUint64(nil, off))
	return r
}

// hostile are streams that must be refused whole.
func hostile() map[string]*raw {
	badSum := new(raw).file("a", "content")
	badSum.Bytes()[badSum.Len()-24] ^= 1
	huge := new(raw).header('P', 0, "a")
	huge.Write(binary.LittleEndian.AppendUint64(nil, 1<<40))
	huge.Write(make([]byte, 12))
	longName := new(raw)
	longName.WriteString("XBSTCK01\x00P\x00\x00\xa0\x00") // 10 MiB
	cut := new(raw).file("a", "content")
	cut.Truncate(30)
	cutHeader := new(raw).file("a", "content")
	cutHeader.Truncate(cutHeader.Len() - 3)
	junk := new(raw).file("a", "content")
	junk.WriteString("junk")
	many := new(raw)
	for i := range 300 {
		many.data(strings.Repeat("x", i%200+1)+string(rune('a'+i/200)), 0, 0, "d")
	}
	all := map[string]*raw{
		"bad sum": badSum, "huge chunk": huge, "10 MB name": longName, "cut in data": cut, "cut in header": cutHeader,
		"junk at the end": junk, "too many open files": many,
		"gap":                 new(raw).data("a", 0, 0, "abc").data("a", 4, 0, "e").end("a"),
		"overlap":             new(raw).data("a", 0, 0, "abc").data("a", 2, 0, "e").end("a"),
		"starts late":         new(raw).data("a", 1<<30, 0, "abc").end("a"),
		"offset out of range": new(raw).seek("a", 1<<63),
		"seek backwards":      new(raw).data("a", 0, 0, "abc").seek("a", 1).end("a"),
		"not finished":        new(raw).data("a", 0, 0, "abc"),
		"unknown type":        new(raw).header('Q', 0, "a"),
		"compressed type":     new(raw).header('p', 0, "a"), // of no known tool; its data could not be told from a header
		"shuffled":            new(raw).data("a", 0, 0, "abc").data("a", 5, 0, "fg").data("a", 3, 0, "de").end("a"),
		"a chunk twice":       new(raw).data("a", 0, 0, "abc").data("a", 0, 0, "abc").end("a"),
		"begun within":        new(raw).data("a", 3, 0, "def").data("a", 0, 0, "abc").end("a"),
		"a chunk of another":  new(raw).data("a", 0, 0, "abc").data("b", 3, 0, "def").end("a").end("b"),
		"seek over data":      new(raw).data("a", 0, 0, "abc").seek("a", 2).data("a", 2, 0, "c").end("a"),
		"seek, no end":        new(raw).seek("a", 9),
		"rename of open":      new(raw).data("a", 0, 0, "abc").rename("a", "b").end("a"),
		"rename onto open":    new(raw).file("b", "x").data("a", 0, 0, "abc").rename("b", "a").end("a"),
		"remove of open":      new(raw).data("a", 0, 0, "abc").header('D', 0, "a").end("a"),
		"remove above open":   new(raw).data("a/b", 0, 0, "abc").header('D', 0, "a").end("a/b"),
		"rename leads out":    new(raw).file("a", "x").rename("a", "../b"),
	}
	for _, name := range []string{
		"", "/etc/passwd", "..", "../a", "a/../../b", "a/..", "./a", "a/./b", "a//b", "a/", `a\b`, "a\x00b", "a\nb",
		strings.Repeat("n", 256), strings.Repeat("d/", 256) + "x",
	} {
		all["name "+name[:min(len(name), 20)]] = new(raw).file(name, "x")
	}
	return all
}

func readAll(b []byte) error {
	r := xbstream.NewReader(bytes.NewReader(b))
	for {
		if _, err := r.Next(); err != nil {
			return err
		}
	}
}

func TestHostileStreamsAreRefused(t *testing.T) {
	t.Parallel()
	for name, s := range hostile() {
		if err := readAll(s.Bytes()); !coffer.IsKind(err, coffer.KindCorrupt) {
			t.Errorf("%s: got %v, want KindCorrupt", name, err)
		}
	}
}

func TestEveryCutIsSeen(t *testing.T) {
	t.Parallel()
	s := new(raw).file("a/b", "content").rename("a/b", "c").header('D', 0, "c").file("d", "x").Bytes()
	var whole []int
	for n := range len(s) + 1 {
		if err := readAll(s[:n]); err == io.EOF {
			whole = append(whole, n)
		} else if !coffer.IsKind(err, coffer.KindCorrupt) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	// 0, after the file, after each order, after the last file.
	if len(whole) != 5 || whole[4] != len(s) {
		t.Errorf("cuts that were not seen: %v of %d", whole, len(s))
	}
}

func TestReaderGivesWhatTheWriterWrote(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := xbstream.NewWriter(&b)
	big := bytes.Repeat([]byte("0123456789"), 300_000)
	for _, err := range []error{
		w.WriteChunk("db/t.ibd", 0, big), w.WriteChunk("redo", 0, []byte("r1")), w.WriteChunk("db/t.ibd", 0, []byte("tail")),
		w.CloseFile("db/t.ibd", 0), w.WriteChunk("redo", 0, []byte("r2")), w.CloseFile("redo", 0),
		w.CloseFile("empty", 0), w.Rename("empty", "full"), w.WriteFile("full", xbstream.Rewrite, []byte("now")),
		w.Remove("redo"), w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	stream := b.Bytes()
	r, again := xbstream.NewReader(bytes.NewReader(stream)), new(bytes.Buffer)
	w = xbstream.NewWriter(again)
	for {
		c, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		switch c.Type {
		case xbstream.Data:
			err = w.WriteChunk(c.Path, c.Flags, data)
		case xbstream.End:
			err = w.CloseFile(c.Path, c.Flags)
		case xbstream.Rename:
			err = w.Rename(c.Path, c.To)
		case xbstream.Remove:
			err = w.Remove(c.Path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(again.Bytes(), stream) {
		t.Error("written again, the stream is another one")
	}
	var got []xbstream.Item
	for it, err := range xbstream.List(bytes.NewReader(stream)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, it)
	}
	want := []xbstream.Item{
		{Type: xbstream.End, Path: "db/t.ibd", Size: int64(len(big) + 4)}, {Type: xbstream.End, Path: "redo", Size: 4},
		{Type: xbstream.End, Path: "empty"}, {Type: xbstream.Rename, Path: "empty", To: "full"},
		{Type: xbstream.End, Flags: xbstream.Rewrite, Path: "full", Size: 3}, {Type: xbstream.Remove, Path: "redo"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestWriterRefusesWhatAReaderWould(t *testing.T) {
	t.Parallel()
	w := xbstream.NewWriter(io.Discard)
	if err := w.WriteChunk("../x", 0, []byte("x")); err == nil {
		t.Error("a name that leads out was written")
	}
	if err := w.WriteChunk("x", 0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove("x"); err == nil {
		t.Error("an unfinished file was removed")
	}
	if err := w.Close(); err == nil {
		t.Error("the stream ended inside a file")
	}
}

// endless is a stream of n tiny chunks of one file.
type endless struct {
	n   int
	off uint64
	buf raw
}

func (e *endless) Read(p []byte) (int, error) {
	if e.buf.Len() == 0 {
		if e.n == 0 {
			return 0, io.EOF
		}
		e.n--
		e.buf.data("a", e.off, 0, "x")
		e.off++
	}
	return e.buf.Read(p)
}

func TestTinyChunksTakeNoMemory(t *testing.T) {
	r := xbstream.NewReader(&endless{n: 1 << 30})
	step := func() {
		for range 1000 {
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
		}
	}
	step()
	// One path and a little for the fake source: nothing that grows.
	if a := testing.AllocsPerRun(20, step); a > 20_000 {
		t.Errorf("%v allocations for 1000 chunks", a)
	}
}

func TestReadFailuresKeepTheirKind(t *testing.T) {
	t.Parallel()
	gone := coffer.E(coffer.KindUnavailable, "read", "store is away")
	s := new(raw).file("a", "content").Bytes()
	for _, n := range []int{0, 5, 40} {
		r := xbstream.NewReader(io.MultiReader(bytes.NewReader(s[:n]), failing{gone}))
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, gone) || !coffer.IsKind(err, coffer.KindUnavailable) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
