package archive_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

var everyOp = []storetest.Op{
	storetest.Put, storetest.Open, storetest.Stat, storetest.List, storetest.Delete,
	storetest.Begin, storetest.Part, storetest.Complete, storetest.Abort, storetest.Stale,
}

// attempt is what an agent does: write, finish, commit; abort if that is allowed.
// It says how the commit ended and how the abort did.
func attempt(ctx context.Context, p archive.Place, plain []byte) (out archive.Outcome, failed, undone error) {
	o := small()
	o.MaxObject = 400 << 10
	w, err := fill(ctx, p, backupA, plain, o)
	if err == nil {
		_, err = w.Finish(ctx, manifest())
	}
	if err == nil {
		out, err = w.Commit(ctx)
	} else {
		out = archive.NotDone
	}
	if out == archive.Done || w == nil {
		return out, err, nil
	}
	return out, err, w.Abort(context.WithoutCancel(ctx))
}

// calls counts what a clean run does with the store.
func calls(t *testing.T, run func(archive.Place)) map[storetest.Op]int {
	t.Helper()
	f := &storetest.Faulty{Full: storetest.NewMemory()}
	run(archive.Place{Store: f, Prefix: prefix})
	n := map[storetest.Op]int{}
	for _, op := range everyOp {
		n[op] = f.Calls(op)
	}
	return n
}

// Every call fails once, before and after its effect, as a store that is away, as
// one that does not know, and as one that refuses. The backup is then committed
// and readable, or nothing but its intent is left.
func TestEveryCallFailsOnce(t *testing.T) {
	t.Parallel()
	plain := content(7, 600<<10)
	counts := calls(t, func(p archive.Place) {
		if out, err, _ := attempt(t.Context(), p, plain); out != archive.Done {
			t.Fatal(err)
		}
	})
	for _, op := range everyOp {
		for n := 1; n <= counts[op]; n++ {
			for _, after := range []bool{false, true} {
				for _, kind := range []coffer.Kind{coffer.KindUnavailable, coffer.KindUnknown, coffer.KindForbidden} {
					t.Run(fmt.Sprintf("%s %d after=%v %s", op, n, after, kind), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) {
							failOnce(t, plain, storetest.Fault{Op: op, N: n, Kind: kind, After: after})
						})
					})
				}
			}
		}
	}
}

// Every call is the moment in which the caller gives up, and every answer lies
// once about size or sum.
func TestEveryCallIsSpoiled(t *testing.T) {
	t.Parallel()
	plain := content(7, 600<<10)
	counts := calls(t, func(p archive.Place) { attempt(t.Context(), p, plain) })
	for _, op := range everyOp {
		for n := 1; n <= counts[op]; n++ {
			for how, fault := range map[string]storetest.Fault{
				"canceled": {}, "wrong sum": {LieSum: true}, "wrong size": {LieSize: 1},
			} {
				t.Run(fmt.Sprintf("%s %d %s", op, n, how), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						fault.Op, fault.N = op, n
						if how == "canceled" {
							fault.Do = func(context.Context) { cancel() }
						}
						mem := storetest.NewMemory()
						f := &storetest.Faulty{Full: mem}
						f.Plan(fault)
						out, err, undone := attempt(ctx, archive.Place{Store: f, Prefix: prefix}, plain)
						f.VerifyAllHit(t)
						if out == archive.Unknown && how == "canceled" && undone != nil {
							return // its manifest's write was begun: nothing may be deleted
						}
						if undone != nil || how == "wrong sum" && out != archive.Done {
							t.Fatalf("%v (%v), abort: %v", out, err, undone)
						}
						wantWholeOrNothing(t, archive.Place{Store: mem, Prefix: prefix}, mem, out, plain)
					})
				})
			}
		}
	}
}

func failOnce(t *testing.T, plain []byte, fault storetest.Fault) {
	mem := storetest.NewMemory()
	f := &storetest.Faulty{Full: mem}
	f.Plan(fault)
	out, err, undone := attempt(t.Context(), archive.Place{Store: f, Prefix: prefix}, plain)
	f.VerifyAllHit(t)
	if undone != nil {
		t.Fatalf("after %v (%v) abort failed: %v", out, err, undone)
	}
	if out != archive.Done && fault.Kind != coffer.KindForbidden {
		t.Errorf("one lost call ended the backup: %v", err)
	}
	wantWholeOrNothing(t, archive.Place{Store: mem, Prefix: prefix}, mem, out, plain)
}

func wantWholeOrNothing(t *testing.T, p archive.Place, s store.Full, out archive.Outcome, plain []byte) {
	t.Helper()
	if out == archive.Done {
		mustRead(t, p, backupA, want(""), plain)
		return
	}
	for _, name := range names(t, s) {
		if name != archive.IntentName(backupA) {
			t.Errorf("%s was left", name)
		}
	}
	if n := uploads(t, s); n > 0 {
		t.Errorf("%d uploads were left", n)
	}
}

// The store goes away for good at any call; the caller aborts when it is back.
func TestStoreGoesAwayForGood(t *testing.T) {
	t.Parallel()
	plain := content(7, 600<<10)
	total := 0
	for _, n := range calls(t, func(p archive.Place) { attempt(t.Context(), p, plain) }) {
		total += n
	}
	for n := 1; n <= total; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d after=%v", n, after), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { goAway(t, plain, n, after) })
			})
		}
	}
}

func goAway(t *testing.T, plain []byte, n int, after bool) {
	mem := storetest.NewMemory()
	f := &storetest.Faulty{Full: mem}
	f.Plan(storetest.Fault{N: n, Times: -1, Kind: coffer.KindUnavailable, After: after})
	out, err, undone := attempt(t.Context(), archive.Place{Store: f, Prefix: prefix}, plain)
	f.VerifyAllHit(t)
	if out != archive.Done && err == nil {
		t.Fatalf("%v without an error", out)
	}
	p := archive.Place{Store: mem, Prefix: prefix}
	found, look := archive.Look(t.Context(), p, backupA)
	if look != nil {
		t.Fatal(look)
	}
	switch {
	case found.Manifest != nil:
		if undone == nil && out != archive.Done {
			t.Error("abort succeeded although there is a manifest")
		}
		if err := found.Whole(); err != nil {
			t.Error(err)
		}
		mustRead(t, p, backupA, want(""), plain)
	case out == archive.Done:
		t.Error("done, and there is no manifest")
	default:
		if err := archive.Wipe(t.Context(), p, backupA); err != nil {
			t.Error(err)
		}
		wantWholeOrNothing(t, p, mem, archive.NotDone, plain)
	}
}

// An abort whose calls fail can be repeated until it is through.
func TestEveryCallOfAnAbortFails(t *testing.T) {
	t.Parallel()
	plain := content(8, 500<<10)
	run := func(ctx context.Context, p archive.Place) (*archive.Writer, error) {
		w, err := fill(ctx, p, backupA, plain, small())
		if err != nil {
			return w, err
		}
		return w, w.Abort(ctx)
	}
	counts := calls(t, func(p archive.Place) {
		if _, err := run(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	})
	for _, op := range []storetest.Op{storetest.Stat, storetest.List, storetest.Delete, storetest.Abort, storetest.Stale} {
		for n := 1; n <= counts[op]; n++ {
			for _, kind := range []coffer.Kind{coffer.KindUnavailable, coffer.KindForbidden} {
				t.Run(fmt.Sprintf("%s %d %s", op, n, kind), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						mem := storetest.NewMemory()
						f := &storetest.Faulty{Full: mem}
						f.Plan(storetest.Fault{Op: op, N: n, Kind: kind})
						w, err := run(t.Context(), archive.Place{Store: f, Prefix: prefix})
						f.VerifyAllHit(t)
						if (err != nil) != (kind == coffer.KindForbidden) {
							t.Fatalf("abort: %v", err)
						}
						if err != nil {
							err = w.Abort(t.Context())
						}
						if err != nil {
							t.Fatalf("abort again: %v", err)
						}
						wantWholeOrNothing(t, archive.Place{Store: mem, Prefix: prefix}, mem, archive.NotDone, plain)
					})
				})
			}
		}
	}
}

// The first cause is what every later call tells.
func TestFirstCauseIsKept(t *testing.T) {
	t.Parallel()
	mem := storetest.NewMemory()
	f := &storetest.Faulty{Full: mem}
	f.Plan(storetest.Fault{Op: storetest.Part, N: 2, Times: -1, Kind: coffer.KindNoSpace})
	p := archive.Place{Store: f, Prefix: prefix}
	w, err := fill(t.Context(), p, backupA, content(1, 4<<20), small())
	for err == nil {
		_, err = w.Write(content(2, 1<<20))
	}
	wantKind(t, "write", err, coffer.KindNoSpace, "part")
	_, err = w.Write([]byte("more"))
	wantKind(t, "write again", err, coffer.KindNoSpace)
	_, err = w.Finish(t.Context(), manifest())
	wantKind(t, "finish", err, coffer.KindNoSpace)
	out, err := w.Commit(t.Context())
	if out != archive.NotDone || err == nil {
		t.Errorf("%v, %v", out, err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantWholeOrNothing(t, p, mem, archive.NotDone, nil)
	if _, err = w.Write([]byte("more")); err == nil || !strings.Contains(err.Error(), "full") && coffer.KindOf(err) != coffer.KindNoSpace {
		t.Errorf("after abort: %v", err)
	}
}

// Abort from another goroutine frees a Write that waits for a stalled store.
func TestAbortFreesABlockedWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := storetest.NewMemory()
		f := &storetest.Faulty{Full: mem}
		f.Plan(storetest.Fault{Op: storetest.Part, Times: -1, Stall: make(chan struct{})})
		w, err := archive.Create(t.Context(), archive.Place{Store: f, Prefix: prefix}, intentOf(backupA), small())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := w.Write(content(1, 32<<20))
			done <- err
		}()
		synctest.Wait()
		if err := w.Abort(t.Context()); err != nil {
			t.Error(err)
		}
		wantKind(t, "the write", <-done, coffer.KindCanceled)
		wantWholeOrNothing(t, archive.Place{Store: mem, Prefix: prefix}, mem, archive.NotDone, nil)
	})
}
