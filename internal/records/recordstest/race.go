package recordstest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// together runs all at once and waits.
func together(fs ...func()) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for _, f := range fs {
		wg.Go(func() {
			<-gate
			f()
		})
	}
	close(gate)
	wg.Wait()
}

func testRaceRunners(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	id := coffer.JobID(w.create(w.instance(ours), "").ID)
	var won atomic.Int32
	var owner atomic.Value
	var fs []func()
	for i := range 20 {
		r := coffer.Runner(fmt.Sprintf("agent/%d", i))
		fs = append(fs, func() {
			if _, err := db.Claim(w.ctx, id, r, w.at); err == nil {
				won.Add(1)
				owner.Store(r)
			}
		})
	}
	together(fs...)
	if won.Load() != 1 || w.job(id).Runner != owner.Load() {
		t.Errorf("%d runners own the job", won.Load())
	}
}

func testRaceInstance(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	var made atomic.Int32
	var fs []func()
	for range 20 {
		n := records.NewBackup{Project: ours, Instance: in, Name: "n", Store: "main", Quota: -1, Now: w.now()}
		fs = append(fs, func() {
			_, err := db.CreateBackup(w.ctx, n)
			switch {
			case err == nil:
				made.Add(1)
			case !coffer.IsKind(err, coffer.KindUnprocessable):
				t.Errorf("create: %v", err)
			}
		})
	}
	together(fs...)
	if made.Load() != 1 {
		t.Errorf("%d backups run on one instance", made.Load())
	}
}

// testGivingUp: a caller that gave up before its turn has changed nothing, and
// harms nobody who shares its transaction.
func testGivingUp(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	gone, cancel := context.WithCancel(w.ctx)
	cancel()
	var fs []func()
	for i := range 40 {
		ctx := w.ctx
		if i%2 == 0 {
			ctx = gone
		}
		fs = append(fs, func() {
			_, err := db.RaiseCounter(ctx, "c")
			if want := map[bool]coffer.Kind{true: coffer.KindCanceled}[i%2 == 0]; coffer.KindOf(err) != want {
				t.Errorf("raise: %v, want kind %q", err, want)
			}
		})
	}
	together(fs...)
	if n, err := db.Counter(w.ctx, "c"); err != nil || n != 20 {
		t.Errorf("the counter is %d (%v), want 20", n, err)
	}
}
