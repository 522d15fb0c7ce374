package remote_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is one that ends with its test.
func client(t *testing.T, o remote.Options) *http.Client {
	t.Helper()
	c, err := remote.Client(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// get reads a whole answer.
func get(t *testing.T, c *http.Client, url string, body io.Reader) ([]byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// TestSilentPeer: a server that takes the request and never answers, one that
// stops in mid-answer, and one that gives a byte now and then. Each is given up.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	const patience = 300 * time.Millisecond
	gone := make(chan struct{})
	t.Cleanup(func() { close(gone) })
	for name, h := range map[string]http.HandlerFunc{
		"no answer": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			hold(r, gone)
		},
		"half an answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(make([]byte, 50))
			w.(http.Flusher).Flush()
			hold(r, gone)
		},
		"a trickle": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("."))
				w.(http.Flusher).Flush()
				select {
				case <-time.After(patience / 10):
				case <-gone:
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t, h)
			start := time.Now()
			_, err := get(t, client(t, remote.Options{Patience: patience}), s.URL, strings.NewReader("x"))
			if !coffer.IsKind(err, coffer.KindUnavailable) || coffer.HintOf(err) == "" {
				t.Errorf("got %v (%s)", err, coffer.KindOf(err))
			}
			if d := time.Since(start); d > 20*patience {
				t.Errorf("given up after %s", d)
			}
		})
	}
}

func hold(r *http.Request, gone chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-gone:
	}
}

// pausing is a body whose own source is slow.
type pausing struct {
	left  int
	pause time.Duration
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(p.pause)
	p.left--
	b[0] = 'x'
	return 1, nil
}

// TestOwnPauses: neither a slow source of ours nor a slow consumer of ours is held
// against the server.
func TestOwnPauses(t *testing.T) {
	t.Parallel()
	const patience = 800 * time.Millisecond
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(make([]byte, 100))
	})
	c := client(t, remote.Options{Patience: patience})
	if _, err := get(t, c, s.URL, &pausing{left: 6, pause: patience / 4}); err != nil {
		t.Errorf("a slow source: %v", err)
	}
	resp, err := c.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 10); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * patience)
	if n, err := io.Copy(io.Discard, resp.Body); n != 90 || err != nil {
		t.Errorf("a slow consumer got %d more bytes, %v", n, err)
	}
}

// shared is a body that notes whether it is read after its request ended.
type shared struct {
	mu    sync.Mutex
	ended bool
	late  bool
}

func (s *shared) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = s.late || s.ended
	return len(b), nil
}

// TestBodyIsLeftAlone: when a request has failed, its bytes are the caller's again.
func TestBodyIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := server(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	c := client(t, remote.Options{})
	for range 20 {
		b := &shared{}
		_, err := get(t, c, s.URL, b)
		b.mu.Lock()
		b.ended = true
		b.mu.Unlock()
		_ = err // whether the refusal or the closed connection is seen first is open
		c.CloseIdleConnections()
		b.mu.Lock()
		if b.late {
			t.Error("the body was read after the request had ended")
		}
		b.mu.Unlock()
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	body := func(n int) io.ReadCloser { return io.NopCloser(bytes.NewReader(make([]byte, n))) }
	for _, c := range []struct {
		name  string
		gives int
		n     int64
		short bool
		want  coffer.Kind
		is    error
	}{
		{name: "whole", gives: 10, n: 10},
		{name: "more than promised", gives: 20, n: 10},
		{name: "asked beyond the end", gives: 10, n: 10, short: true, want: coffer.KindInternal, is: io.ErrUnexpectedEOF},
		{name: "cut", gives: 5, n: 10, want: coffer.KindUnavailable},
		{name: "cut, asked beyond the end", gives: 5, n: 10, short: true, want: coffer.KindUnavailable},
	} {
		r := remote.NewRange(t.Context(), "read x", body(c.gives), c.n, c.short)
		got, err := io.ReadAll(r)
		if coffer.KindOf(err) != c.want || c.is != nil && !errors.Is(err, c.is) || len(got) != min(c.gives, int(c.n)) {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
		if c.is == nil && errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: a lost connection looks like the object's end: %v", c.name, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := remote.NewRange(ctx, "read x", body(10), 10, false)
	cancel()
	if _, err := io.ReadAll(r); !coffer.IsKind(err, coffer.KindCanceled) {
		t.Errorf("after the end: %v", err)
	}
	_ = r.Close()
}

func TestNames(t *testing.T) {
	t.Parallel()
	var n remote.Names
	inside, most := 0, 0
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			release, err := n.Hold(t.Context(), "write", "a")
			if err != nil {
				t.Error(err)
				return
			}
			inside++ // a race, if two are here
			most = max(most, inside)
			inside--
			release()
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d held the name", most)
	}
	release, err := n.Hold(t.Context(), "write", "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := n.Hold(t.Context(), "write", "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := n.Hold(ctx, "write", "a"); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Errorf("waiting past the deadline: %v", err)
	}
	release()
}

func TestLost(t *testing.T) {
	t.Parallel()
	silent := coffer.E(coffer.KindUnavailable, "wait", "nothing").WithHint("look")
	for _, c := range []struct {
		err    error
		effect bool
		want   coffer.Kind
	}{
		{nil, true, ""},
		{io.EOF, false, coffer.KindUnavailable},
		{io.EOF, true, coffer.KindUnknown},
		{context.Canceled, true, coffer.KindCanceled},
		{context.DeadlineExceeded, true, coffer.KindUnavailable},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, true, coffer.KindUnavailable},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, true, coffer.KindUnknown},
		{silent, false, coffer.KindUnavailable},
		{silent, true, coffer.KindUnknown},
		{coffer.E(coffer.KindInvalid, "x", "y"), true, coffer.KindInvalid},
	} {
		if got := coffer.KindOf(remote.Lost("write", c.err, c.effect)); got != c.want {
			t.Errorf("%v, effect=%v: %q, want %q", c.err, c.effect, got, c.want)
		}
	}
}

// TestAuthority: a server is believed when the named authority signed for it, and
// only then.
func TestAuthority(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	_, err := get(t, client(t, remote.Options{}), s.URL, nil)
	if err := remote.Lost("log in", err, false); !coffer.IsKind(err, coffer.KindInvalid) || !strings.Contains(coffer.HintOf(err), "authority") {
		t.Errorf("an unknown authority: %v, hint %q", err, coffer.HintOf(err))
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if _, err := get(t, client(t, remote.Options{CAFile: file}), s.URL, nil); err != nil {
		t.Errorf("a known authority: %v", err)
	}
	for _, bad := range []string{filepath.Join(t.TempDir(), "none"), file} {
		write(t, file, []byte("no certificate"))
		if _, err := remote.Client(remote.Options{CAFile: bad}); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for raw, ok := range map[string]bool{
		"https://s3.example": true, "http://127.0.0.1:9000": true, "http://[::1]:9000": true, "http://localhost/v3": true,
		"http://s3.example": false, "http://10.0.0.1": false, "": false, "s3.example:443": false, "ftp://127.0.0.1": false, "https://": false,
		"https://user:word@s3.example": false,
	} {
		_, err := remote.Options{}.CheckURL("open", raw)
		if (err == nil) != ok || err != nil && !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%q: %v", raw, err)
		}
		if err != nil && strings.Contains(err.Error(), "word") {
			t.Errorf("the password is in %q", err)
		}
	}
	if _, err := (remote.Options{Plaintext: true}).CheckURL("open", "http://s3.example"); err != nil {
		t.Error(err)
	}
}

func TestContiguous(t *testing.T) {
	t.Parallel()
	good := []store.Part{{Index: 0, Offset: 0, Size: 3}, {Index: 1, Offset: 3, Size: 0}, {Index: 2, Offset: 3, Size: 4}}
	if n, err := remote.Contiguous("complete", good); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, bad := range [][]store.Part{good[1:], {good[0], good[2]}, {{Size: -1}}, {{Offset: 1}}} {
		if _, err := remote.Contiguous("complete", bad); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
