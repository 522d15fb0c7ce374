package xbstream_test

import (
	"bytes"
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/xbstream"
)

func extract(t *testing.T, s []byte, o xbstream.ExtractOptions) (string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "target")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, extractTo(t, dir, s, o)
}

func extractTo(t *testing.T, dir string, s []byte, o xbstream.ExtractOptions) error {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return xbstream.Extract(t.Context(), bytes.NewReader(s), root, o)
}

// tree is what a folder holds, by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		got[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestExtractCarriesOutOrders(t *testing.T) {
	t.Parallel()
	s := new(raw).file("db/t.ibd", "table").file("db/a.MAD", "aria").rename("db/a.MAD", "new/b.MAD")
	s.file("db/gone", "x").header('D', 0, "db/gone").header('D', 0, "db/never").rename("db/never", "db/neither")
	s.file("db/t.frm", "old and long").data("db/t.frm", 0, xbstream.Rewrite, "new").end("db/t.frm")
	s.end("empty").data("two", 0, 0, "ab").data("one", 0, 0, "12").data("two", 2, 0, "cd").end("one").end("two")
	s.file("old/a", "x").file("old/deep/b", "x").file("older/c", "kept").header('D', 0, "old").file("old/deep/d", "anew")
	dir, err := extract(t, s.Bytes(), xbstream.ExtractOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"older/c": "kept", "old/deep/d": "anew",
		"db/t.ibd": "table", "new/b.MAD": "aria", "db/t.frm": "new", "empty": "", "one": "12", "two": "abcd",
	}
	if d := cmp.Diff(want, tree(t, dir)); d != "" {
		t.Error(d)
	}
	for path, mode := range map[string]fs.FileMode{"db": 0o700 | fs.ModeDir, "db/t.ibd": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode(), mode, err)
		}
	}
}

func TestExtractRefusesHostileStreams(t *testing.T) {
	t.Parallel()
	for name, s := range hostile() {
		dir, err := extract(t, s.Bytes(), xbstream.ExtractOptions{})
		if !coffer.IsKind(err, coffer.KindCorrupt) {
			t.Errorf("%s: got %v, want KindCorrupt", name, err)
		}
		beside, err := os.ReadDir(filepath.Dir(dir))
		if err != nil || len(beside) != 1 {
			t.Errorf("%s: something was written beside the target: %v %v", name, beside, err)
		}
	}
}

func TestExtractRefusesNamesThatContradict(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*raw{
		"sent twice":              new(raw).file("a", "x").file("a", "y"),
		"a file used as a folder": new(raw).file("a", "x").file("a/b", "y"),
		"a folder used as a file": new(raw).file("a/b", "x").file("a", "y"),
		"a folder replaced":       new(raw).file("a/b", "x").data("a", 0, xbstream.Rewrite, "y").end("a"),
		"a folder renamed":        new(raw).file("a/b", "x").rename("a", "c"),
		"renamed onto a folder":   new(raw).file("a/b", "x").file("c", "x").rename("c", "a"),
	} {
		if _, err := extract(t, s.Bytes(), xbstream.ExtractOptions{}); !coffer.IsKind(err, coffer.KindCorrupt) {
			t.Errorf("%s: got %v, want KindCorrupt", name, err)
		}
	}
}

func TestExtractNeverLeavesItsRoot(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	for name, s := range map[string]*raw{
		"through a link":      new(raw).file("link/x", "x"),
		"onto a link":         new(raw).file("file", "x"),
		"rename through one":  new(raw).file("a1", "x").rename("a1", "link/x"),
		"replace through one": new(raw).data("link/y", 0, xbstream.Rewrite, "x").end("link/y"),
	} {
		os.RemoveAll(filepath.Join(dir, "link"))
		if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(filepath.Join(dir, "file"))
		if err := os.Symlink(filepath.Join(outside, "target"), filepath.Join(dir, "file")); err != nil {
			t.Fatal(err)
		}
		if err := extractTo(t, dir, s.Bytes(), xbstream.ExtractOptions{}); err == nil {
			t.Errorf("%s: no refusal", name)
		}
	}
	if got := tree(t, outside); len(got) != 0 {
		t.Errorf("written outside: %v", got)
	}
}

func TestExtractStopsAtItsLimit(t *testing.T) {
	t.Parallel()
	s := new(raw).file("a", strings.Repeat("x", 100)).file("b", strings.Repeat("x", 100)).Bytes()
	if _, err := extract(t, s, xbstream.ExtractOptions{MaxBytes: 199}); !coffer.IsKind(err, coffer.KindCorrupt) {
		t.Errorf("got %v, want KindCorrupt", err)
	}
	if _, err := extract(t, s, xbstream.ExtractOptions{MaxBytes: 200}); err != nil {
		t.Error(err)
	}
}

func TestExtractStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = xbstream.Extract(ctx, &endless{n: 1 << 40}, root, xbstream.ExtractOptions{})
	if !coffer.IsKind(err, coffer.KindCanceled) {
		t.Errorf("got %v, want KindCanceled", err)
	}
}

// TestExtractInterleaved writes random files in random chunks and compares, with
// and without holes.
func TestExtractInterleaved(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var stream bytes.Buffer
	w, want := xbstream.NewWriter(&stream), make(map[string]string)
	left := map[string]int{"a": 5 << 20, "d/b": 3<<20 + 17, "d/e/c": 1 << 20, "f": 70_001}
	for len(left) > 0 {
		for name, n := range left {
			b := make([]byte, min(n, 1+rnd.IntN(900_000)))
			if rnd.IntN(2) == 0 {
				for i := range b {
					b[i] = byte(rnd.Uint32())
				}
			}
			if err := w.WriteChunk(name, 0, b); err != nil {
				t.Fatal(err)
			}
			want[name] += string(b)
			if left[name] -= len(b); left[name] == 0 {
				delete(left, name)
				if err := w.CloseFile(name, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, o := range []xbstream.ExtractOptions{{}, {Sparse: true}, {Writers: 1}} {
		dir, err := extract(t, stream.Bytes(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := tree(t, dir); !cmp.Equal(want, got) {
			t.Errorf("%+v: files differ", o)
		}
	}
}

func TestExtractLeavesHoles(t *testing.T) {
	t.Parallel()
	s := new(raw).file("a", "x"+strings.Repeat("\x00", 4<<20)).Bytes()
	dir, err := extract(t, s, xbstream.ExtractOptions{Sparse: true})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil || info.Size() != 4<<20+1 {
		t.Fatalf("size %d, %v", info.Size(), err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
		t.Errorf("%d bytes on disk", used)
	}
}
