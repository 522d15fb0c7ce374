package codec_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/cofferdb/coffer/internal/codec"
)

// Writers that share encoders write what they would alone, and one that has failed or
// ended takes none of them along.
func TestWritersShareEncoders(t *testing.T) {
	t.Parallel()
	plain := bytes.Repeat([]byte("a row of the table, and another of its rows\n"), 100_000)
	alone, _ := compress(t, codec.Zstd, 1, plain)
	encoders, err := codec.NewEncoders(codec.Zstd, 1)
	if err != nil {
		t.Fatal(err)
	}
	given := encoders.NewWriter(new(bytes.Buffer), 2, nil)
	if _, err := given.Write(plain); err != nil {
		t.Fatal(err)
	}
	given.Fail(nil)
	if given.Close() == nil {
		t.Error("what was given up ended well")
	}
	for range 2 {
		var got [3]bytes.Buffer
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				w := encoders.NewWriter(&got[i], 1, nil)
				if _, err := w.Write(plain); err != nil {
					t.Error(err)
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range got {
			if !bytes.Equal(got[i].Bytes(), alone) {
				t.Errorf("writer %d wrote %d bytes, alone it is %d others", i, got[i].Len(), len(alone))
			}
		}
	}
}
