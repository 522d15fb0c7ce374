package layers

import (
	"context"
	"iter"
	"sync"

	"github.com/cofferdb/coffer"
)

// File is what a plan writes one output into.
type File interface {
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Close() error
}

// Options say how a plan is carried out.
type Options struct {
	Workers  int                             // files written at a time; 0 is 2
	Create   func(name string) (File, error) // a new file, its folder made
	Progress func(n int64)                   // told of bytes that are done; called by several goroutines
}

const (
	opWrite = "write the joined layers"
	// budget is the memory of all windows together.
	budget = 48 << 20
	// A window is what is read of a layer at a time.
	minWindow, maxWindow = 128 << 10, 4 << 20
	// gap is read over rather than skipped: what an archive decodes at a time.
	gap = 1 << 20
	// ahead is how many pieces are looked at to see what a window is worth.
	ahead = 2048
	// batch is how many bytes of small outputs one worker takes in one go.
	batch = 32 << 20
)

// Write writes all files. On an error what has been written stays: the caller
// empties the folder.
func (p *Plan) Write(ctx context.Context, opt Options) error {
	workers := opt.Workers
	if workers <= 0 {
		workers = 2
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan []*output)
	var all sync.WaitGroup
	for range workers {
		w := &worker{ctx: ctx, plan: p, opt: opt, windows: make([]window, len(p.layers))}
		w.size = min(maxWindow, max(minWindow, int64(budget/workers/len(p.layers))))
		all.Go(func() {
			for job := range jobs {
				if err := w.run(job); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, job := range p.jobs() {
		select {
		case jobs <- job:
		case <-ctx.Done():
		}
	}
	close(jobs)
	all.Wait()
	return coffer.Wrap(opWrite, context.Cause(ctx))
}

// jobs cuts the outputs into batches that lie together.
func (p *Plan) jobs() (jobs [][]*output) {
	var job []*output
	var size int64
	for _, o := range p.outputs {
		if size > 0 && size+o.size > batch {
			jobs, job, size = append(jobs, job), nil, 0
		}
		job, size = append(job, o), size+o.size
	}
	return append(jobs, job)
}

// window is bytes of a layer's stream.
type window struct {
	off int64
	buf []byte
}

func (w *window) end() int64 { return w.off + int64(len(w.buf)) }

// worker writes one batch after another.
type worker struct {
	ctx     context.Context // of one Write
	plan    *Plan
	opt     Options
	size    int64 // of a window
	windows []window
	queue   []piece // what comes next, the present piece first
	out     writer
}

// run writes the outputs of one batch.
func (w *worker) run(job []*output) error {
	next, stop := iter.Pull2(w.pieces(job))
	defer stop()
	defer w.out.close()
	w.queue = w.queue[:0]
	i := 0
	for {
		more, err := w.fill(next)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		for ; job[i] != w.queue[0].o; i++ {
			if err := w.out.finish(w.opt, job[i]); err != nil {
				return err
			}
		}
		if err := w.copy(w.queue[0]); err != nil {
			return coffer.Wrap("file "+w.queue[0].o.name, err)
		}
		w.queue = w.queue[1:]
	}
	for ; i < len(job); i++ {
		if err := w.out.finish(w.opt, job[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) pieces(job []*output) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		for _, o := range job {
			for p, err := range o.pieces(w.plan.spool) {
				if !yield(p, err) {
					return
				}
			}
		}
	}
}

// fill looks ahead; false when nothing is left.
func (w *worker) fill(next func() (piece, error, bool)) (bool, error) {
	if len(w.queue) > ahead/2 {
		return true, nil
	}
	w.queue = append(make([]piece, 0, ahead), w.queue...)
	for len(w.queue) < ahead {
		p, err, ok := next()
		if err != nil {
			return false, err
		}
		if !ok {
			break
		}
		w.queue = append(w.queue, p)
	}
	return len(w.queue) > 0, nil
}

// copy moves one piece into its output.
func (w *worker) copy(p piece) error {
	p, check := p.proven()
	for p.n > 0 {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		b := &w.windows[p.layer]
		if p.plain < b.off || p.plain >= b.end() {
			if err := w.load(p); err != nil {
				return coffer.Wrap("read backup "+string(w.plan.layers[p.layer].Backup()), err)
			}
		}
		have := b.buf[p.plain-b.off:]
		have = have[:min(p.n, int64(len(have)))]
		n := int64(len(have))
		p.plain, p.n = p.plain+n, p.n-n
		if check != nil {
			var err error
			if have, err = check.take(have); err != nil {
				return err
			}
		}
		if err := w.out.add(w.opt, p.o, p.at, have, p.delta); err != nil {
			return err
		}
		p.at += int64(len(have))
	}
	return nil
}

// load reads a window that begins with p and holds what the pieces to come need of
// that layer.
func (w *worker) load(p piece) error {
	lo, hi := p.plain, p.plain+min(p.n, w.size)
	for _, q := range w.queue[1:] {
		if q.layer != p.layer {
			continue
		}
		if at := q.plain - q.head; at < hi || at-hi > gap || at-lo >= w.size {
			break
		}
		hi = min(q.plain+q.n, lo+w.size)
	}
	b := &w.windows[p.layer]
	if int64(cap(b.buf)) < hi-lo {
		b.buf = make([]byte, hi-lo)
	}
	buf := b.buf[:hi-lo]
	b.off, b.buf = lo, b.buf[:0]
	if err := readRange(w.ctx, w.plan.layers[p.layer], lo, buf); err != nil {
		return err
	}
	b.buf = buf
	return nil
}
