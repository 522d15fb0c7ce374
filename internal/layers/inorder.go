package layers

import (
	"cmp"
	"context"
	"iter"
	"sync"

	"github.com/cofferdb/coffer"
)

const (
	// beside is how many ranges are fetched at a time where the caller does not say.
	beside = 3
	// stepsAhead is how many pieces may wait for their bytes.
	stepsAhead = 4096
)

// WriteInOrder writes all files one after another, each front to back, for what
// becomes one stream. Options.Workers is how many ranges are fetched at a time, ahead
// of what is written; 0 is 3. Of a file whose Truncate was not called before its
// Close nothing may be used: the plan has failed.
func (p *Plan) WriteInOrder(ctx context.Context, opt Options) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := p.fetcher(ctx, opt.Workers)
	steps := make(chan step, stepsAhead)
	var all sync.WaitGroup
	all.Go(func() {
		defer close(steps)
		if err := a.plan(steps); err != nil {
			cancel(err)
		}
	})
	err := p.consume(ctx, steps, a, opt)
	if err != nil {
		cancel(err)
	}
	for range steps { // until the planner has seen the end
	}
	all.Wait()
	a.fetching.Wait()
	return coffer.Wrap(opWrite, cmp.Or(context.Cause(ctx), err))
}

// consume writes the steps as they come.
func (p *Plan) consume(ctx context.Context, steps <-chan step, a *fetcher, opt Options) error {
	var out writer
	defer out.close()
	held := make([]*fetch, len(p.layers))
	i := 0
	for s := range steps {
		if err := s.from.wait(ctx); err != nil {
			return coffer.Wrap("file "+s.o.name, err)
		}
		if was := held[s.layer]; was != s.from {
			a.release(was)
			held[s.layer] = s.from
		}
		for ; p.outputs[i] != s.o; i++ {
			if err := out.finish(opt, p.outputs[i]); err != nil {
				return err
			}
		}
		b := s.from.buf[s.plain-s.from.off:][:s.n]
		if s.check != nil {
			s.at = s.check.p.at + s.check.n
			var err error
			if b, err = s.check.take(b); err != nil {
				return coffer.Wrap("file "+s.o.name, err)
			}
		}
		if err := out.add(opt, s.o, s.at, b, s.delta); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil { // the plan ended early
		return err
	}
	for ; i < len(p.outputs); i++ {
		if err := out.finish(opt, p.outputs[i]); err != nil {
			return err
		}
	}
	return nil
}

// step is a piece, or a part of one, that lies in one range.
type step struct {
	piece
	from  *fetch
	check *proof // of the piece that it is of; nil for pages
}

// fetch is one range of a layer on its way.
type fetch struct {
	window
	done chan struct{}
	err  error
}

func (f *fetch) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fetcher plans the ranges that the pieces need and fetches them ahead. A buffer is
// taken for each range in the order of their first use, and given back when its
// layer's next one is used; there are more buffers than layers, so that the range
// which is used next always has one.
type fetcher struct {
	ctx      context.Context // of one WriteInOrder
	plans    *Plan
	look     worker        // its queue is what comes next
	buffers  chan []byte   // free ones
	busy     chan struct{} // a place for each fetch under way
	last     []*fetch      // of each layer
	fetching sync.WaitGroup
}

func (p *Plan) fetcher(ctx context.Context, at int) *fetcher {
	if at <= 0 {
		at = beside
	}
	n := len(p.layers) + at
	a := &fetcher{
		ctx: ctx, plans: p, look: worker{ctx: ctx, plan: p}, buffers: make(chan []byte, n),
		busy: make(chan struct{}, at), last: make([]*fetch, len(p.layers)),
	}
	a.look.size = min(maxWindow, max(minWindow, int64(budget/n)))
	for range n {
		a.buffers <- nil
	}
	return a
}

func (a *fetcher) release(f *fetch) {
	if f != nil {
		a.buffers <- f.buf[:0]
	}
}

// plan cuts all pieces at their ranges and sends them.
func (a *fetcher) plan(steps chan<- step) error {
	next, stop := iter.Pull2(a.look.pieces(a.plans.outputs))
	defer stop()
	for {
		more, err := a.look.fill(next)
		if err != nil || !more {
			return err
		}
		p, check := a.look.queue[0].proven()
		for p.n > 0 {
			f, err := a.of(p)
			if err != nil {
				return err
			}
			s := step{p, f, check}
			s.n = min(p.n, f.end()-p.plain)
			select {
			case steps <- s:
			case <-a.ctx.Done():
				return context.Cause(a.ctx)
			}
			p.at, p.plain, p.n = p.at+s.n, p.plain+s.n, p.n-s.n
		}
		a.look.queue = a.look.queue[1:]
	}
}

// of gives the range that a piece begins in, fetched from now on if it is a new one.
func (a *fetcher) of(p piece) (*fetch, error) {
	if f := a.last[p.layer]; f != nil && p.plain >= f.off && p.plain < f.end() {
		return f, nil
	}
	n := a.look.span(p)
	var buf []byte
	select {
	case buf = <-a.buffers:
	case <-a.ctx.Done():
		return nil, context.Cause(a.ctx)
	}
	select {
	case a.busy <- struct{}{}:
	case <-a.ctx.Done():
		return nil, context.Cause(a.ctx)
	}
	if int64(cap(buf)) < n+scratch {
		buf = make([]byte, n+scratch)
	}
	f := &fetch{window: window{off: p.plain, buf: buf[:n]}, done: make(chan struct{})}
	a.last[p.layer] = f
	a.fetching.Go(func() {
		defer close(f.done)
		l := a.plans.layers[p.layer]
		f.err = coffer.Wrap("read backup "+string(l.Backup()), readRange(a.ctx, l, f.off, f.buf))
		<-a.busy
	})
	return f, nil
}
