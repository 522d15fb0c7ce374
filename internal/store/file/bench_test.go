package file_test

import (
	"bytes"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer/internal/store"
)

// BenchmarkUpload is an upload of 256 MiB in parts of 16 MiB, four at a time,
// synced and published.
func BenchmarkUpload(b *testing.B) {
	const size, count = 16 << 20, 16
	s := open(b, b.TempDir())
	part := store.Bytes(bytes.Repeat([]byte("coffer! "), size/8))
	b.SetBytes(size * count)
	for b.Loop() {
		u, err := s.Begin(b.Context(), "big", nil)
		if err != nil {
			b.Fatal(err)
		}
		parts := make([]store.Part, count)
		var g errgroup.Group
		g.SetLimit(4)
		for i := range parts {
			g.Go(func() (err error) {
				parts[i], err = s.Part(b.Context(), u, i, int64(i)*size, part)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Complete(b.Context(), u, parts); err != nil {
			b.Fatal(err)
		}
		if err := s.Delete(b.Context(), "big"); err != nil {
			b.Fatal(err)
		}
	}
}
