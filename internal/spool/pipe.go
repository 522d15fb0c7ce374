package spool

import (
	"context"
	"io"
	"sync"

	"github.com/cofferdb/coffer"
)

const stepCopy = "copy the tool's stream"

// pipe is one run of Pipe. All fields are guarded by the spool's mutex.
type pipe struct {
	s     *Spool
	queue [][]byte // chunks in memory, all older than the ring's bytes
	spare [][]byte // empty chunks
	made  int      // chunks in existence
	held  int64    // bytes in queue, and in the sink's hands
	eof   bool     // the source has ended
	done  bool     // the sink has everything
	err   error    // the first failure
}

// Pipe copies src to dst until EOF, and returns nil when dst has accepted
// everything. Any failure of src, dst, ctx or the spool ends it with the first
// cause; a full file is [ErrFull], KindNoSpace.
//
// After a failure Pipe returns at once, also when src or dst stands still: no
// Read or Write begins any more, but one of each may be under way until the
// caller ends src and makes dst fail; [Spool.Close] waits for them. Nothing can be
// piped after a failure; after a success the spool can be used again. One Pipe
// runs at a time.
func (s *Spool) Pipe(ctx context.Context, dst io.Writer, src io.Reader) error {
	if ctx.Err() != nil {
		return coffer.Wrap(stepCopy, context.Cause(ctx))
	}
	p, err := s.begin()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.fail(coffer.Wrap(stepCopy, context.Cause(ctx)))
	})
	defer stop()
	var both sync.WaitGroup
	for _, task := range []func(){func() { p.feed(src) }, func() { p.drain(dst) }} {
		both.Add(1)
		go func() {
			defer s.tasks.Done()
			defer both.Done()
			task()
		}()
	}
	if err := p.wait(); err != nil {
		return err
	}
	both.Wait()
	return s.end(p)
}

// begin makes the one pipe that may run, and counts its two tasks.
func (s *Spool) begin() (*pipe, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, coffer.E(coffer.KindInternal, stepCopy, "the spool is closed")
	case s.cur != nil && s.cur.err != nil:
		return nil, coffer.E(coffer.KindInternal, stepCopy, "the spool failed before: %w", s.cur.err)
	case s.cur != nil:
		return nil, coffer.E(coffer.KindBusy, stepCopy, "the spool is in use")
	}
	s.cur = &pipe{s: s}
	s.tasks.Add(2)
	return s.cur, nil
}

// end makes the spool ready for the next pipe, and gives the disk its room back.
func (s *Spool) end(p *pipe) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cur = nil
	if s.closed {
		return nil // the bytes are there; the file is Close's
	}
	return coffer.Wrap("empty the spool", s.ring.file.Truncate(0))
}

// wait is until the sink has everything, or the first failure.
func (p *pipe) wait() error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for p.err == nil && !p.done {
		p.s.changed.Wait()
	}
	return p.err
}

// fail keeps the first failure. The mutex is held.
func (p *pipe) fail(err error) {
	if p.err == nil && !p.done {
		p.err = err
		p.s.changed.Broadcast()
	}
}

// feed reads src into memory, or into the file.
func (p *pipe) feed(src io.Reader) {
	scratch := make([]byte, chunkSize)
	for {
		chunk, ok := p.place()
		if !ok {
			return
		}
		into := chunk
		if chunk == nil {
			into = scratch
		}
		n, err := src.Read(into)
		if chunk != nil {
			p.push(chunk, n)
		} else if n > 0 && !p.spill(scratch[:n]) {
			return
		}
		if err != nil {
			p.finish(err)
			return
		}
	}
}

// place waits until there is a place for more, and gives the chunk of memory to
// read into: nil stands for the file.
func (p *pipe) place() (chunk []byte, ok bool) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for p.err == nil {
		if p.s.ring.n == 0 {
			if k := len(p.spare); k > 0 {
				chunk, p.spare = p.spare[k-1], p.spare[:k-1]
				return chunk, true
			}
			if p.made < chunks {
				p.made++
				return make([]byte, chunkSize), true
			}
		}
		if m := p.s.mode; m == elastic || m == roomy && p.s.ring.n+chunkSize <= p.s.ring.max/2 {
			return nil, true
		}
		p.s.changed.Wait()
	}
	return nil, false
}

// push puts a chunk of n bytes behind the others in memory. The ring is empty:
// only feed fills it.
func (p *pipe) push(chunk []byte, n int) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if n == 0 {
		p.spare = append(p.spare, chunk)
		return
	}
	p.queue = append(p.queue, chunk[:n])
	p.held += int64(n)
	p.s.changed.Broadcast()
}

// spill puts b into the file.
func (p *pipe) spill(b []byte) bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.err != nil {
		return false
	}
	r := &p.s.ring
	if r.room() < int64(len(b)) {
		p.fail(coffer.E(coffer.KindNoSpace, stepCopy, "%w: the sink has not taken %d bytes", ErrFull, p.held+r.n).
			WithHint("make the spool size larger (now %d bytes), or the store faster: the database's locks cannot wait for it", r.max))
		return false
	}
	r.rewind()
	at, n := r.at, r.n
	p.s.mu.Unlock()
	// Bytes that drain releases meanwhile move at and n together: the place stays.
	err := r.write(b, at, n)
	p.s.mu.Lock()
	if err != nil {
		p.fail(err)
		return false
	}
	r.n += int64(len(b))
	p.s.changed.Broadcast()
	return true
}

// finish notes the source's end.
func (p *pipe) finish(err error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if err != io.EOF {
		p.fail(coffer.Wrap("read the tool's stream", err))
		return
	}
	p.eof = true
	p.s.changed.Broadcast()
}

// drain writes what there is to dst, oldest first.
func (p *pipe) drain(dst io.Writer) {
	scratch := make([]byte, chunkSize)
	for {
		b, chunk, ok := p.take(scratch)
		if !ok {
			return
		}
		n, err := dst.Write(b)
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		if !p.took(len(b), chunk, err) {
			return
		}
	}
}

// take waits for the oldest bytes. chunk is the memory they are in, or nil when
// they are in scratch.
func (p *pipe) take(scratch []byte) (b, chunk []byte, ok bool) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	r := &p.s.ring
	for p.err == nil {
		switch {
		case len(p.queue) > 0:
			b = p.queue[0]
			p.queue = p.queue[1:]
			return b, b[:chunkSize], true
		case r.n > 0:
			b = scratch[:min(r.n, chunkSize)]
			at := r.at
			p.s.mu.Unlock()
			err := r.read(b, at)
			p.s.mu.Lock()
			if err != nil {
				p.fail(err)
				return nil, nil, false
			}
			r.drop(int64(len(b)))
			p.held += int64(len(b))
			p.s.changed.Broadcast()
			return b, nil, p.err == nil
		case p.eof:
			p.done = true
			p.s.changed.Broadcast()
			return nil, nil, false
		}
		p.s.changed.Wait()
	}
	return nil, nil, false
}

// took notes that dst has n bytes more, or has failed.
func (p *pipe) took(n int, chunk []byte, err error) bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if err != nil {
		p.fail(coffer.Wrap("write to the sink", err))
		return false
	}
	p.held -= int64(n)
	if chunk != nil {
		p.spare = append(p.spare, chunk)
	}
	p.s.changed.Broadcast()
	return p.err == nil
}
