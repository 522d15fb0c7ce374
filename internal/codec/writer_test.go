package codec_test

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// faulty fails its n-th write and counts all.
type faulty struct {
	n, calls int
	err      error
}

func (f *faulty) Write(p []byte) (int, error) {
	f.calls++
	if f.calls >= f.n {
		return 0, f.err
	}
	return len(p), nil
}

func TestTheSinksErrorIsTheFirstCause(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 4; n++ {
		dst := &faulty{n: n, err: coffer.E(coffer.KindNoSpace, "write a part", "full").WithHint("make room")}
		told := 0
		w, err := codec.NewWriter(dst, codec.Zstd, 2, func(codec.Frame) { told++ })
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(w, io.LimitReader(endless{}, 30*frame))
		if n < 3 && err == nil {
			t.Fatal("thirty frames were written behind a failure")
		}
		err = w.Close()
		wantKind(t, err, coffer.KindNoSpace)
		if coffer.HintOf(err) != "make room" {
			t.Fatalf("the hint is lost: %v", err)
		}
		if again := w.Close(); !errors.Is(again, err) {
			t.Fatalf("a second Close says %v", again)
		}
		if dst.calls != n || told != n-1 {
			t.Fatalf("%d writes and %d frames told, want %d and %d", dst.calls, told, n, n-1)
		}
	}
}

// endless is bytes that never end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestAShortWriteIsAnError(t *testing.T) {
	t.Parallel()
	w, err := codec.NewWriter(shortWriter{}, codec.Gzip, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("x"))
	if err := w.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Fatal(err)
	}
}

type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return len(p) - 1, nil }

func TestFailClosesIntoTheVoid(t *testing.T) {
	t.Parallel()
	for _, c := range methods {
		var dst bytes.Buffer
		w, err := codec.NewWriter(&dst, c, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, frame/2)); err != nil {
			t.Fatal(err)
		}
		cause := coffer.E(coffer.KindTool, "run the tool", "exit 1")
		w.Fail(cause)
		w.Fail(errors.New("a later one"))
		if _, err := w.Write([]byte("more")); !errors.Is(err, cause) {
			t.Fatalf("write: %v", err)
		}
		if err := w.Close(); !errors.Is(err, cause) {
			t.Fatalf("close: %v", err)
		}
		if dst.Len() != 0 {
			t.Fatalf("%d bytes reached the sink", dst.Len())
		}
	}
}

func TestFailWithoutCloseReleasesTheGoroutines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // fails when a goroutine is left
		w, err := codec.NewWriter(io.Discard, codec.Zstd, 4, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, 3*frame))
		w.Fail(nil)
	})
}

func TestWriteAfterClose(t *testing.T) {
	t.Parallel()
	w, err := codec.NewWriter(io.Discard, codec.Zstd, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Fatal("written after Close")
	}
}

// gate is a sink that takes nothing until it is opened.
type gate struct {
	open  chan struct{}
	calls atomic.Int64
}

func (g *gate) Write(p []byte) (int, error) {
	g.calls.Add(1)
	<-g.open
	return len(p), nil
}

func TestASlowSinkPushesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		w, err := codec.NewWriter(g, codec.Zstd, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		var taken atomic.Int64
		done := make(chan error, 1)
		go func() {
			for range 40 {
				n, err := w.Write(make([]byte, frame))
				if err != nil {
					done <- err
					return
				}
				taken.Add(int64(n))
			}
			done <- w.Close()
		}()
		synctest.Wait()
		if got := taken.Load() / frame; got > 8 {
			t.Fatalf("%d frames were taken while the sink stood still", got)
		}
		close(g.open)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if taken.Load() != 40*frame {
			t.Fatal("not everything was taken")
		}
	})
}

func TestFailFreesABlockedWriteAndNothingMoreIsWritten(t *testing.T) {
	t.Parallel()
	for range 20 { // a write too many would come by chance
		synctest.Test(t, func(t *testing.T) {
			g := &gate{open: make(chan struct{})}
			w, err := codec.NewWriter(g, codec.Zstd, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := w.Write(make([]byte, 20*frame))
				done <- err
			}()
			synctest.Wait()
			cause := errors.New("cancelled")
			w.Fail(cause)
			if err := <-done; !errors.Is(err, cause) {
				t.Fatal(err)
			}
			close(g.open) // the write under way ends; no other begins
			if err := w.Close(); !errors.Is(err, cause) {
				t.Fatal(err)
			}
			if n := g.calls.Load(); n != 1 {
				t.Fatalf("%d writes", n)
			}
		})
	}
}
