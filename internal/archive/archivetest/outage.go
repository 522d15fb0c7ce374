package archivetest

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/testenv"
)

// outage is a store that can be taken away, and what is counted meanwhile.
type outage struct {
	proxy *testenv.FaultProxy
	down  atomic.Bool

	mu      sync.Mutex
	stored  map[string]int // how often each part was taken
	refused int
}

func (s Site) outage(t *testing.T) *outage {
	o := &outage{proxy: testenv.NewFaultProxy(t, s.Server), stored: map[string]int{}}
	o.proxy.Spoil(func(*http.Request) bool { return o.down.Load() }, 1, always, testenv.FaultReset(0))
	o.proxy.Note(func(r *http.Request, status int) {
		o.mu.Lock()
		defer o.mu.Unlock()
		switch {
		case status == 0:
			o.refused++
		case status < 300 && s.Is(Part, r):
			o.stored[r.URL.Path+"?"+r.URL.Query().Get("partNumber")]++
		}
	})
	return o
}

// until waits for n parts that were taken, or n more requests that were not.
func (o *outage) until(t *testing.T, what string, n int, count func() int) {
	t.Helper()
	o.mu.Lock()
	enough := count() + n
	o.mu.Unlock()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		o.mu.Lock()
		now := count()
		o.mu.Unlock()
		if now >= enough {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// Outage takes the server away in mid-backup. Within the bound the backup goes on: no
// part that was stored is sent again, and no more is taken from the tool meanwhile
// than the bytes in flight. Beyond it the backup ends with that reason.
func Outage(t *testing.T, s Site) {
	t.Run("within the bound", func(t *testing.T) {
		t.Parallel()
		s.outlasts(t, Content(7, 16<<20))
	})
	t.Run("beyond the bound", func(t *testing.T) {
		t.Parallel()
		s.outlasted(t, Content(8, 16<<20))
	})
}

// pour writes as a tool does, little by little.
func pour(w io.Writer, plain []byte) error {
	for block := range slices.Chunk(plain, 64<<10) {
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// cut begins a backup of plain and takes the server away when the first parts are
// stored. written gets how the pouring ended.
func (s Site) cut(t *testing.T, plain []byte, pol retry.Policy) (o *outage, id coffer.BackupID, w *archive.Writer, written chan error) {
	o, id, written = s.outage(t), newID(), make(chan error, 1)
	p := s.place(s.Open(t, o.proxy.URL, 20*time.Second), hasty)
	w, err := Create(t.Context(), p, id, options(256<<10, pol))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		written <- pour(w, plain)
	}()
	o.until(t, "the first parts", 5, func() int { return len(o.stored) })
	o.down.Store(true)
	return o, id, w, written
}

func (s Site) outlasts(t *testing.T, plain []byte) {
	o, id, w, written := s.cut(t, plain, steady)
	o.until(t, "the outage", 20, func() int { return o.refused })
	taken := w.Plain()
	o.until(t, "more of the outage", 20, func() int { return o.refused })
	// What stands between the tool and the store: two frames for each worker, one that
	// fills, and the bytes in flight.
	if now := w.Plain(); now-w.Stored() > 4*(256<<10)+6<<20 || now-taken > 2<<20 {
		t.Errorf("of the tool's bytes %d were taken while the store was away, which has %d", now, w.Stored())
	}
	o.down.Store(false)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context(), Manifest()); err != nil {
		t.Fatal(err)
	}
	if out, err := w.Commit(t.Context()); out != archive.Done {
		t.Fatalf("%s, %v", out, err)
	}
	o.mu.Lock()
	for part, n := range o.stored {
		if n != 1 {
			t.Errorf("%s was stored %d times", part, n)
		}
	}
	o.mu.Unlock()
	WantRead(t, s.sound(t), id, plain)
	s.wantDeleted(t, id)
}

func (s Site) outlasted(t *testing.T, plain []byte) {
	o, id, w, written := s.cut(t, plain, retry.Policy{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond, For: 500 * time.Millisecond})
	err := <-written
	if err == nil {
		_, err = w.Finish(t.Context(), Manifest())
	}
	if !coffer.IsKind(err, coffer.KindUnavailable) || !strings.Contains(err.Error(), "given up after") || coffer.HintOf(err) == "" {
		t.Errorf("%v (%s), hint %q", err, coffer.KindOf(err), coffer.HintOf(err))
	}
	if err := w.Abort(t.Context()); err == nil {
		t.Error("gave up on a store that is away, and says that nothing is left")
	}
	o.down.Store(false)
	s.wantSwept(t, id)
}
