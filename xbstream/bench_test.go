package xbstream_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/xbstream"
)

// BenchmarkExtract compares Extract with mbstream on one stream.
func BenchmarkExtract(b *testing.B) {
	mbstream := testenv.Need(b, "mbstream")[0]
	var s bytes.Buffer
	w, page := xbstream.NewWriter(&s), make([]byte, 10<<20)
	rnd := rand.NewChaCha8([32]byte{1})
	for i := range 4 {
		name := fmt.Sprintf("db/t%d.ibd", i)
		for range 6 {
			if _, err := rnd.Read(page); err != nil {
				b.Fatal(err)
			}
			if err := w.WriteChunk(name, 0, page); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.CloseFile(name, 0); err != nil {
			b.Fatal(err)
		}
		for j := range 500 {
			if err := w.WriteFile(fmt.Sprintf("db/s%d_%d.frm", i, j), 0, page[:1000]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(s.Len()))
		for range b.N {
			root, err := os.OpenRoot(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			if err := xbstream.Extract(b.Context(), bytes.NewReader(s.Bytes()), root, xbstream.ExtractOptions{}); err != nil {
				b.Fatal(err)
			}
			root.Close()
		}
	})
	b.Run("mbstream", func(b *testing.B) {
		b.SetBytes(int64(s.Len()))
		for range b.N {
			cmd := exec.Command(mbstream, "-x", "-C", b.TempDir())
			cmd.Stdin = bytes.NewReader(s.Bytes())
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
		}
	})
}
