package codec

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/cofferdb/coffer"
)

// walkAll walks all of b.
func walkAll(b []byte) (n int, total int, err error) {
	w := &walker{src: bytes.NewReader(b), max: maxStored}
	var buf []byte
	for {
		stored, _, err := w.next(buf)
		if err != nil {
			return n, total, err
		}
		n, total, buf = n+1, total+len(stored), stored
	}
}

func TestWalkerFindsEveryHeaderForm(t *testing.T) {
	t.Parallel()
	for desc := range 256 {
		if desc&8 != 0 {
			continue // reserved
		}
		b := append([]byte{0x28, 0xb5, 0x2f, 0xfd, byte(desc)}, make([]byte, 16)...)
		var h zstd.Header // the library's own idea of a header
		if err := h.Decode(b); err != nil {
			t.Fatal(err)
		}
		b = append(b[:h.HeaderSize], 1, 0, 0) // a last, raw, empty block
		if desc&4 != 0 {
			b = append(b, 1, 2, 3, 4)
		}
		n, total, err := walkAll(append(b, b...))
		if n != 2 || total != 2*len(b) || err != io.EOF {
			t.Fatalf("descriptor %02x: %d frames, %d bytes, %v", desc, n, total, err)
		}
	}
}

// zeros is a stream of empty raw blocks that never ends, after a frame's header.
type zeros struct{ head []byte }

func (z *zeros) Read(p []byte) (int, error) {
	n := copy(p, z.head)
	z.head = z.head[n:]
	clear(p[n:])
	return len(p), nil
}

func TestAFrameThatNeverEndsIsRefused(t *testing.T) {
	t.Parallel()
	w := &walker{max: 1 << 20, src: &zeros{head: []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x58}}}
	stored, _, err := w.next(nil)
	if coffer.KindOf(err) != coffer.KindCorrupt || stored != nil {
		t.Fatalf("%d bytes, %v", len(stored), err)
	}
	if coffer.HintOf(err) == "" {
		t.Fatal("no hint")
	}
}

func FuzzWalker(f *testing.F) {
	f.Add([]byte("\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51"))
	f.Add([]byte("\x50\x2a\x4d\x18\x01\x00\x00\x00x\x28\xb5\x2f\xfd\x00\x58\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, total, err := walkAll(b)
		if err == nil || total > len(b) || err == io.EOF && n == 0 {
			t.Fatalf("%d frames, %d of %d bytes, %v", n, total, len(b), err)
		}
		if err != io.EOF && coffer.KindOf(err) != coffer.KindCorrupt {
			t.Fatal(err)
		}
	})
}
