package store

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/cofferdb/coffer"
)

func (r *retrying) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		last, begun := "", false
		err := r.policy.Do(ctx, "list "+prefix, func(ctx context.Context) error {
			for o, err := range r.s.List(ctx, prefix) {
				if err != nil {
					return err
				}
				if begun && o.Name <= last {
					continue
				}
				if !yield(o, nil) {
					return nil
				}
				last, begun = o.Name, true
			}
			return nil
		})
		if err != nil {
			yield(Object{}, err)
		}
	}
}

func (r *retrying) Stale(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		seen := map[string]bool{}
		err := r.policy.Do(ctx, "list uploads of "+prefix, func(ctx context.Context) error {
			for u, err := range r.s.Stale(ctx, prefix) {
				if err != nil {
					return err
				}
				if seen[u.Token] {
					continue
				}
				if !yield(u, nil) {
					return nil
				}
				seen[u.Token] = true
			}
			return nil
		})
		if err != nil {
			yield(Upload{}, err)
		}
	}
}

func (r *retrying) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	rd := &resuming{ctx: ctx, r: r, name: name, off: off, n: n}
	return again(ctx, r, "read "+name, func(ctx context.Context) (io.ReadCloser, error) {
		cur, err := r.s.Open(ctx, name, off, n)
		rd.cur = cur
		return rd, err
	})
}

// resuming is one range that is opened again where it broke. Objects are never
// written twice, so the bytes are the same. Its life is one operation, so it
// holds the context.
type resuming struct {
	ctx    context.Context
	r      *retrying
	name   string
	off, n int64 // what is left; n < 0 is to the end
	cur    io.ReadCloser
}

// Read passes bytes on. Each time some have come the policy's patience is new.
func (rd *resuming) Read(p []byte) (n int, err error) {
	err = rd.r.policy.Do(rd.ctx, "read "+rd.name, func(context.Context) (failed error) {
		if rd.cur == nil {
			cur, err := rd.r.s.Open(rd.ctx, rd.name, rd.off, rd.n)
			if err != nil {
				return err
			}
			rd.cur = cur
		}
		if n, failed = rd.cur.Read(p); n > 0 {
			rd.off += int64(n)
			if rd.n > 0 {
				rd.n -= int64(n)
			}
		}
		if coffer.IsKind(failed, coffer.KindUnavailable) && rd.ctx.Err() == nil {
			_ = rd.cur.Close()
			rd.cur = nil
			if n > 0 {
				return nil
			}
		}
		return failed
	})
	if errors.Is(err, io.EOF) {
		err = io.EOF
	}
	return n, err
}

// Close ends the reading.
func (rd *resuming) Close() error {
	if rd.cur == nil {
		return nil
	}
	return rd.cur.Close()
}
