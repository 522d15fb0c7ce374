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
		if n == pieceSize { // as it lies
			if err := w.put(opt, b[:n]); err != nil {
				return err
			}
			b = b[n:]
			continue
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

// turn goes on with a part of a target.
func (w *writer) turn(opt Options, t *target) error {
	if w.o == t.o {
		return nil
	}
	if err := w.flush(opt); err != nil {
		return err
	}
	f, err := t.open(opt)
	if err != nil {
		return err
	}
	w.begin(t.o, f)
	return nil
}

func (w *writer) begin(o *output, f File) {
	if w.buf == nil {
		w.buf = make([]byte, 0, pieceSize)
	}
	w.o, w.file, w.at, w.buf = o, f, 0, w.buf[:0]
}

// forget lets go of a target that others may still write, and of what was not written.
func (w *writer) forget() { w.o, w.file, w.buf = nil, nil, w.buf[:0] }

func (w *writer) open(opt Options, o *output) error {
	if w.o == o {
		return nil
	}
	f, err := opt.Create(o.name)
	if err != nil {
		return err
	}
	w.begin(o, f)
	return nil
}

// flush writes what was gathered.
func (w *writer) flush(opt Options) error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.put(opt, w.buf)
	w.buf = w.buf[:0]
	return err
}

// put checks the pages of the next bytes and writes them.
func (w *writer) put(opt Options, b []byte) error {
	if ps := int(w.o.pageSize); ps > 0 {
		if len(b)%ps != 0 {
			return coffer.E(coffer.KindCorrupt, "file "+w.o.name, "page %d is cut", (w.at+int64(len(b)))/int64(ps))
		}
		for i := 0; i < len(b); i += ps {
			if err := w.o.checkPage(b[i:i+ps], (w.at+int64(i))/int64(ps), w.delta[i/ps]); err != nil {
				return err
			}
		}
	}
	if _, err := w.file.WriteAt(b, w.at); err != nil {
		return err
	}
	if opt.Progress != nil {
		opt.Progress(int64(len(b)))
	}
	w.at += int64(len(b))
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

// readRange fills buf from off. What buf has room for behind its end the reader may
// use, and a decoder does.
func readRange(ctx context.Context, l engine.Layer, off int64, buf []byte) error {
	r, err := l.Range(ctx, off, int64(len(buf)))
	if err != nil {
		return err
	}
	for at := 0; at < len(buf) && err == nil; {
		var n int
		n, err = r.Read(buf[at:cap(buf)])
		at += n
		switch {
		case at > len(buf):
			err = coffer.E(coffer.KindInternal, "", "the range has more than %d bytes", len(buf))
		case err == io.EOF && at == len(buf):
			err = nil
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		}
	}
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return err
}
