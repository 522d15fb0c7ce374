package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"sync"

	"github.com/cofferdb/coffer"
)

// fetchAhead bounds the parts that are fetched at a time, for the sake of tiny
// ones; the bytes in flight bound the others.
const fetchAhead = 16

// partReader reads the volumes as one stream of stored bytes. Parts are fetched
// ahead, several at a time; none is given before its sum was checked.
type partReader struct {
	a       *Archive
	ctx     context.Context // of this one stream
	cancel  context.CancelFunc
	pool    *pool
	budget  int64
	tasks   sync.WaitGroup
	queue   chan *fetched
	checked func(n int64) // told of each part whose sum was right; may be nil

	cur  *fetched
	rest [][]byte
	err  error
}

// fetched is one part on its way; its fields are set when ready is closed.
type fetched struct {
	volume  string // as the store names it
	size    int64  // of the volume
	part    Part
	i       int
	off     int64
	held    int64 // bytes of the budget
	ready   chan struct{}
	chunks  [][]byte
	problem error
}

func (a *Archive) newPartReader(ctx context.Context, checked func(int64)) *partReader {
	budget := a.want.InFlight
	if budget <= 0 {
		budget = DefaultInFlight
	}
	r := &partReader{a: a, pool: newPool(budget), budget: budget, queue: make(chan *fetched, fetchAhead), checked: checked}
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.tasks.Go(r.dispatch)
	return r
}

// dispatch starts a fetch for each part, in order, as the budget allows.
func (r *partReader) dispatch() {
	defer close(r.queue)
	for _, v := range r.a.m.Volumes {
		off := int64(0)
		for i, p := range v.Parts {
			f := &fetched{volume: r.a.p.at(v.Name), size: v.Size, part: p, i: i, off: off, ready: make(chan struct{})}
			f.held = min(p.Size, r.budget)
			if r.pool.budget.Acquire(r.ctx, f.held) != nil {
				return
			}
			r.tasks.Go(func() { r.fetch(f) })
			select {
			case r.queue <- f:
			case <-r.ctx.Done():
				return
			}
			off += p.Size
		}
	}
}

// fetch reads one part and checks its sum; a wrong one is read once more, since
// the way may have spoiled it.
func (r *partReader) fetch(f *fetched) {
	defer close(f.ready)
	wrong := 0
	f.problem = again(r.ctx, r.a.want.Retry, "read the archive", func(ctx context.Context) error {
		err := f.read(ctx, r)
		if coffer.IsKind(err, coffer.KindCorrupt) {
			if wrong++; wrong == 1 {
				err = f.read(ctx, r)
			}
		}
		return err
	})
}

// read reads and sums the part.
func (f *fetched) read(ctx context.Context, r *partReader) error {
	r.pool.keep(f.chunks)
	f.chunks = nil
	src, err := r.a.p.Store.Open(ctx, f.volume, f.off, f.part.Size)
	if err != nil {
		return f.explain(ctx, r.a, err)
	}
	h := sha256.New()
	err = f.fill(src, h, r.pool)
	if cerr := src.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return f.explain(ctx, r.a, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.part.SHA256 {
		return coffer.E(coffer.KindCorrupt, "", "object %s, part %d (%d bytes from %d): its sum is %s, the manifest says %s",
			f.volume, f.i, f.part.Size, f.off, got, f.part.SHA256).WithHint("the object was changed after the backup; use another copy or another backup")
	}
	return nil
}

// fill reads the part into chunks.
func (f *fetched) fill(src io.Reader, h hash.Hash, p *pool) error {
	for left := f.part.Size; left > 0; {
		n := min(left, chunkSize)
		c := p.take(n)
		f.chunks = append(f.chunks, c)
		c = c[:n]
		if _, err := io.ReadFull(src, c); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return readError(f.volume, err)
		}
		h.Write(c)
		f.chunks[len(f.chunks)-1] = c
		left -= n
	}
	return nil
}

// explain tells an object that is gone or cut from a store that is away.
func (f *fetched) explain(ctx context.Context, a *Archive, err error) error {
	if coffer.IsKind(err, coffer.KindNotFound, coffer.KindInvalid, coffer.KindUnavailable) {
		o, look := a.p.Store.Stat(ctx, f.volume)
		switch {
		case coffer.IsKind(look, coffer.KindNotFound):
			return coffer.E(coffer.KindCorrupt, "", "object %s is missing", f.volume)
		case look == nil && o.Size != f.size:
			return coffer.E(coffer.KindCorrupt, "", "object %s, part %d: the object has %d bytes, the manifest says %d",
				f.volume, f.i, o.Size, f.size)
		}
	}
	return coffer.E(coffer.KindOf(err), "", "object %s, part %d: %w", f.volume, f.i, err).WithHint("%s", coffer.HintOf(err))
}

// Read gives stored bytes of parts whose sums were right.
func (r *partReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest[0])
	if r.rest[0] = r.rest[0][n:]; len(r.rest[0]) == 0 {
		r.rest = r.rest[1:]
	}
	return n, nil
}

// next waits for the next part.
func (r *partReader) next() error {
	if r.err != nil {
		return r.err
	}
	r.release()
	f, ok := <-r.queue
	if !ok {
		if r.err = io.EOF; r.ctx.Err() != nil {
			r.err = coffer.Wrap("read the archive", context.Cause(r.ctx))
		}
		return r.err
	}
	<-f.ready
	r.cur = f
	if f.problem != nil {
		r.err = f.problem
		return r.err
	}
	r.rest = append(r.rest[:0], f.chunks...)
	if r.checked != nil {
		r.checked(f.part.Size)
	}
	return nil
}

// release gives the memory of the part that was read to the fetches to come.
func (r *partReader) release() {
	if r.cur != nil {
		r.pool.keep(r.cur.chunks)
		r.pool.budget.Release(r.cur.held)
		r.cur = nil
	}
}

// close ends the fetches and waits for them.
func (r *partReader) close() {
	r.cancel()
	r.tasks.Wait()
}
