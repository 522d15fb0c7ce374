package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/cofferdb/coffer/internal/spool"
)

// step is one act of a random schedule.
type step struct {
	act byte // 'w' write to the source, 'r' let the sink take, 'e', 'f' modes
	n   int
}

// steadySink takes as many bytes as it is allowed to.
type steadySink struct {
	mu      sync.Mutex
	changed *sync.Cond
	allowed int
	free    bool
	buf     bytes.Buffer
}

func (k *steadySink) allow(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.allowed += n
	k.changed.Broadcast()
}

func (k *steadySink) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.free = true
	k.changed.Broadcast()
}

func (k *steadySink) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for !k.free && k.allowed < len(p) {
		k.changed.Wait()
	}
	k.allowed -= len(p)
	return k.buf.Write(p)
}

func TestAnyScheduleGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all := noise(64<<20, 7)
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{
				act: rapid.SampledFrom([]byte("wwwrref")).Draw(rt, "act"),
				n:   rapid.SampledFrom([]int{1, 100, 64 << 10, 70_001, 1 << 20, 3 << 20}).Draw(rt, "n"),
			}
		}), 1, 20).Draw(rt, "steps")
		size := rapid.SampledFrom([]int64{1 << 10, 100_003, 1 << 20, 5_000_011, 64 << 20}).Draw(rt, "size")
		var err error
		synctest.Test(t, func(t *testing.T) { err = play(t.Context(), dir, size, steps, all) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// play runs a schedule and wants the same bytes, or ErrFull and a true beginning.
func play(ctx context.Context, dir string, size int64, steps []step, all []byte) error {
	s, err := spool.Open(dir, size)
	if err != nil {
		return err
	}
	pr, pw := io.Pipe()
	dst := &steadySink{}
	dst.changed = sync.NewCond(&dst.mu)
	done := make(chan error, 1)
	go func() {
		err := s.Pipe(ctx, dst, pr)
		pr.CloseWithError(io.ErrClosedPipe)
		done <- err
	}()
	writes := make(chan int, len(steps))
	go func() { // the tool: it writes in order, and waits when it is pushed back
		at := 0
		for n := range writes {
			k, _ := pw.Write(all[at : at+n])
			at += k
		}
		pw.Close()
	}()
	total := 0
	var overrun error
	for _, st := range steps {
		switch st.act {
		case 'w':
			writes <- st.n
			total += st.n
		case 'r':
			dst.allow(st.n)
		case 'e':
			s.Elastic()
		case 'f':
			s.Firm()
		}
		synctest.Wait()
		if got := s.Buffered(); got > memory+size+chunk {
			overrun = fmt.Errorf("%d bytes are buffered", got)
		}
	}
	close(writes)
	dst.release()
	err = <-done
	if cerr := s.Close(); cerr != nil || overrun != nil {
		return errors.Join(cerr, overrun)
	}
	if err == nil && dst.buf.Len() != total {
		return fmt.Errorf("%d bytes came out of %d", dst.buf.Len(), total)
	}
	if err != nil && !errors.Is(err, spool.ErrFull) {
		return err
	}
	if !bytes.Equal(dst.buf.Bytes(), all[:dst.buf.Len()]) {
		return errors.New("other bytes came out")
	}
	return nil
}
