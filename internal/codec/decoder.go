package codec

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cofferdb/coffer"
)

// Slack is how much room behind a frame's plain bytes lets them be decoded in place:
// zstd's decoder copies in whole words up to the end.
const Slack = 16

// Decoder decodes single frames, one after another, with memory that it keeps
// in between. It is for one goroutine; Close releases it.
type Decoder struct {
	c      Compression
	exact  *zstd.Decoder // never grows its output
	search *zstd.Decoder // for frames whose plain length nobody told
	gz     *gzip.Reader
}

// NewDecoder makes a decoder of one method's frames.
func NewDecoder(c Compression) (*Decoder, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Decoder{c: c}, nil
}

// DecodeFrame decodes one frame; see [Decoder.Decode]. Who has many uses a
// [Decoder].
func DecodeFrame(dst []byte, c Compression, stored []byte, plainLen int64) ([]byte, error) {
	d, err := NewDecoder(c)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Decode(dst, stored, plainLen)
}

// Decode decodes stored, which must be whole frames and nothing else, into dst's
// memory where it fits with [Slack] bytes more, and returns the plain bytes. They must be plainLen bytes
// long; -1 means that nobody knows, and then [MaxFrame] is the bound. No more
// than the bound is ever inflated. What does not fit its checksum, its length or
// its format is KindCorrupt.
func (d *Decoder) Decode(dst, stored []byte, plainLen int64) ([]byte, error) {
	const op = "decode a frame"
	if plainLen > MaxFrame {
		return nil, coffer.E(coffer.KindCorrupt, op, "it claims %d plain bytes, more than %d", plainLen, int64(MaxFrame))
	}
	if len(stored) == 0 {
		return nil, coffer.E(coffer.KindCorrupt, op, "it has no bytes")
	}
	var out []byte
	var err error
	if d.c == Gzip {
		out, err = d.gunzip(dst, stored, plainLen)
	} else {
		out, err = d.unzstd(dst, stored, plainLen)
	}
	if err != nil {
		return nil, coffer.E(coffer.KindCorrupt, op, "%w", err)
	}
	if plainLen >= 0 && int64(len(out)) != plainLen {
		return nil, coffer.E(coffer.KindCorrupt, op, "it holds %d plain bytes, not %d", len(out), plainLen)
	}
	return out, nil
}

func (d *Decoder) unzstd(dst, stored []byte, plainLen int64) ([]byte, error) {
	known := plainLen >= 0
	z, err := d.zstd(known)
	if err != nil {
		return nil, err
	}
	if !known {
		return z.DecodeAll(stored, dst[:0])
	}
	return z.DecodeAll(stored, room(dst, int(plainLen)+Slack))
}

// zstd gives the decoder for frames of a known length, or of an unknown one.
func (d *Decoder) zstd(known bool) (*zstd.Decoder, error) {
	z := &d.search
	if known {
		z = &d.exact
	}
	if *z != nil {
		return *z, nil
	}
	made, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecodeAllCapLimit(known),
		zstd.WithDecoderMaxMemory(MaxFrame+Slack),
		zstd.WithDecoderMaxWindow(MaxFrame),
	)
	*z = made
	return made, err
}

func (d *Decoder) gunzip(dst, stored []byte, plainLen int64) ([]byte, error) {
	src := bytes.NewReader(stored)
	if err := d.resetGzip(src); err != nil {
		return nil, noEOF(err)
	}
	limit := plainLen
	if limit < 0 {
		limit = MaxFrame
	}
	buf := bytes.NewBuffer(room(dst, int(min(limit, FrameSize))+bytes.MinRead))
	n, err := buf.ReadFrom(io.LimitReader(d.gz, limit+1))
	if err != nil {
		return nil, noEOF(err)
	}
	if n > limit {
		return nil, errors.New("it inflates beyond its bound")
	}
	return buf.Bytes(), nil
}

func (d *Decoder) resetGzip(src *bytes.Reader) error {
	if d.gz != nil {
		return d.gz.Reset(src)
	}
	var err error
	d.gz, err = gzip.NewReader(src)
	return err
}

// Close releases the decoder's memory. It can be called again.
func (d *Decoder) Close() {
	for _, z := range []*zstd.Decoder{d.exact, d.search} {
		if z != nil {
			z.Close()
		}
	}
	d.exact, d.search, d.gz = nil, nil, nil
}

// room is dst, emptied, with exactly n bytes of capacity.
func room(dst []byte, n int) []byte {
	if cap(dst) < n {
		dst = make([]byte, 0, n)
	}
	return dst[:0:n]
}

// noEOF says that an end in the middle of something is no end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
