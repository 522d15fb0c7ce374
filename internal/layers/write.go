package layers

import (
	"context"
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
	Workers  int                             // of Write; 0 is 4
	Create   func(name string) (File, error) // a new file, its folder made
	Progress func(n int64)                   // told of bytes that are done; called by several goroutines
}

const (
	opWrite = "write the joined layers"
	// atOnce is how many write where the caller does not say: more than cores, since they
	// wait for the store and for the disk.
	atOnce = 4
	// budget is the memory of all windows together.
	budget = 48 << 20
	// A window is what is read of a layer at a time.
	minWindow, maxWindow = 128 << 10, 4 << 20
	// frame is what an archive decodes at a time: a window that is cut ends where one
	// does, so that none is decoded twice.
	frame = 1 << 20
	// gap is read over rather than skipped.
	gap = frame
	// scratch is room behind a window for whoever decodes into it.
	scratch = 64
)

// Write writes all files. On an error what has been written stays: the caller
// empties the folder.
func (p *Plan) Write(ctx context.Context, opt Options) error {
	workers := opt.Workers
	if workers <= 0 {
		workers = atOnce
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan *job)
	var all sync.WaitGroup
	for range workers {
		w := &worker{ctx: ctx, plan: p, opt: opt, windows: make([]window, len(p.layers))}
		w.size = min(maxWindow, max(minWindow, int64(budget/workers/len(p.layers))))
		all.Go(func() {
			for j := range jobs {
				if err := w.run(j); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := p.jobs(opt, func(j *job) bool {
		select {
		case jobs <- j:
			return true
		case <-ctx.Done():
			return false
		}
	})
	if err != nil {
		cancel(err)
	}
	close(jobs)
	all.Wait()
	return coffer.Wrap(opWrite, context.Cause(ctx))
}

// window is bytes of a layer's stream.
type window struct {
	off int64
	buf []byte
}

func (w *window) end() int64 { return w.off + int64(len(w.buf)) }

// worker writes one job after another.
type worker struct {
	ctx     context.Context // of one Write
	plan    *Plan
	opt     Options
	size    int64 // of a window
	windows []window
	queue   []piece // what comes next, the present piece first
	out     writer
}

// run writes one job.
func (w *worker) run(j *job) error {
	err := w.write(j)
	w.out.forget()
	if lerr := j.leave(w.opt, err == nil && w.ctx.Err() == nil); err == nil {
		err = lerr
	}
	return err
}

func (w *worker) write(j *job) error {
	i := 0
	for w.queue = j.pieces; len(w.queue) > 0; w.queue = w.queue[1:] {
		p := w.queue[0]
		for j.targets[i].o != p.o {
			i++
		}
		if err := w.out.turn(w.opt, j.targets[i]); err != nil {
			return err
		}
		if err := w.copy(p); err != nil {
			return coffer.Wrap("file "+p.o.name, err)
		}
	}
	return w.out.flush(w.opt)
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
	n := w.span(p)
	b := &w.windows[p.layer]
	if int64(cap(b.buf)) < n+scratch {
		b.buf = make([]byte, n+scratch)
	}
	buf := b.buf[:n]
	b.off, b.buf = p.plain, b.buf[:0]
	if err := readRange(w.ctx, w.plan.layers[p.layer], b.off, buf); err != nil {
		return err
	}
	b.buf = buf
	return nil
}
