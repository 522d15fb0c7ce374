package remote

import (
	"context"
	"io"

	"github.com/cofferdb/coffer"
)

// Range is one open range of an object. Its life is one operation, so it holds
// the context.
type Range struct {
	ctx   context.Context
	op    string
	body  io.ReadCloser
	left  int64 // bytes that the object has to give
	short bool  // more was asked for than the object holds
}

var _ io.ReadCloser = (*Range)(nil)

// NewRange reads body, which has to give n bytes. With short, more was asked for:
// it then ends in io.ErrUnexpectedEOF.
func NewRange(ctx context.Context, op string, body io.ReadCloser, n int64, short bool) *Range {
	return &Range{ctx: ctx, op: op, body: body, left: n, short: short}
}

// Read gives the next bytes. A connection that ends before the range does is
// KindUnavailable: the rest can be asked for again.
func (r *Range) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, coffer.Wrap(r.op, err)
	}
	if r.left == 0 {
		if r.short {
			return 0, io.ErrUnexpectedEOF
		}
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case n > 0, err == nil:
		return n, nil // an end or an error comes again
	case r.ctx.Err() != nil:
		return 0, coffer.Wrap(r.op, r.ctx.Err())
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return 0, coffer.E(coffer.KindUnavailable, r.op, "the answer ended %d bytes early", r.left)
	}
	return 0, Lost(r.op, err, false)
}

// Close ends the reading. One that was read to its end leaves the connection for
// the next request.
func (r *Range) Close() error {
	if r.left == 0 && r.ctx.Err() == nil {
		_, _ = r.body.Read(make([]byte, 1)) // sees the end
	}
	if err := r.body.Close(); err != nil {
		return Lost(r.op, err, false)
	}
	return nil
}

// Nothing is an empty body.
func Nothing() io.ReadCloser { return empty{} }

type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }
