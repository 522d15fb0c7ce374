// Package spool is an elastic, bounded buffer between a database tool's output
// and a sink that may be slow.
//
// While a tool only copies files, a slow store should slow it down: the spool is
// firm, holds a few MiB of memory, and pushes back. From the moment the tool
// holds locks, a stalled store must not stall a database: the spool is elastic,
// the tool's output is taken as fast as it comes, and what the sink has not taken
// waits in an unlinked file of bounded size. When that is full, the copy fails at
// once, so that the tool can be ended and the locks with it. Between the two, while
// some wait whom somebody else's clock protects, it is roomy: half of the file is
// used, then it pushes back, and the other half stays for what comes:
//
//	tool ─▶ Pipe ─▶ memory ─▶ sink           firm
//	tool ─▶ Pipe ─▶ memory ─▶ file ─▶ sink   roomy, elastic
//
// The order of bytes never changes. The file is used as a ring, so its size bounds
// what waits and not what passes.
package spool

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/cofferdb/coffer"
)

// DefaultSize is the file's size in bytes when none is given.
const DefaultSize = 256 << 20

const (
	chunkSize = 256 << 10 // a read of the tool's pipe, which holds 1 MiB: fewer turns than its pages
	chunks    = 16        // of memory: 4 MiB
)

// ErrFull is inside the error of a Pipe whose file had no room left.
var ErrFull = errors.New("the spool is full")

// Spool is the buffer. Its methods may be called from any goroutine.
type Spool struct {
	ring ring

	mu      sync.Mutex
	changed *sync.Cond // whenever anything below, or in a pipe, changes
	mode    mode
	cur     *pipe // the one that runs, or the one that failed
	closed  bool
	tasks   sync.WaitGroup
}

// Open makes a spool of at most max bytes (0: [DefaultSize]) in dir ("": the
// system's temporary folder). Its file has mode 0600 and no name, so nothing is
// left whatever happens.
func Open(dir string, max int64) (*Spool, error) {
	const op = "open the spool"
	if max == 0 {
		max = DefaultSize
	}
	if max < 0 {
		return nil, coffer.E(coffer.KindInvalid, op, "a size of %d bytes", max)
	}
	if dir == "" {
		dir = os.TempDir()
	}
	f, err := os.CreateTemp(dir, "coffer-spool-*")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, coffer.E(coffer.KindInvalid, op, "%w", err).WithHint("make the spool's folder, or choose another")
	}
	if err != nil {
		return nil, diskError(op, dir, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, diskError(op, dir, errors.Join(err, f.Close()))
	}
	s := &Spool{ring: ring{file: f, dir: dir, max: max}}
	s.changed = sync.NewCond(&s.mu)
	return s, nil
}

// Elastic makes the spool take all that comes, from now on.
func (s *Spool) Elastic() { s.set(elastic) }

// Roomy makes the spool take what comes while half of the file has room, and push
// back after that.
func (s *Spool) Roomy() { s.set(roomy) }

// Firm makes the spool push back again: no more is taken before the file is
// empty and memory has room.
func (s *Spool) Firm() { s.set(firm) }

// mode is how the spool takes what comes.
type mode int

const (
	firm mode = iota
	roomy
	elastic
)

func (s *Spool) set(m mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
	s.changed.Broadcast()
}

// Buffered is how many bytes were taken from the source that the sink has not
// accepted yet.
func (s *Spool) Buffered() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == nil {
		return 0
	}
	return s.cur.held + s.ring.n
}

// Close ends a Pipe that runs, and releases the file. It waits for a Read of the
// source and a Write to the sink that are under way: the source is ended and the
// sink made to fail first. It can be called again.
func (s *Spool) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	if s.cur != nil {
		s.cur.fail(coffer.E(coffer.KindCanceled, stepCopy, "the spool was closed"))
	}
	s.mu.Unlock()
	s.tasks.Wait()
	if was {
		return nil
	}
	return coffer.Wrap("close the spool", s.ring.file.Close())
}
