package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cofferdb/coffer/internal/engine"
)

// stream writes the whole stream, with the rows from `from` on.
func (f *Fake) stream(w *fakeWriter, s fakeState, from int, size int64) error {
	w.phase = "copy"
	if err := w.line(fakeLine{From: &from}); err != nil {
		return err
	}
	for _, row := range s.Rows[min(from, len(s.Rows)):] {
		if err := w.line(fakeLine{Row: &row}); err != nil {
			return err
		}
	}
	noise := rand.New(rand.NewPCG(uint64(len(s.Rows)), s.LSN))
	for w.plain+int64(w.buf.Len()) < size {
		if err := w.line(fakeLine{Pad: fmt.Sprintf("%0128x", noise.Uint64())}); err != nil {
			return err
		}
	}
	w.phase = "lock"
	if err := w.flush(); err != nil {
		return err
	}
	if err := pause(w.ctx, f.Hold); err != nil {
		return err
	}
	w.phase = "tail"
	all := len(s.Rows)
	if err := w.line(fakeLine{End: &all}); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.out.Entry(engine.Entry{
		Name: fakeFile, Kind: engine.KindFile, Size: w.plain, Chunks: []engine.Chunk{{Len: w.plain}},
	})
}

// fakeWriter gathers lines and writes them 64 KiB at a time.
type fakeWriter struct {
	ctx   context.Context // of the one backup that this writer is for
	f     *Fake
	out   engine.Sink
	opt   engine.Options
	phase string
	buf   bytes.Buffer
	plain int64
	total int64
}

func (w *fakeWriter) line(l fakeLine) error {
	if err := json.NewEncoder(&w.buf).Encode(l); err != nil {
		return err
	}
	if w.buf.Len() < 64<<10 {
		return nil
	}
	return w.flush()
}

func (w *fakeWriter) flush() error {
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	if w.f.At != nil {
		if err := w.f.At(w.ctx, w.plain); err != nil {
			return err
		}
	}
	if w.f.FailErr != nil && w.plain+int64(w.buf.Len()) > w.f.FailAt {
		return w.f.FailErr
	}
	n, err := w.out.Write(w.buf.Bytes())
	w.plain += int64(n)
	w.buf.Reset()
	if err != nil {
		return err
	}
	if w.opt.Progress != nil {
		w.opt.Progress(engine.Progress{Phase: w.phase, Plain: w.plain, Total: w.total})
	}
	if w.f.Rate > 0 {
		return pause(w.ctx, time.Duration(n)*time.Second/time.Duration(w.f.Rate))
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
