package store

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// Limit is s with its bytes paced: what Put, Part and the readers of Open move,
// all together, is at most bytesPerSecond on the average. Zero or less is no
// limit.
func Limit(s Full, bytesPerSecond int64) Full {
	if bytesPerSecond <= 0 {
		return s
	}
	burst := int(min(max(bytesPerSecond/10, 4<<10), 1<<20))
	return &limited{Full: s, rate: rate.NewLimiter(rate.Limit(bytesPerSecond), burst)}
}

type limited struct {
	Full
	rate *rate.Limiter
}

var _ Full = (*limited)(nil)

func (l *limited) Put(ctx context.Context, name string, b Body, meta Meta) (Object, error) {
	return l.Full.Put(ctx, name, b.through(l.pace(ctx)), meta)
}

func (l *limited) Part(ctx context.Context, u Upload, i int, off int64, b Body) (Part, error) {
	return l.Full.Part(ctx, u, i, off, b.through(l.pace(ctx)))
}

func (l *limited) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	r, err := l.Full.Open(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{l.pace(ctx)(r), r}, nil
}

// pace makes readers that wait for their bytes' turn.
func (l *limited) pace(ctx context.Context) func(io.Reader) io.Reader {
	return func(r io.Reader) io.Reader { return &paced{ctx: ctx, rate: l.rate, r: r} }
}

// paced is one reading. Its life is one operation, so it holds the context.
type paced struct {
	ctx  context.Context
	rate *rate.Limiter
	r    io.Reader
}

// Read waits after the bytes have come, so that none is waited for in vain.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.r.Read(b[:min(len(b), p.rate.Burst())])
	if n == 0 {
		return n, err
	}
	if waited := p.rate.WaitN(p.ctx, n); waited != nil {
		if ctx := p.ctx.Err(); ctx != nil {
			return 0, ctx
		}
		return 0, context.DeadlineExceeded // the limiter sees that the turn comes too late
	}
	return n, err
}
