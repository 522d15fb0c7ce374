package layers

import (
	"context"
	"io"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// pieceSize is what is written at once; more at a time costs the kernel more CPU
// per byte.
const pieceSize = 128 << 10

// writer gathers an output's bytes into writes of one size, and checks the pages.
type writer struct {
	o     *output
	file  File
	at    int64 // of buf in the output
	buf   []byte
	delta [pieceSize / 1024]bool // by page of buf: it is of a delta
}

// add takes the next bytes of an output; what is left out stays a hole.
func (w *writer) add(opt Options, o *output, at int64, b []byte, delta bool) error {
	if err := w.open(opt, o); err != nil {
		return err
	}
	if at != w.at+int64(len(w.buf)) {
		if err := w.flush(opt); err != nil {
			return err
		}
		w.at = at
	}
	for len(b) > 0 {
		n := min(len(b), pieceSize-len(w.buf))
		if ps := int(o.pageSize); ps > 0 {
			for i := len(w.buf) / ps; i*ps < len(w.buf)+n; i++ {
				w.delta[i] = delta
			}
		}
		w.buf = append(w.buf, b[:n]...)
		b = b[n:]
		if len(w.buf) == pieceSize {
			if err := w.flush(opt); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) open(opt Options, o *output) error {
	if w.o == o {
		return nil
	}
	f, err := opt.Create(o.name)
	if err != nil {
		return err
	}
	if w.buf == nil {
		w.buf = make([]byte, 0, pieceSize)
	}
	w.o, w.file, w.at, w.buf = o, f, 0, w.buf[:0]
	return nil
}

// flush writes what was gathered.
func (w *writer) flush(opt Options) error {
	if len(w.buf) == 0 {
		return nil
	}
	if ps := int(w.o.pageSize); ps > 0 {
		if len(w.buf)%ps != 0 {
			return coffer.E(coffer.KindCorrupt, "file "+w.o.name, "page %d is cut", (w.at+int64(len(w.buf)))/int64(ps))
		}
		for i := 0; i < len(w.buf); i += ps {
			if err := w.o.checkPage(w.buf[i:i+ps], (w.at+int64(i))/int64(ps), w.delta[i/ps]); err != nil {
				return err
			}
		}
	}
	if _, err := w.file.WriteAt(w.buf, w.at); err != nil {
		return err
	}
	if opt.Progress != nil {
		opt.Progress(int64(len(w.buf)))
	}
	w.at += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// finish gives an output its length; one without any bytes is made here.
func (w *writer) finish(opt Options, o *output) error {
	err := w.open(opt, o)
	if err != nil {
		return err
	}
	if err = w.flush(opt); err == nil {
		err = w.file.Truncate(o.size)
	}
	if cerr := w.file.Close(); err == nil {
		err = cerr
	}
	w.o, w.file = nil, nil
	return err
}

// close lets go of an output that was not finished.
func (w *writer) close() {
	if w.file != nil {
		_ = w.file.Close() // the restore has failed already
		w.o, w.file = nil, nil
	}
}

// readRange fills buf from off.
func readRange(ctx context.Context, l engine.Layer, off int64, buf []byte) error {
	r, err := l.Range(ctx, off, int64(len(buf)))
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, buf)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return err
}
