package survive

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// spoilings are the ways in which one call of a store goes wrong.
func spoilings() map[string]storetest.Fault {
	return map[string]storetest.Fault{
		"fails once":         {Kind: coffer.KindUnavailable},
		"answer is lost":     {Kind: coffer.KindUnavailable, After: true},
		"in doubt":           {Kind: coffer.KindUnknown, After: true},
		"refuses":            {Kind: coffer.KindForbidden},
		"fails for good":     {Kind: coffer.KindInternal, Times: -1},
		"is away":            {Kind: coffer.KindUnavailable, Times: -1},
		"lies of a sum":      {LieSum: true},
		"lies of sizes":      {LieSize: -1},
		"cuts what it reads": {Cut: true, CutAt: 7},
		"flips a bit":        {Flip: true, FlipAt: 5},
		"is slow":            {Do: func(ctx context.Context) { wait(ctx, 400*time.Millisecond) }},
		"stalls":             {Do: func(ctx context.Context) { wait(ctx, 1500*time.Millisecond) }, Times: 2},
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// modes are the spoilings in a fixed order.
var modes = [...]string{
	"fails once", "lies of a sum", "answer is lost", "refuses", "is slow", "fails for good",
	"in doubt", "lies of sizes", "is away", "cuts what it reads", "flips a bit", "stalls",
}

// TestStoreFailsOnTheNthCall spoils one call of a backup after another, each in
// another way.
func TestStoreFailsOnTheNthCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newSource(t, smallData, testenv.MariaDBOptions{}), settings{})
	calls := w.callsOfABackup()
	for i, mode := range modes {
		n := 1 + i*(calls-2)/len(modes) // the calls are not always quite as many
		w.spoiled(mode, n, i%6 == 0)
	}
	b := w.good("last")
	for i, mode := range []string{"fails once", "flips a bit", "refuses", "cuts what it reads", "lies of sizes", "is slow"} {
		w.readSpoiled(b, mode, 1+i)
	}
	w.restores(b)
}

// readSpoiled restores a backup while one reading call after another goes wrong: it
// succeeds, or leaves nothing.
func (w *world) readSpoiled(b coffer.Backup, mode string, n int) {
	w.t.Helper()
	once, always := spoilings()[mode], spoilings()[mode]
	once.N, always.Times, always.Op = n, -1, storetest.Open
	for _, fault := range []storetest.Fault{once, always} {
		if fault.Times < 0 && fault.Kind == coffer.KindUnavailable {
			continue // it would wait for as long as the store is away
		}
		w.faulty(fault)
		dir, j := w.restore(b.ID)
		w.use(w.file)
		w.t.Logf("restore, call %d of %q %s: %s %s", fault.N, fault.Op, mode, j.State, j.Error)
		if ok(j) {
			w.must(os.RemoveAll(dir))
			continue
		}
		empty(w.t, dir)
	}
}

// TestHeavyStoreFailsOnEveryCall does so with every call and in every way.
func TestHeavyStoreFailsOnEveryCall(t *testing.T) {
	heavy(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t, newSource(t, smallData, testenv.MariaDBOptions{}), settings{})
			for n := range w.callsOfABackup() + 2 {
				w.spoiled(mode, n+1, n%8 == 0)
			}
			w.restores(w.good("last"))
		})
	}
}

// callsOfABackup is how often a backup without a fault calls its store.
func (w *world) callsOfABackup() int {
	w.t.Helper()
	f := w.faulty()
	w.good("")
	w.use(w.file)
	return f.Calls(storetest.AnyOp)
}

// spoiled takes a backup of which one call goes wrong. It must be whole, or FAILED
// and gone.
func (w *world) spoiled(mode string, n int, restore bool) {
	w.t.Helper()
	fault := spoilings()[mode]
	fault.N = n
	f := w.faulty(fault)
	b, err := w.create("")
	w.must(err)
	if fault.Times < 0 { // it must not wait for ever: the store is mended after a while
		mend := time.AfterFunc(2*time.Second, func() { w.use(w.file) })
		defer mend.Stop()
	}
	b = w.settled(b.ID, 2*time.Minute)
	w.use(w.file)
	what := fmt.Sprintf("call %d %s: %s %s", n, mode, b.State, b.Error)
	w.t.Logf("%s (%d calls)", what, f.Calls(storetest.AnyOp))
	switch b.State {
	case coffer.Completed:
		if j := w.verify(b.ID); !ok(j) {
			w.t.Errorf("%s: verify: %s", what, j.Error)
		}
		if restore {
			w.restores(b)
		}
	case coffer.Failed:
		w.gone(b.ID)
	default:
		w.t.Error(what)
	}
}
