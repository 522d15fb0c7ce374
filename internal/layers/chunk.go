package layers

import (
	"hash/crc32"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/xbstream"
)

// The server's own sums tell a page that is not the one that was asked for. A file
// without pages has none, so it is read with the headers of its chunks: an index
// that does not match its stream is found by them.

// headLen is the length of the header before a chunk of a file.
func headLen(name string) int64 {
	return int64(len(xbstream.AppendHeader(nil, xbstream.Chunk{Type: xbstream.Data, Path: name})))
}

// proof holds one chunk, as it is read, against its header.
type proof struct {
	p    piece
	head []byte
	want xbstream.Chunk
	n    int64
	sum  uint32
}

// proven is the piece with the header before it, and what holds it against that; a
// piece of pages is as it was.
func (p piece) proven() (piece, *proof) {
	if p.head == 0 {
		return p, nil
	}
	c := &proof{p: p}
	p.plain, p.n = p.plain-p.head, p.n+p.head
	return p, c
}

// take gives what of b belongs to the file.
func (c *proof) take(b []byte) ([]byte, error) {
	if k := min(len(b), int(c.p.head)-len(c.head)); k > 0 {
		c.head, b = append(c.head, b[:k]...), b[k:]
		if len(c.head) < int(c.p.head) {
			return nil, nil
		}
		var n int
		var err error
		c.want, n, err = xbstream.ParseHeader(c.head)
		if err != nil || n != len(c.head) || c.want.Type != xbstream.Data || c.want.Path != c.p.name || c.want.Offset != c.p.at || c.want.Len != c.p.n {
			return nil, coffer.E(coffer.KindCorrupt, "", "the index does not match the stream at %d", c.p.plain)
		}
	}
	c.n += int64(len(b))
	c.sum = crc32.Update(c.sum, crc32.IEEETable, b)
	if c.n == c.p.n && c.sum != c.want.Sum {
		return nil, coffer.E(coffer.KindCorrupt, "", "the data at offset %d does not match its sum", c.p.at)
	}
	return b, nil
}
