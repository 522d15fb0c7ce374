package spool

import (
	"errors"
	"os"
	"syscall"

	"github.com/cofferdb/coffer"
)

// ring is a queue of bytes in a file. One goroutine puts, one gets; at and n are
// guarded by the spool's mutex, the file's bytes by what at and n say about them.
type ring struct {
	file *os.File
	dir  string
	max  int64
	at   int64 // where the oldest byte is
	n    int64 // how many bytes there are
}

// room is how many bytes can be put.
func (r *ring) room() int64 { return r.max - r.n }

// write puts p behind the n bytes at at, without counting it yet.
func (r *ring) write(p []byte, at, n int64) error {
	return r.split(p, at+n, func(p []byte, off int64) error {
		_, err := r.file.WriteAt(p, off)
		if err != nil {
			return diskError("write to the spool", r.dir, err)
		}
		return nil
	})
}

// read gets the oldest len(p) bytes, without releasing them yet.
func (r *ring) read(p []byte, at int64) error {
	return r.split(p, at, func(p []byte, off int64) error {
		if _, err := r.file.ReadAt(p, off); err != nil {
			return coffer.Wrap("read from the spool", err)
		}
		return nil
	})
}

// split does what is to be done with p at off, in two pieces where the ring turns.
func (r *ring) split(p []byte, off int64, do func([]byte, int64) error) error {
	for len(p) > 0 {
		off %= r.max
		k := min(int64(len(p)), r.max-off)
		if err := do(p[:k], off); err != nil {
			return err
		}
		p, off = p[k:], off+k
	}
	return nil
}

// drop releases the oldest k bytes.
func (r *ring) drop(k int64) {
	r.n -= k
	r.at = (r.at + k) % r.max
}

// rewind makes an empty ring begin at the start of the file again, so that small
// tails use the same blocks of the disk. Only the putter may call it, between puts.
func (r *ring) rewind() {
	if r.n == 0 {
		r.at = 0
	}
}

// diskError gives a full disk its kind, and names the folder.
func diskError(op, dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return coffer.E(coffer.KindNoSpace, op, "the spool's folder %s: %w", dir, err).
			WithHint("make room in %s, or choose another spool folder", dir)
	}
	return coffer.Wrap(op, err)
}
