package records

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cofferdb/coffer"
)

func openTemp(t testing.TB) *DB {
	t.Helper()
	d, err := Open(t.Context(), filepath.Join(t.TempDir(), "records.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// batchOf runs writes as one batch, without the queue.
func batchOf(d *DB, runs ...func(conn) error) []error {
	var batch []*write
	for _, run := range runs {
		batch = append(batch, &write{ctx: context.Background(), run: run, done: make(chan error, 1)})
	}
	d.commitBatch(batch)
	var errs []error
	for _, w := range batch {
		errs = append(errs, <-w.done)
	}
	return errs
}

func put(name string) func(conn) error {
	return func(c conn) error {
		_, err := c.exec(`INSERT INTO counters (name, value) VALUES (?, 1)`, name)
		return err
	}
}

func values(t *testing.T, d *DB) int64 {
	t.Helper()
	n, _, err := one(d.reading(t.Context()), scanInt, `SELECT COUNT(*) FROM counters`)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBatchUndoesOneWriteAlone(t *testing.T) {
	t.Parallel()
	d := openTemp(t)
	refused := errors.New("refused")
	// A domain error, a broken constraint and a broken statement: each undoes what
	// its own write did before, and nothing else.
	errs := batchOf(d,
		put("a"),
		func(c conn) error { return errors.Join(put("b")(c), refused) },
		func(c conn) error { return errors.Join(put("c")(c), put("a")(c)) },
		func(c conn) error {
			return errors.Join(put("d")(c), func() error { _, err := c.exec(`NOT SQL`); return err }())
		},
		func(c conn) error {
			return errors.Join(put("e")(c), coffer.E(coffer.KindCorrupt, "op", "a missing link"))
		},
		put("f"),
	)
	for i, bad := range []bool{false, true, true, true, true, false} {
		if (errs[i] != nil) != bad {
			t.Errorf("write %d: %v", i, errs[i])
		}
	}
	if !errors.Is(errs[1], refused) {
		t.Errorf("the write's own error was lost: %v", errs[1])
	}
	if n := values(t, d); n != 2 {
		t.Errorf("%d writes are there, want the two good ones", n)
	}
}

func TestBatchFailsWhole(t *testing.T) {
	t.Parallel()
	d := openTemp(t)
	errs := batchOf(d, put("a"), func(c conn) error {
		_, err := c.exec(`ROLLBACK`) // as SQLite does by itself when the disk is full
		return errors.Join(err, coffer.E(coffer.KindNoSpace, "op", "full"))
	}, put("b"))
	for i, err := range errs {
		if err == nil {
			t.Errorf("write %d was answered well, though the transaction was gone", i)
		}
	}
	if n := values(t, d); n != 0 {
		t.Errorf("%d writes are there, want none", n)
	}
	if errs := batchOf(d, put("a")); errs[0] != nil {
		t.Errorf("the next batch fails: %v", errs[0])
	}
}

// TestClose closes while many write: each is answered, done or refused, and what
// was answered well is there.
func TestClose(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.db")
	d, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var good uint64
	begun := make(chan struct{}, 50)
	for range 50 {
		wg.Go(func() {
			for range 100 {
				_, err := d.RaiseCounter(context.Background(), "c")
				if err != nil {
					if !coffer.IsKind(err, coffer.KindUnavailable) {
						t.Errorf("a late write: %v", err)
					}
					return
				}
				select {
				case begun <- struct{}{}:
				default:
				}
				mu.Lock()
				good++
				mu.Unlock()
			}
		})
	}
	<-begun
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := d.Agents(t.Context()); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Errorf("a late read: %v", err)
	}
	d, err = Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Counter(t.Context(), "c")
	if err != nil || got != good {
		t.Errorf("%d writes are there (%v), %d were answered well", got, err, good)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestLocked: another process holds the file for a while; the write waits for it.
func TestLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.db")
	d, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(d.Close(), other.Close()); err != nil {
			t.Error(err)
		}
	}()
	if d.Installation() != other.Installation() || !coffer.IsUUID(string(d.Installation())) {
		t.Errorf("installations %q and %q", d.Installation(), other.Installation())
	}
	var wg sync.WaitGroup
	for _, db := range []*DB{d, other} {
		for range 8 {
			wg.Go(func() {
				for range 20 {
					if _, err := db.RaiseCounter(t.Context(), "c"); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if n, err := d.Counter(t.Context(), "c"); n != 320 || err != nil {
		t.Errorf("the counter is %d (%v), want 320", n, err)
	}
}
