package spool_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/spool"
	"github.com/cofferdb/coffer/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	memory = 4 << 20   // what a firm spool takes
	chunk  = 256 << 10 // at once
)

func open(t testing.TB, max int64) *spool.Spool {
	t.Helper()
	s, err := spool.Open(t.TempDir(), max)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i+8 <= n; i += 8 {
		v := rnd.Uint64()
		for k := range 8 {
			b[i+k] = byte(v >> (8 * k))
		}
	}
	return b
}

func wantKind(t *testing.T, err error, k coffer.Kind) {
	t.Helper()
	if got := coffer.KindOf(err); got != k {
		t.Fatalf("kind %q, want %q: %v", got, k, err)
	}
}

// gate is a sink that stands still until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	buf  bytes.Buffer
	err  error
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	return g.buf.Write(p)
}

// meter counts what was read from it.
type meter struct {
	r  io.Reader
	mu sync.Mutex
	n  int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n += int64(n)
	return n, err
}

func (m *meter) taken() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n
}

func TestModes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 16<<20)
		data := noise(15<<20, 1)
		src := &meter{r: bytes.NewReader(data)}
		dst := newGate()
		done := make(chan error, 1)
		go func() { done <- s.Pipe(t.Context(), dst, src) }()

		synctest.Wait() // firm: it takes what memory holds, then pushes back
		if n := src.taken(); n > memory || n < memory/2 {
			t.Fatalf("a firm spool took %d bytes", n)
		}
		if got := s.Buffered(); got != src.taken() {
			t.Fatalf("%d buffered, %d taken", got, src.taken())
		}
		s.Roomy()
		synctest.Wait() // roomy: half of the file as well, then it pushes back
		if n := src.taken(); n > memory+8<<20 || n < memory/2+7<<20 {
			t.Fatalf("a roomy spool took %d bytes", n)
		}
		s.Elastic()
		synctest.Wait() // elastic: it takes everything
		if n := src.taken(); n != int64(len(data)) {
			t.Fatalf("an elastic spool took %d bytes of %d", n, len(data))
		}
		if got := s.Buffered(); got != int64(len(data)) {
			t.Fatalf("%d buffered", got)
		}
		s.Firm()
		close(dst.open)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst.buf.Bytes(), data) {
			t.Fatal("other bytes came out")
		}
		if s.Buffered() != 0 {
			t.Fatal("something is left")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFirmAgainPushesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 64<<20)
		pr, pw := io.Pipe()
		src := &meter{r: pr}
		dst := newGate()
		done := make(chan error, 1)
		go func() { done <- s.Pipe(t.Context(), dst, src) }()
		s.Elastic()
		if _, err := pw.Write(noise(10<<20, 2)); err != nil {
			t.Fatal(err)
		}
		s.Firm()
		wrote := make(chan error, 1)
		go func() {
			_, err := pw.Write(noise(10<<20, 3))
			wrote <- errors.Join(err, pw.Close())
		}()
		synctest.Wait()
		if n := src.taken(); n > 11<<20 {
			t.Fatalf("a spool that is firm again took %d bytes", n)
		}
		close(dst.open)
		if err := errors.Join(<-wrote, <-done); err != nil {
			t.Fatal(err)
		}
		if want := append(noise(10<<20, 2), noise(10<<20, 3)...); !bytes.Equal(dst.buf.Bytes(), want) {
			t.Fatal("other bytes came out")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A full spool must not wait for the sink that filled it: locks are held.
func TestFullFailsAtOnceWhileTheSinkStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 1<<20)
		s.Elastic()
		dst := newGate()
		err := s.Pipe(t.Context(), dst, bytes.NewReader(noise(20<<20, 1)))
		wantKind(t, err, coffer.KindNoSpace)
		if !errors.Is(err, spool.ErrFull) || !strings.Contains(coffer.HintOf(err), "spool size") {
			t.Fatalf("%v (%s)", err, coffer.HintOf(err))
		}
		if got := s.Buffered(); got != memory+1<<20+chunk && got != memory+1<<20 {
			t.Fatalf("it was full at %d bytes", got)
		}
		err = s.Pipe(t.Context(), dst, strings.NewReader("x"))
		if !errors.Is(err, spool.ErrFull) {
			t.Fatalf("a failed spool was used again: %v", err)
		}
		close(dst.open)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n := dst.buf.Len(); n > chunk {
			t.Fatalf("%d bytes were written after the failure", n)
		}
	})
}

func TestTheSinksErrorEndsItWhileTheSourceStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 1<<20)
		pr, pw := io.Pipe()
		dst := newGate()
		dst.err = coffer.E(coffer.KindUnavailable, "write a part", "away").WithHint("wait")
		close(dst.open)
		go pw.Write([]byte("something"))
		err := s.Pipe(t.Context(), dst, pr)
		wantKind(t, err, coffer.KindUnavailable)
		if !errors.Is(err, dst.err) || coffer.HintOf(err) != "wait" {
			t.Fatal(err)
		}
		pw.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTheSourcesErrorIsKept(t *testing.T) {
	t.Parallel()
	s := open(t, 1<<20)
	defer s.Close()
	cause := coffer.E(coffer.KindTool, "run the tool", "exit 1")
	pr, pw := io.Pipe()
	pw.CloseWithError(cause)
	err := s.Pipe(t.Context(), io.Discard, pr)
	wantKind(t, err, coffer.KindTool)
	if !errors.Is(err, cause) {
		t.Fatal(err)
	}
}

func TestAShortWriteIsAnError(t *testing.T) {
	t.Parallel()
	s := open(t, 1<<20)
	defer s.Close()
	if err := s.Pipe(t.Context(), shortWriter{}, strings.NewReader("xy")); !errors.Is(err, io.ErrShortWrite) {
		t.Fatal(err)
	}
}

type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return len(p) - 1, nil }

func TestTheContextEndsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 1<<20)
		pr, pw := io.Pipe()
		dst := newGate()
		go pw.Write([]byte("something"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := s.Pipe(ctx, dst, pr) // both ends stand still
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		pw.Close()
		close(dst.open)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Pipe(ctx, io.Discard, strings.NewReader("")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

func TestCloseEndsAPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 1<<20)
		dst := newGate()
		done := make(chan error, 1)
		go func() { done <- s.Pipe(t.Context(), dst, bytes.NewReader(noise(9<<20, 1))) }()
		synctest.Wait()
		wantKind(t, s.Pipe(t.Context(), io.Discard, strings.NewReader("")), coffer.KindBusy)
		go func() {
			time.Sleep(time.Second)
			close(dst.open)
		}()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantKind(t, <-done, coffer.KindCanceled)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantKind(t, s.Pipe(t.Context(), io.Discard, strings.NewReader("")), coffer.KindInternal)
	})
}

func TestItCanBeUsedAgain(t *testing.T) {
	t.Parallel()
	s := open(t, 8<<20)
	s.Elastic()
	for i := range uint64(3) {
		var out bytes.Buffer
		data := noise(7<<20, i)
		if err := s.Pipe(t.Context(), &out, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), data) {
			t.Fatal("other bytes came out")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsLeftInTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := spool.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
	_, err = spool.Open(dir+"/none", 1)
	wantKind(t, err, coffer.KindInvalid)
	_, err = spool.Open(dir, -1)
	wantKind(t, err, coffer.KindInvalid)
}

// A disk that is full before the spool is: the error names the folder.
func TestTheSpoolsDiskIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	testenv.SmallDisk(t, dir, "1m")
	s, err := spool.Open(dir, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	s.Elastic()
	dst := newGate()
	err = s.Pipe(t.Context(), dst, bytes.NewReader(noise(20<<20, 1)))
	close(dst.open)
	wantKind(t, err, coffer.KindNoSpace)
	if errors.Is(err, spool.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if !strings.Contains(err.Error(), dir) || !strings.Contains(coffer.HintOf(err), dir) {
		t.Fatalf("the folder is not named: %v (%s)", err, coffer.HintOf(err))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
