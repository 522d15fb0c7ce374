package xbstream_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/xbstream"
)

func seeds(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s.Bytes())
	}
	f.Add(new(raw).file("a/b", "content").rename("a/b", "c").header('D', 0, "c").end("e").seek("s", 4).end("s").Bytes())
	f.Add(new(raw).file("a", "x").data("a", 0, xbstream.Rewrite, "yy").end("a").Bytes())
}

// FuzzReader: whatever comes, the reader ends with io.EOF or KindCorrupt, and
// what it takes for a whole stream is one byte for byte.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, again := xbstream.NewReader(bytes.NewReader(b)), []byte(nil)
		for {
			c, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				if !coffer.IsKind(err, coffer.KindCorrupt) {
					t.Fatalf("%v is of kind %s", err, coffer.KindOf(err))
				}
				return
			}
			again = xbstream.AppendHeader(again, c)
			data, err := io.ReadAll(r)
			if err != nil {
				if !coffer.IsKind(err, coffer.KindCorrupt) {
					t.Fatalf("%v is of kind %s", err, coffer.KindOf(err))
				}
				return
			}
			again = append(again, data...)
		}
		if !bytes.Equal(again, b) {
			t.Fatal("the chunks are not the stream")
		}
	})
}

// FuzzExtract: whatever comes, nothing is written outside the root, and nothing
// but files and folders inside.
func FuzzExtract(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "root")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_ = extractTo(t, dir, b, xbstream.ExtractOptions{Sparse: true, MaxBytes: 1 << 20})
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
			t.Fatalf("beside the root: %v %v", entries, err)
		}
		tree(t, dir)
	})
}
