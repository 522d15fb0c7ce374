package xbstream

import (
	"bytes"
	"os"
	"sync/atomic"
)

// piece is a run of bytes of one file on its way to the disk.
type piece struct {
	f   *output
	off int64
	n   int
	buf []byte
}

// output is a file being written. Whoever lets go of it last closes it: the
// reader, after its end, or the writer of its last piece.
type output struct {
	file *os.File
	size int64 // the reader's alone until it lets go
	refs atomic.Int32
}

// release lets go of the file.
func (f *output) release(sparse bool) error {
	if f.refs.Add(-1) > 0 {
		return nil
	}
	if sparse {
		if err := f.file.Truncate(f.size); err != nil {
			f.file.Close()
			return classed(err)
		}
	}
	return classed(f.file.Close())
}

// write is one writer: it writes pieces until there are no more. After a failure
// it only gives them back.
func (x *extractor) write() {
	for p := range x.full {
		if x.ctx.Err() == nil {
			if err := p.write(x.o.Sparse); err != nil {
				x.cancel(classed(err))
			}
		}
		if err := p.f.release(x.o.Sparse); err != nil {
			x.cancel(err)
		}
		p.f = nil
		x.free <- p
	}
}

func (p *piece) write(sparse bool) error {
	data := p.buf[:p.n]
	if !sparse {
		_, err := p.f.file.WriteAt(data, p.off)
		return err
	}
	for at := 0; at < len(data); {
		skip := zeros(data[at:])
		at += skip
		n := nonZeros(data[at:])
		if n > 0 {
			if _, err := p.f.file.WriteAt(data[at:at+n], p.off+int64(at)); err != nil {
				return err
			}
		}
		at += n
	}
	return nil
}

// holeSize is what a hole is made of.
const holeSize = 4096

// zeros is the length of b's leading blocks that are zero.
func zeros(b []byte) int {
	var zero [holeSize]byte
	n := 0
	for n < len(b) {
		end := min(n+holeSize, len(b))
		if !bytes.Equal(b[n:end], zero[:end-n]) {
			break
		}
		n = end
	}
	return n
}

// nonZeros is the length of b's leading blocks that are not.
func nonZeros(b []byte) int {
	var zero [holeSize]byte
	n := 0
	for n < len(b) {
		end := min(n+holeSize, len(b))
		if bytes.Equal(b[n:end], zero[:end-n]) {
			break
		}
		n = end
	}
	return n
}
