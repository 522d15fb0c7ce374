package codec

import (
	"io"
	"sync"

	"github.com/cofferdb/coffer"
)

// Writer compresses a stream into frames on several cores. Write and Close are
// for one goroutine at a time; Fail may be called from any, at any moment.
//
// A Writer must be closed on every path: until Close or Fail its workers wait.
type Writer struct {
	dst      io.Writer
	onFrame  func(Frame)
	encoders *Encoders

	free  chan *frameJob // empty ones; their number bounds the memory
	work  chan *frameJob // full ones, for any worker
	order chan *frameJob // the same ones, for the collector, in stream order
	stop  chan struct{}  // closed by the first failure
	tasks sync.WaitGroup

	use    sync.Mutex // held by Write and Close
	cur    *frameJob
	sent   bool // a frame has been sent on
	closed bool

	state sync.Mutex
	err   error // the first failure
}

// frameJob is one frame on its way; it is used again for later frames.
type frameJob struct {
	plain  []byte
	stored []byte
	err    error
	done   chan struct{} // one token when stored or err is set
}

// NewWriter cuts the plain stream into frames, compresses workers of them at a
// time (0: one for each core) and writes them to dst in order. onFrame, which
// may be nil, is told of each frame after it is written, in order, from one
// goroutine. Write blocks while dst is slow.
func NewWriter(dst io.Writer, c Compression, workers int, onFrame func(Frame)) (*Writer, error) {
	encoders, err := NewEncoders(c, workers)
	if err != nil {
		return nil, err
	}
	return encoders.NewWriter(dst, workers, onFrame), nil
}

// NewWriter is the package's, with encoders that are there already.
func (s *Encoders) NewWriter(dst io.Writer, workers int, onFrame func(Frame)) *Writer {
	workers = workerCount(workers)
	n := inFlight(workers)
	w := &Writer{
		dst: dst, onFrame: onFrame, encoders: s,
		free: make(chan *frameJob, n), work: make(chan *frameJob, n), order: make(chan *frameJob, n),
		stop: make(chan struct{}),
	}
	for range n {
		w.free <- &frameJob{done: make(chan struct{}, 1)}
	}
	for range workers {
		w.tasks.Go(w.compress)
	}
	w.tasks.Go(w.collect)
	return w
}

// Write takes p into frames. It fails with the first failure of dst, or of Fail.
func (w *Writer) Write(p []byte) (int, error) {
	w.use.Lock()
	defer w.use.Unlock()
	if w.closed {
		return 0, coffer.E(coffer.KindInternal, "write into the frames", "the writer is closed")
	}
	n := 0
	for n < len(p) {
		if err := w.take(); err != nil {
			return n, err
		}
		room := min(FrameSize-len(w.cur.plain), len(p)-n)
		w.cur.plain = append(grow(w.cur.plain, room), p[n:n+room]...)
		n += room
		if len(w.cur.plain) == FrameSize {
			w.send()
		}
	}
	return n, w.failure()
}

// take makes sure that a frame is being filled.
func (w *Writer) take() error {
	if err := w.failure(); err != nil || w.cur != nil {
		return err
	}
	select {
	case w.cur = <-w.free:
		w.cur.plain = w.cur.plain[:0]
		return nil
	case <-w.stop:
		return w.failure()
	}
}

// firstBuffer is what a frame's memory begins with: most indexes, and the streams of
// small databases, never fill a frame.
const firstBuffer = 16 << 10

// grow makes room for n more bytes of a frame, which has no more than FrameSize.
func grow(b []byte, n int) []byte {
	need := len(b) + n
	if need <= cap(b) {
		return b
	}
	return append(make([]byte, 0, min(FrameSize, max(firstBuffer, need, 4*cap(b)))), b...)
}

// send passes the frame on. Both channels have room for every job there is.
func (w *Writer) send() {
	w.order <- w.cur
	w.work <- w.cur
	w.cur, w.sent = nil, true
}

// Close sends the last frame (one at least, also for an empty stream), waits
// until dst has everything, and ends the goroutines. It does not close dst. It
// returns the first failure, and the same again when called again. After a
// failure it waits only for a write to dst that is under way.
func (w *Writer) Close() error {
	w.use.Lock()
	defer w.use.Unlock()
	if !w.closed {
		w.closed = true
		if w.cur == nil && !w.sent {
			_ = w.take() // its failure is returned below
		}
		if w.cur != nil {
			w.send()
		}
		close(w.work)
		close(w.order)
	}
	w.tasks.Wait()
	return w.failure()
}

// Fail makes every later Write and Close fail with err, and releases the
// goroutines: the stream is closed into the void. No write to dst begins after
// Fail has returned; one that is under way is waited for by Close. Only the
// first failure counts; Fail after a whole Close changes only what Close answers.
func (w *Writer) Fail(err error) {
	if err == nil {
		err = coffer.E(coffer.KindCanceled, "write the frames", "given up")
	}
	w.state.Lock()
	defer w.state.Unlock()
	if w.err == nil {
		w.err = err
		close(w.stop)
	}
}

func (w *Writer) failure() error {
	w.state.Lock()
	defer w.state.Unlock()
	return w.err
}

// compress is one worker.
func (w *Writer) compress() {
	for {
		select {
		case <-w.stop:
			return
		case j, ok := <-w.work:
			if !ok || !w.encode(j) {
				return
			}
		}
	}
}

// encode makes one frame with the next encoder that is idle.
func (w *Writer) encode(j *frameJob) bool {
	select {
	case <-w.stop:
		return false
	case e := <-w.encoders.idle:
		j.stored, j.err = e.encode(j.stored, j.plain)
		w.encoders.idle <- e
		j.done <- struct{}{}
		return true
	}
}

// collect writes the frames in order.
func (w *Writer) collect() {
	for {
		select {
		case <-w.stop:
			return
		case j, ok := <-w.order:
			if !ok {
				return
			}
			if !w.emit(j) {
				return
			}
			w.free <- j
		}
	}
}

// emit writes one frame when it is ready.
func (w *Writer) emit(j *frameJob) bool {
	select {
	case <-w.stop:
		return false
	case <-j.done:
	}
	if j.err != nil {
		w.Fail(j.err)
	}
	if w.failure() != nil {
		return false
	}
	n, err := w.dst.Write(j.stored)
	if err == nil && n < len(j.stored) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.Fail(coffer.Wrap("write a frame", err))
		return false
	}
	if w.onFrame != nil {
		w.onFrame(Frame{Plain: int64(len(j.plain)), Stored: int64(len(j.stored))})
	}
	return true
}

var _ io.WriteCloser = (*Writer)(nil)
