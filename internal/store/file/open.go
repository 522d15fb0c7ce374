package file

import (
	"context"
	"io"
	"os"

	"github.com/cofferdb/coffer"
)

// Open reads n bytes from off; n < 0 is to the end.
func (s *Store) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	op := "read " + name
	if err := begin(ctx, op, name); err != nil {
		return nil, err
	}
	if _, err := s.lstat(name); err != nil {
		return nil, fail(op, err)
	}
	f, err := s.root.Open(name)
	if err != nil {
		return nil, fail(op, err)
	}
	fi, err := f.Stat()
	if err == nil && (off < 0 || off > fi.Size()) {
		err = coffer.E(coffer.KindInvalid, op, "offset %d is outside of %d bytes", off, fi.Size())
	}
	if err != nil {
		f.Close()
		return nil, fail(op, err)
	}
	if n < 0 {
		n = fi.Size() - off
	}
	return &reader{ctx: ctx, op: op, f: f, off: off, left: n}, nil
}

// reader is one open range. Its life is one operation, so it holds the context.
type reader struct {
	ctx       context.Context
	op        string
	f         *os.File
	off, left int64
}

// Read gives the next bytes of the range.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, coffer.Wrap(r.op, err)
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.f.ReadAt(p[:min(int64(len(p)), r.left)], r.off)
	r.off += int64(n)
	r.left -= int64(n)
	switch {
	case n > 0:
		return n, nil // an end or an error comes again
	case err == io.EOF:
		return 0, io.ErrUnexpectedEOF
	}
	return 0, fail(r.op, err)
}

// Close ends the reading.
func (r *reader) Close() error { return fail(r.op, r.f.Close()) }
