package codec

import (
	"bufio"
	"io"
	"iter"
	"sync"

	"github.com/cofferdb/coffer"
)

// NewReader decodes concatenated frames on several goroutines (workers; 0: one
// for each core) and gives their plain bytes in order. frames is the frame
// table; with nil, zstd's frames are found by their headers, and gzip's members
// are read one after another on the caller's goroutine.
//
// What is cut, longer than it should be, or fails its checksum ends the stream
// with KindCorrupt, after the bytes of the frames before it; errors of src keep
// their kind. No frame inflates beyond what the table says, or [MaxFrame]. A
// single gzip member may be of any length without a table, since it is never held
// in memory: its reader's caller bounds what it takes.
//
// io.EOF says that the stream ended at a frame's edge. Only who knows the plain
// length knows that it is whole.
//
// Close releases the goroutines; it does not close src. It waits for a Read of
// src that is under way, so a src that may block for ever is ended first.
func NewReader(src io.Reader, c Compression, workers int, frames iter.Seq[Frame]) (io.ReadCloser, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c == Gzip && frames == nil {
		return &gzipStream{src: src}, nil
	}
	decoders := make([]*Decoder, workerCount(workers))
	for i := range decoders {
		decoders[i] = &Decoder{c: c}
	}
	n := inFlight(len(decoders))
	r := &reader{
		free: make(chan *readJob, n), work: make(chan *readJob, n), order: make(chan *readJob, n),
		stop: make(chan struct{}),
	}
	for range n {
		r.free <- &readJob{done: make(chan struct{}, 1)}
	}
	for _, d := range decoders {
		r.tasks.Go(func() { r.decode(d) })
	}
	r.tasks.Go(func() { r.feed(bufio.NewReaderSize(markedReader{src}, readAhead), frames) })
	return r, nil
}

// reader is the pipeline from a source of frames to Read.
type reader struct {
	free  chan *readJob // empty ones; their number bounds the memory
	work  chan *readJob // read ones, for any worker
	order chan *readJob // the same ones, for Read, in stream order
	stop  chan struct{} // closed by Close and by the end of the stream
	once  sync.Once
	tasks sync.WaitGroup

	cur  *readJob // what Read gives
	rest []byte   // of cur.plain
	err  error    // why there is no more
}

// readJob is one frame on its way; it is used again for later frames.
type readJob struct {
	at     int64 // number of the frame
	stored []byte
	limit  int64 // plain bytes, -1 for unknown
	plain  []byte
	err    error
	done   chan struct{} // one token when plain or err is set
}

// feed reads the frames from the source, up to the first that cannot be read.
func (r *reader) feed(src io.Reader, frames iter.Seq[Frame]) {
	var from frameSource = &walker{src: src, max: maxStored}
	if frames != nil {
		t, stop := newTable(src, frames)
		defer stop()
		from = t
	}
	for at := int64(0); ; at++ {
		var j *readJob
		select {
		case <-r.stop:
			return
		case j = <-r.free:
		}
		j.at = at
		buf := j.stored
		j.stored, j.limit, j.err = from.next(buf)
		if j.err != nil {
			j.done <- struct{}{}
			r.order <- j
			return
		}
		r.order <- j
		r.work <- j
	}
}

// decode is one worker.
func (r *reader) decode(d *Decoder) {
	defer d.Close()
	for {
		select {
		case <-r.stop:
			return
		case j := <-r.work:
			j.plain, j.err = d.Decode(j.plain, j.stored, j.limit)
			j.done <- struct{}{}
		}
	}
}

// Read gives plain bytes in order.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// WriteTo gives the frames to dst without another copy.
func (r *reader) WriteTo(dst io.Writer) (int64, error) {
	var total int64
	for {
		switch err := r.fill(); {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		}
		n, err := dst.Write(r.rest)
		total += int64(n)
		r.rest = r.rest[n:]
		if err != nil {
			return total, err
		}
		if len(r.rest) > 0 {
			return total, io.ErrShortWrite
		}
	}
}

// fill waits for the next frame that has bytes, if none is at hand.
func (r *reader) fill() error {
	for r.err == nil && len(r.rest) == 0 {
		r.release()
		select {
		case <-r.stop:
			r.err = coffer.E(coffer.KindInternal, "read the frames", "the reader is closed")
			return r.err
		case r.cur = <-r.order:
		}
		select {
		case <-r.stop:
			continue
		case <-r.cur.done:
		}
		r.rest = r.cur.plain
		if err := r.cur.err; err != nil {
			r.fail(err)
		}
	}
	return r.err
}

// fail ends the stream: everything before it has been given.
func (r *reader) fail(err error) {
	r.rest = nil
	if err == io.EOF {
		r.err = io.EOF
	} else {
		r.err = coffer.E(coffer.KindOf(err), "decode the stream", "frame %d: %w", r.cur.at, err)
	}
	r.once.Do(func() { close(r.stop) })
}

// release gives the frame that was read back to the feeder.
func (r *reader) release() {
	if r.cur == nil {
		return
	}
	j := r.cur
	if cap(j.plain) > keepBuffer {
		j.plain = nil
	}
	if cap(j.stored) > keepBuffer {
		j.stored = nil
	}
	r.cur = nil
	r.free <- j
}

// Close ends the goroutines and waits for them.
func (r *reader) Close() error {
	r.once.Do(func() { close(r.stop) })
	r.tasks.Wait()
	return nil
}

var (
	_ io.ReadCloser = (*reader)(nil)
	_ io.WriterTo   = (*reader)(nil)
)
