package codec

import (
	"encoding/binary"
	"io"
	"iter"

	"github.com/cofferdb/coffer"
)

// A zstd frame's parts (RFC 8878, section 3).
const (
	zstdMagic     = 0xFD2FB528
	skippableLow  = 0x184D2A50 // to …5F: a frame that decoders pass over
	skippableMask = 0xFFFFFFF0

	blockRaw      = 0
	blockRLE      = 1
	blockReserved = 3
	maxBlock      = 128 << 10
)

// Frames yields the stored bytes of one frame of a zstd stream after another, found
// by their headers; they are good until the next. What follows no frame's edge is
// KindCorrupt.
func Frames(src io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		w := &walker{src: src, max: maxStored}
		var buf []byte
		for {
			var err error
			buf, _, err = w.next(buf)
			if err == io.EOF || !yield(buf, err) || err != nil {
				return
			}
		}
	}
}

// A frameSource yields the stored bytes of one frame after another, with the
// plain length where it is known (else -1). buf's memory is used if it fits.
// io.EOF is the end of the stream at a frame's edge.
type frameSource interface {
	next(buf []byte) (stored []byte, plain int64, err error)
}

// walker finds the frames of a zstd stream by their headers alone.
type walker struct {
	src   io.Reader
	max   int // bound of a frame's stored bytes
	found bool
}

// next reads one frame. Frames that are to be skipped are.
func (w *walker) next(buf []byte) ([]byte, int64, error) {
	for {
		stored, err := w.extend(buf[:0], 4)
		if err == io.EOF && w.found {
			return nil, 0, io.EOF
		}
		if err != nil {
			return nil, 0, cut(err)
		}
		switch magic := binary.LittleEndian.Uint32(stored); {
		case magic == zstdMagic:
			w.found = true
			stored, err = w.frame(stored)
			return stored, -1, err
		case magic&skippableMask == skippableLow:
			if err := w.skip(stored); err != nil {
				return nil, 0, err
			}
		default:
			return nil, 0, coffer.E(coffer.KindCorrupt, stepFind, "no zstd frame begins here")
		}
	}
}

// frame reads the rest of a frame after its magic number.
func (w *walker) frame(b []byte) ([]byte, error) {
	b, err := w.extend(b, 1)
	if err != nil {
		return nil, cut(err)
	}
	desc := b[len(b)-1]
	if b, err = w.extend(b, headerLen(desc)); err != nil {
		return nil, cut(err)
	}
	for last := false; !last; {
		if b, last, err = w.block(b); err != nil {
			return nil, err
		}
	}
	if desc&4 != 0 { // the content checksum
		if b, err = w.extend(b, 4); err != nil {
			return nil, cut(err)
		}
	}
	return b, nil
}

// headerLen is how many bytes of header follow the descriptor byte.
func headerLen(desc byte) int {
	n := []int{0, 1, 2, 4}[desc&3] // dictionary id
	single := desc&0x20 != 0
	if !single {
		n++ // window descriptor
	}
	switch desc >> 6 { // content size
	case 0:
		if single {
			n++
		}
	case 1:
		n += 2
	case 2:
		n += 4
	case 3:
		n += 8
	}
	return n
}

// block reads one block.
func (w *walker) block(b []byte) (_ []byte, last bool, err error) {
	if b, err = w.extend(b, 3); err != nil {
		return nil, false, cut(err)
	}
	h := b[len(b)-3:]
	head := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	size, kind := head>>3, head>>1&3
	if kind == blockReserved || size > maxBlock {
		return nil, false, coffer.E(coffer.KindCorrupt, stepFind, "a block's header makes no sense")
	}
	if kind == blockRLE {
		size = 1
	}
	if len(b)+size > w.max {
		return nil, false, coffer.E(coffer.KindCorrupt, stepFind, "a frame is longer than %d bytes", w.max).
			WithHint("unpack it with zstd itself: only frames that fit in memory are read here")
	}
	if b, err = w.extend(b, size); err != nil {
		return nil, false, cut(err)
	}
	return b, head&1 != 0, nil
}

// skip passes over a skippable frame.
func (w *walker) skip(b []byte) error {
	b, err := w.extend(b, 4)
	if err != nil {
		return cut(err)
	}
	n := int64(binary.LittleEndian.Uint32(b[4:]))
	if _, err := io.CopyN(io.Discard, w.src, n); err != nil {
		return cut(err)
	}
	return nil
}

// extend reads n more bytes behind b. Its errors are those of io.ReadFull.
func (w *walker) extend(b []byte, n int) ([]byte, error) {
	return readMore(w.src, b, n)
}

// readMore appends n bytes of src to b, which grows at most twofold ahead of
// what has really come.
func readMore(src io.Reader, b []byte, n int) ([]byte, error) {
	at := len(b)
	if need := at + n; need > cap(b) {
		grown := make([]byte, at, max(need, min(2*cap(b), maxStored)))
		copy(grown, b)
		b = grown
	}
	b = b[:at+n]
	_, err := io.ReadFull(src, b[at:])
	return b, err
}

// cut turns an end in the middle of a frame into what it means; other errors of
// the source keep their kind.
func cut(err error) error {
	if cause := unmark(err); cause != nil {
		return coffer.Wrap(stepRead, cause)
	}
	return coffer.E(coffer.KindCorrupt, stepFind, "the stream is cut: %w", noEOF(err))
}

const (
	stepRead = "read the stored stream"
	stepFind = "find the next frame"
)

var _ frameSource = (*walker)(nil)
