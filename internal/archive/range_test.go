package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// dataCounter counts what is read of data objects.
type dataCounter struct {
	*storetest.Memory
	n atomic.Int64
}

// Open counts the bytes that were asked for.
func (c *dataCounter) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if strings.Contains(name, ".xbstream.") {
		c.n.Add(n)
	}
	return c.Memory.Open(ctx, name, off, n)
}

// TestRangesInTurn: ranges one after another, read into room for whole frames as a merge
// does, give what is there, whichever memory they were read with; no more is read of the
// store than the frames that they lie in, and of an encrypted archive the chunks.
func TestRangesInTurn(t *testing.T) {
	t.Parallel()
	const size = 6<<20 + 17
	for shape, set := range shapes(t) {
		t.Run(shape, func(t *testing.T) {
			t.Parallel()
			p, mem := memory()
			o := small()
			ids := set(&o)
			plain := content(3, size)
			s := commit(t, p, backupA, plain, o)
			count := &dataCounter{Memory: mem}
			p.Store = count
			a, err := archive.Open(t.Context(), p, backupA, want(s.SHA256, ids...))
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			const k, m = 1 << 10, 1 << 20
			most := int64(0)
			for _, r := range [][2]int64{
				{0, 1536 * k}, {1536 * k, 1536 * k}, {3 * m, 1536 * k}, // each where the last one ended
				{5 * m, m + 17}, {3 * m, m}, {100 * k, 200 * k}, // each before the last one
				{2560 * k, 1536 * k}, {3300 * k, 200 * k}, {3300 * k, 200 * k}, // within the last one
			} {
				off, n := r[0], r[1]
				got, err := intoRoom(a, off, n)
				if err != nil || !bytes.Equal(got, plain[off:off+n]) {
					t.Fatalf("%d bytes from %d are wrong: %v", n, off, err)
				}
				from, to, err := a.Stored(t.Context(), off, n)
				if err != nil {
					t.Fatal(err)
				}
				if most += to - from; len(ids) > 0 {
					most += 2 * (64<<10 + 4096) // the chunks in which the frames begin and end
				}
			}
			if len(ids) > 0 {
				most += 2 * 2 * 64 << 10 // the beginning and the end, once
			}
			if got := count.n.Load(); got == 0 || got > most {
				t.Errorf("%d bytes are read of the store, want %d at most", got, most)
			}
		})
	}
}

// intoRoom reads a range into a buffer that has room behind it.
func intoRoom(a *archive.Archive, off, n int64) ([]byte, error) {
	r, err := a.Range(context.Background(), off, n)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, n+codec.Slack)
	at := 0
	for {
		m, err := r.Read(buf[at:])
		if at += m; err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if int64(at) != n {
		return nil, fmt.Errorf("%d bytes of %d", at, n)
	}
	return buf[:n], r.Close()
}
