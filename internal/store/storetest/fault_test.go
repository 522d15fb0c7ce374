package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

func TestFaultyWithoutFaults(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Full { return &storetest.Faulty{Full: storetest.NewMemory()} })
}

func TestWriteOnce(t *testing.T) {
	t.Parallel()
	storetest.RunWriteOnce(t, func(*testing.T) store.Full {
		return storetest.WriteOnce(storetest.NewMemory(), time.Now().Add(48*time.Hour))
	})
}

func TestWriteOnceAfterItsDate(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Full {
		return storetest.WriteOnce(storetest.NewMemory(), time.Now().Add(-time.Hour))
	})
}

func faulty(t *testing.T, faults ...storetest.Fault) (*storetest.Faulty, *storetest.Memory) {
	t.Helper()
	m := storetest.NewMemory()
	f := &storetest.Faulty{Full: m}
	f.Plan(faults...)
	return f, m
}

func exists(t *testing.T, s store.Store, name string) bool {
	t.Helper()
	_, err := s.Stat(t.Context(), name)
	if err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestFaultyBeforeAndAfter(t *testing.T) {
	t.Parallel()
	f, m := faulty(t,
		storetest.Fault{Op: storetest.Put, N: 2, Kind: coffer.KindUnavailable},
		storetest.Fault{Op: storetest.Put, Name: "manifest", Kind: coffer.KindUnknown, After: true},
		storetest.Fault{Op: storetest.Stat, N: 1, Times: 2, Kind: coffer.KindUnavailable},
	)
	for _, c := range []struct {
		name   string
		kind   coffer.Kind
		landed bool
	}{{"a", "", true}, {"b", coffer.KindUnavailable, false}, {"c", "", true}, {"x.manifest", coffer.KindUnknown, true}, {"y.manifest", "", true}} {
		_, err := f.Put(t.Context(), c.name, store.Bytes([]byte("x")), nil)
		if coffer.KindOf(err) != c.kind || exists(t, m, c.name) != c.landed {
			t.Errorf("%s: %v, landed=%v; want %q, %v", c.name, err, exists(t, m, c.name), c.kind, c.landed)
		}
	}
	for i, want := range []coffer.Kind{coffer.KindUnavailable, coffer.KindUnavailable, ""} {
		if _, err := f.Stat(t.Context(), "a"); coffer.KindOf(err) != want {
			t.Errorf("Stat %d: %v", i, err)
		}
	}
	if f.Calls(storetest.Put) != 5 || f.Calls(storetest.Stat) != 3 || f.Calls(storetest.AnyOp) != 8 {
		t.Errorf("counted %d, %d, %d", f.Calls(storetest.Put), f.Calls(storetest.Stat), f.Calls(storetest.AnyOp))
	}
	f.VerifyAllHit(t)
}

// TestFaultyEveryOp proves for each call that a fault before it leaves no effect
// and that one after it leaves the whole.
func TestFaultyEveryOp(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, after := range []bool{false, true} {
		for _, op := range []storetest.Op{
			storetest.Put, storetest.Open, storetest.Stat, storetest.List, storetest.Delete,
			storetest.Begin, storetest.Part, storetest.Complete, storetest.Abort, storetest.Stale,
		} {
			f, _ := faulty(t, storetest.Fault{Op: op, Kind: coffer.KindUnavailable, After: after})
			var errs []error
			keep := func(err error) { errs = append(errs, err) }
			_, err := f.Put(ctx, "a", store.Bytes([]byte("x")), nil)
			keep(err)
			_, err = f.Stat(ctx, "a")
			keep(err)
			if r, err := f.Open(ctx, "a", 0, -1); err != nil {
				keep(err)
			} else {
				r.Close()
			}
			for _, err := range f.List(ctx, "") {
				keep(err)
			}
			u, err := f.Begin(ctx, "b", nil)
			keep(err)
			for _, err := range f.Stale(ctx, "") {
				keep(err)
			}
			p, err := f.Part(ctx, u, 0, 0, store.Bytes([]byte("y")))
			keep(err)
			_, err = f.Complete(ctx, u, []store.Part{p})
			keep(err)
			keep(f.Abort(ctx, u))
			keep(f.Delete(ctx, "a"))
			n := 0
			for _, err := range errs {
				if coffer.IsKind(err, coffer.KindUnavailable) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s after=%v failed %d times: %v", op, after, n, errs)
			}
			f.VerifyAllHit(t)
		}
	}
}

func TestFaultyReads(t *testing.T) {
	t.Parallel()
	f, _ := faulty(t,
		storetest.Fault{Op: storetest.Open, N: 1, Cut: true, CutAt: 4},
		storetest.Fault{Op: storetest.Open, N: 2, Flip: true, FlipAt: 5},
		storetest.Fault{Op: storetest.Open, N: 3, Cut: true, CutAt: 3, Drop: true},
	)
	if _, err := f.Put(t.Context(), "a", store.Bytes([]byte("0123456789")), nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		kind coffer.Kind
	}{{"0123", ""}, {"0123446789", ""}, {"012", coffer.KindUnavailable}, {"0123456789", ""}} {
		r, err := f.Open(t.Context(), "a", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if string(got) != c.want || coffer.KindOf(err) != c.kind || r.Close() != nil {
			t.Errorf("read %q, %v; want %q", got, err, c.want)
		}
	}
	f.VerifyAllHit(t)
}

func TestFaultyLiesAndFills(t *testing.T) {
	t.Parallel()
	f, m := faulty(t, storetest.Fault{Op: storetest.Put, LieSum: true, LieSize: -1})
	f.Space = 10
	b := store.Bytes([]byte("12345678"))
	o, err := f.Put(t.Context(), "a", b, nil)
	if err != nil || o.SHA256 == b.SHA256() || o.Size != 7 {
		t.Errorf("no lie: %+v, %v", o, err)
	}
	_, err = f.Put(t.Context(), "b", b, nil)
	if !coffer.IsKind(err, coffer.KindNoSpace) || exists(t, m, "b") {
		t.Errorf("10 bytes of space took 16: %v", err)
	}
	if !m.Spoil("a", func(b []byte) []byte { return bytes.ToUpper(b[:3]) }) || m.Spoil("nope", nil) {
		t.Error("Spoil")
	}
	if o, err := m.Stat(t.Context(), "a"); err != nil || o.Size != 3 {
		t.Errorf("spoiled: %+v, %v", o, err)
	}
}

func TestFaultyStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := faulty(t)
		open := make(chan struct{})
		f.Stall(open)
		start := time.Now()
		time.AfterFunc(time.Minute, func() { close(open) })
		if _, err := f.Put(t.Context(), "a", store.Bytes(nil), nil); err != nil || time.Since(start) != time.Minute {
			t.Errorf("stalled %s, %v", time.Since(start), err)
		}
		f.Stall(make(chan struct{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Stat(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a stalled call ends with its context: %v", err)
		}
		f.Stall(nil)
		if !exists(t, f, "a") {
			t.Error("not there")
		}
	})
}

func TestVerifyAllHitSeesAMiss(t *testing.T) {
	t.Parallel()
	f, _ := faulty(t, storetest.Fault{Op: storetest.Delete, N: 7, Kind: coffer.KindUnknown})
	var r recorder
	f.VerifyAllHit(&r)
	if !r.failed {
		t.Error("a fault that never happened goes unseen")
	}
}

type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
