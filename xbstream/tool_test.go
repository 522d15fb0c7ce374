package xbstream_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/xbstream"
)

// TestStockToolTakesOurStream gives mbstream what Writer wrote and compares what
// it extracts with what Extract does.
func TestStockToolTakesOurStream(t *testing.T) {
	t.Parallel()
	mbstream := testenv.Need(t, "mbstream")[0]
	var b bytes.Buffer
	w := xbstream.NewWriter(&b)
	big := bytes.Repeat([]byte("0123456789abcdef"), 700_000)
	for _, err := range []error{
		w.WriteChunk("db/t#P#p0.ibd", 0, big), w.WriteChunk("redo", 0, []byte("r1")), w.WriteChunk("db/t#P#p0.ibd", 0, []byte("tail")),
		w.CloseFile("db/t#P#p0.ibd", 0), w.WriteChunk("redo", 0, []byte("r2")), w.CloseFile("redo", 0),
		w.CloseFile("empty", 0), w.WriteFile("db/a.frm", 0, []byte("one and more")), w.WriteFile("db/a.frm", xbstream.Rewrite, []byte("two")),
		w.WriteFile("db/b.frm", 0, []byte("b")), w.Rename("db/b.frm", "db/c.frm"), w.WriteFile("x", 0, []byte("x")), w.Remove("x"), w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	stock := t.TempDir()
	cmd := exec.Command(mbstream, "-x", "-C", stock)
	cmd.Stdin = bytes.NewReader(b.Bytes())
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("mbstream -x: %v\n%s", err, out)
	}
	ours, err := extract(t, b.Bytes(), xbstream.ExtractOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tree(t, ours), tree(t, stock); !cmp.Equal(want, got) || len(got) != 6-1 {
		t.Errorf("%d files, mbstream made %d, or they differ", len(got), len(want))
	}
}

// TestWeTakeTheStockToolsStream is the other way round.
func TestWeTakeTheStockToolsStream(t *testing.T) {
	t.Parallel()
	mbstream := testenv.Need(t, "mbstream")[0]
	src := t.TempDir()
	names := []string{"a", "db/t.ibd", "empty"}
	for i, content := range [][]byte{[]byte("a"), bytes.Repeat([]byte("page"), 6<<20), nil} {
		path := filepath.Join(src, names[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(mbstream, append([]string{"-c"}, names...)...)
	cmd.Dir = src
	stream, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := extract(t, stream, xbstream.ExtractOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(tree(t, src), tree(t, dir)) {
		t.Error("the files differ")
	}
}
