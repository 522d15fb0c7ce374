package xbstream

import (
	"bufio"
	"errors"
	"hash/crc32"
	"io"

	"github.com/cofferdb/coffer"
)

// Reader reads a stream chunk by chunk in constant memory.
type Reader struct {
	r     *bufio.Reader
	order Order
	cur   Chunk
	left  int64 // data of cur not read yet
	sum   uint32
	err   error // what ended the reading; sticky
}

// NewReader returns a Reader of r. It reads ahead of what it hands out.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Next moves to the next chunk, past what is left of the present one's data, and
// gives its header. It returns io.EOF at the stream's proper end: between two
// chunks, with every file finished.
func (r *Reader) Next() (Chunk, error) {
	if r.err == nil {
		r.err = r.next()
	}
	if r.err != nil {
		return Chunk{}, r.err
	}
	return r.cur, nil
}

func (r *Reader) next() error {
	if _, err := io.Copy(io.Discard, payload{r}); err != nil {
		return err
	}
	c, err := r.header()
	if err != nil {
		return err
	}
	if err := r.order.Add(c); err != nil {
		return err
	}
	r.cur, r.left, r.sum = c, c.Len, 0
	if c.Type == Data && c.Len == 0 {
		return r.checkSum()
	}
	return nil
}

// header takes the next header out of the buffer.
func (r *Reader) header() (Chunk, error) {
	for need := fixed; ; {
		b, err := r.r.Peek(need)
		if err != nil && !errors.Is(err, io.EOF) {
			return Chunk{}, coffer.Wrap(opRead, err)
		}
		if len(b) == 0 {
			if err := r.order.End(); err != nil {
				return Chunk{}, err
			}
			return Chunk{}, io.EOF
		}
		c, n, perr := ParseHeader(b)
		if perr != nil {
			return Chunk{}, perr
		}
		if n <= len(b) {
			_, err = r.r.Discard(n)
			return c, err
		}
		if err != nil {
			return Chunk{}, cut()
		}
		need = n
	}
}

// Read reads the present chunk's data. It returns io.EOF after the last byte, and
// only if the sum is right.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func (r *Reader) read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.r.Read(p)
	r.left -= int64(n)
	r.sum = crc32.Update(r.sum, crc32.IEEETable, p[:n])
	if r.left == 0 && n > 0 {
		return n, r.checkSum()
	}
	if errors.Is(err, io.EOF) {
		return n, cut()
	}
	return n, coffer.Wrap(opRead, err)
}

func (r *Reader) checkSum() error {
	if r.sum != r.cur.Sum {
		return r.cur.bad("the data at offset %d does not match its sum", r.cur.Offset)
	}
	return nil
}

func cut() error {
	return coffer.E(coffer.KindCorrupt, opRead, "the stream is cut off inside a chunk")
}

// payload reads the present chunk without the sticky error.
type payload struct{ r *Reader }

func (p payload) Read(b []byte) (int, error) { return p.r.read(b) }
