package records_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/testenv"
)

// testDeadlock lets two transactions take two rows in opposite orders: one gives
// way, is run again, and both are done.
func testDeadlock(t *testing.T, s records.Source) {
	db := openSource(t, s)
	for _, name := range []string{"a", "b"} {
		if _, err := db.RaiseCounter(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	var wg, both sync.WaitGroup
	both.Add(2)
	var runs atomic.Int32
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		first := true
		wg.Go(func() {
			err := db.Write(t.Context(), func(exec records.Exec) error {
				runs.Add(1)
				for i, name := range order {
					if n, err := exec(`UPDATE counters SET value = value + 1 WHERE name = ?`, name); n != 1 || err != nil {
						return err
					}
					if i == 0 && first {
						first = false
						both.Done()
						both.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("a deadlock reached the caller: %v", err)
			}
		})
	}
	wg.Wait()
	for _, name := range []string{"a", "b"} {
		if n, err := db.Counter(t.Context(), name); n != 3 || err != nil {
			t.Errorf("counter %s is %d (%v), want 3", name, n, err)
		}
	}
	if runs.Load() < 3 {
		t.Errorf("%d runs: no transaction gave way, so nothing was shown", runs.Load())
	}
}

// behind puts a host into a source's address.
func behind(t *testing.T, s records.Source, host string) records.Source {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	s.URL = u.String()
	return s
}

func hostOf(t *testing.T, s records.Source) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// testCut breaks every connection: the next read and the next write are answered.
func testCut(t *testing.T, s records.Source) {
	proxy := testenv.NewProxy(t, hostOf(t, s))
	db := openSource(t, behind(t, s, proxy.Addr()))
	for want := uint64(1); want < 4; want++ {
		n, err := db.RaiseCounter(t.Context(), "c")
		if n != want || err != nil {
			t.Errorf("after a cut the counter is %d (%v), want %d", n, err, want)
		}
		proxy.Cut()
		if n, err := db.Counter(t.Context(), "c"); n != want || err != nil {
			t.Errorf("after a cut a read gives %d (%v), want %d", n, err, want)
		}
		proxy.Cut()
		err = db.Heartbeat(t.Context(), coffer.Agent{ID: "a", Beat: want}) // one statement, without a transaction
		if a, rerr := db.Agent(t.Context(), "a"); a.Beat != want || err != nil || rerr != nil {
			t.Errorf("after a cut the heartbeat is %d (%v, %v), want %d", a.Beat, err, rerr, want)
		}
		proxy.Cut()
	}
	for want := uint64(3); want < 5; want++ { // a whole pool of them
		var fs, all sync.WaitGroup
		all.Add(s.MaxConns)
		for range s.MaxConns {
			fs.Go(func() {
				if err := db.Write(t.Context(), func(records.Exec) error { all.Done(); all.Wait(); return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		fs.Wait()
		proxy.Cut()
		if want == 3 {
			if n, err := db.Counter(t.Context(), "c"); n != want || err != nil {
				t.Errorf("after a cut of all a read gives %d (%v), want %d", n, err, want)
			}
		} else if n, err := db.RaiseCounter(t.Context(), "c"); n != want || err != nil {
			t.Errorf("after a cut of all the counter is %d (%v), want %d", n, err, want)
		}
	}
	cut := false
	err := db.Write(t.Context(), func(exec records.Exec) error {
		if !cut {
			cut = true
			proxy.Cut()
		}
		_, err := exec(`UPDATE counters SET value = value + 1 WHERE name = ?`, "c")
		return err
	})
	if n, cerr := db.Counter(t.Context(), "c"); n != 5 || err != nil || cerr != nil {
		t.Errorf("a transaction that was cut in its midst: %v; the counter is %d (%v), want 5", err, n, cerr)
	}
}

// committer forwards connections and, once armed, cuts the one that commits: before
// the server hears it, or after it has answered.
type committer struct {
	armed  atomic.Bool
	before bool
	mark   string // by what it is known; "" is the word
}

func (c *committer) serve(t *testing.T, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			var cut atomic.Bool
			wg.Go(func() { c.pump(server, client, &cut) })
			wg.Go(func() { c.pump(client, server, &cut) })
		}
	})
	return l.Addr().String()
}

// pump copies one direction; a COMMIT on its way is dropped, or its answer is.
func (c *committer) pump(to, from net.Conn, cut *atomic.Bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || cut.Load() {
			return
		}
		if bytes.Contains(bytes.ToLower(buf[:n]), []byte(cmp.Or(c.mark, "commit"))) && c.armed.CompareAndSwap(true, false) {
			if c.before {
				return
			}
			cut.Store(true) // the next thing to be read is the answer
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// testLostCommit: nobody knows what became of a COMMIT whose answer is lost, so it is
// KindUnknown and not tried again; a move asked again afterwards gets its answer.
func testLostCommit(t *testing.T, s records.Source) {
	for _, before := range []bool{true, false} {
		c := &committer{before: before}
		db := openSource(t, behind(t, s, c.serve(t, hostOf(t, s))))
		was, err := db.RaiseCounter(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		c.armed.Store(true)
		_, err = db.RaiseCounter(t.Context(), "c")
		if !coffer.IsKind(err, coffer.KindUnknown) || coffer.HintOf(err) == "" {
			t.Errorf("cut before the server heard it %v: %q: %v", before, coffer.KindOf(err), err)
		}
		want := was
		if !before {
			want++
		}
		if n, err := db.Counter(t.Context(), "c"); n != want || err != nil {
			t.Errorf("cut before the server heard it %v: the counter is %d (%v), want %d", before, n, err, want)
		}
	}
}

// testLostEnd: where COMMIT goes with the last statements, a connection that broke with
// them leaves it open what happened, and the move asked again gives its answer. One
// that broke with the first statements has left nothing, and they are sent again.
func testLostEnd(t *testing.T, s records.Source) {
	for _, first := range []bool{true, false} {
		for _, before := range []bool{true, false} {
			mark := "cut here " + coffer.NewNonce()
			c := &committer{before: before, mark: mark}
			db := openSource(t, behind(t, s, c.serve(t, hostOf(t, s))))
			in, project := coffer.InstanceID(coffer.NewUUID()), coffer.ProjectID("p")
			if err := db.CreateInstance(t.Context(), coffer.Instance{ID: in, Project: project, Status: "ACTIVE"}); err != nil {
				t.Fatal(err)
			}
			b, err := db.CreateBackup(t.Context(), records.NewBackup{Project: project, Instance: in, Name: "n", Store: "main", Quota: -1})
			if err != nil {
				t.Fatal(err)
			}
			end := records.Ending{Error: "it failed", Events: []coffer.Event{{Code: "c", Text: mark}}} // the last statements write it
			if first {
				end.Error = mark
			}
			c.armed.Store(true)
			ok, err := db.Fail(t.Context(), coffer.JobID(b.ID), "", end)
			if first && (!ok || err != nil) {
				t.Errorf("cut with its first statements, before the server heard it %v: %v, %v", before, ok, err)
			}
			if !first && !coffer.IsKind(err, coffer.KindUnknown) {
				t.Errorf("cut with its last statements, before the server heard it %v: %q: %v", before, coffer.KindOf(err), err)
			}
			if ok, err := db.Fail(t.Context(), coffer.JobID(b.ID), "", end); !ok || err != nil {
				t.Errorf("asked again: %v, %v", ok, err)
			}
			if all, err := db.Events(t.Context(), project, coffer.JobID(b.ID), 0, 0); len(all) != 1 || err != nil {
				t.Errorf("the diary has %d events (%v), want 1", len(all), err)
			}
		}
	}
}

// testGivesUp: a caller that waits for a connection and gives up has changed
// nothing; one whose transaction has begun is answered.
func testGivesUp(t *testing.T, s records.Source) {
	s.MaxConns = 1
	db := openSource(t, s)
	began, gone := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.Write(ctx, func(exec records.Exec) error {
			close(began)
			<-gone
			_, err := exec(`INSERT INTO counters (name, value) VALUES (?, 1)`, "first")
			return err
		})
		if err != nil {
			t.Errorf("a transaction that had begun: %v", err)
		}
	})
	<-began
	late, stop := context.WithCancel(t.Context())
	stop()
	if _, err := db.RaiseCounter(late, "second"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gave up: %v", err)
	}
	cancel()
	close(gone)
	wg.Wait()
	for name, want := range map[string]uint64{"first": 1, "second": 0} {
		if n, err := db.Counter(t.Context(), name); n != want || err != nil {
			t.Errorf("counter %s is %d (%v), want %d", name, n, err, want)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := db.RaiseCounter(t.Context(), "late"); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Errorf("a write after Close: %v", err)
	}
}
