package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is a policy for tests on the real clock.
func quick() retry.Policy {
	return retry.Policy{Min: time.Microsecond, Max: time.Millisecond, Tries: 5}
}

func TestRetryObeysTheLaw(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Full { return store.Retry(storetest.NewMemory(), quick()) })
}

// TestRetryHidesFailures runs the law over a store that is away again
// and again, before and after its effects: nobody above can tell.
func TestRetryHidesFailures(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for _, kind := range []coffer.Kind{coffer.KindUnavailable, coffer.KindUnknown} {
			t.Run(fmt.Sprintf("after=%v/%s", after, kind), func(t *testing.T) {
				t.Parallel()
				storetest.Run(t, func(*testing.T) store.Full {
					f := &storetest.Faulty{Full: storetest.NewMemory()}
					for _, op := range []storetest.Op{storetest.Put, storetest.Complete} {
						f.Plan(storetest.Fault{Op: op, N: 1, Kind: kind, After: after}, storetest.Fault{Op: op, N: 4, Kind: kind, After: after})
					}
					for _, op := range []storetest.Op{storetest.Open, storetest.Stat, storetest.List, storetest.Part, storetest.Delete, storetest.Abort, storetest.Stale} {
						f.Plan(storetest.Fault{Op: op, N: 1, Times: 2, Kind: coffer.KindUnavailable, After: after})
					}
					return store.Retry(f, quick())
				})
			})
		}
	}
}

func TestLimitObeysTheLaw(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Full { return store.Limit(storetest.NewMemory(), 1<<30) })
}

// TestStackObeysTheLaw: the decorators in the order of production.
func TestStackObeysTheLaw(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Full {
		return store.Retry(store.Limit(store.Limit(storetest.NewMemory(), 1<<30), 1<<30), quick())
	})
}

func TestRetrySettles(t *testing.T) {
	t.Parallel()
	b := store.Bytes([]byte("the manifest"))
	lost := storetest.Fault{Op: storetest.Put, Kind: coffer.KindUnknown, After: true}
	for _, c := range []struct {
		name   string
		faults []storetest.Fault
		there  string // what stands under the name before
		want   coffer.Kind
		puts   int
	}{
		{"landed, answer lost", []storetest.Fault{lost}, "", "", 1},
		{"never landed", []storetest.Fault{{Op: storetest.Put, Kind: coffer.KindUnavailable}}, "", "", 2},
		{"taken before the first try", nil, "the manifest", coffer.KindExists, 1},
		{"taken by another of that size", []storetest.Fault{{Op: storetest.Put, Kind: coffer.KindUnknown}}, "THE MANIFEST", coffer.KindExists, 1},
		{"taken by another size", []storetest.Fault{{Op: storetest.Put, Kind: coffer.KindUnknown}}, "x", coffer.KindExists, 1},
		{"looking fails", []storetest.Fault{lost, {Op: storetest.Stat, Times: -1, Kind: coffer.KindUnavailable}}, "", coffer.KindUnknown, 1},
		{"looking fails for a while", []storetest.Fault{lost, {Op: storetest.Stat, Times: 3, Kind: coffer.KindUnavailable}}, "", "", 1},
		{"away for good", []storetest.Fault{{Op: storetest.Put, Times: -1, Kind: coffer.KindUnavailable}}, "", coffer.KindUnavailable, 5},
		{"another answer", []storetest.Fault{{Op: storetest.Put, Kind: coffer.KindNoSpace}}, "", coffer.KindNoSpace, 1},
	} {
		for _, keepsSum := range []bool{true, false} {
			m := storetest.NewMemory()
			if c.there != "" {
				if _, err := m.Put(t.Context(), "m", store.Bytes([]byte(c.there)), nil); err != nil {
					t.Fatal(err)
				}
			}
			var full store.Full = m
			if !keepsSum {
				full = sumless{m}
			}
			f := &storetest.Faulty{Full: full}
			f.Plan(c.faults...)
			o, err := store.Retry(f, quick()).Put(t.Context(), "m", b, nil)
			if coffer.KindOf(err) != c.want || f.Calls(storetest.Put) != c.puts {
				t.Errorf("%s: %v (%s) after %d Puts; want %q after %d", c.name, err, coffer.KindOf(err), f.Calls(storetest.Put), c.want, c.puts)
			}
			if err == nil && (o.Name != "m" || o.Size != b.Size()) {
				t.Errorf("%s: answers %+v", c.name, o)
			}
			f.VerifyAllHit(t)
		}
	}
}

// sumless is a store that keeps no sums, as a file tree.
type sumless struct{ store.Full }

func (s sumless) Stat(ctx context.Context, name string) (store.Object, error) {
	o, err := s.Full.Stat(ctx, name)
	o.SHA256 = ""
	return o, err
}

// TestRetryCompleteLandsLate: the first Complete seems lost, lands after the
// look, and the second finds the upload gone.
func TestRetryCompleteLandsLate(t *testing.T) {
	t.Parallel()
	m := storetest.NewMemory()
	f := &storetest.Faulty{Full: m}
	u, err := f.Begin(t.Context(), "big", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.Part(t.Context(), u, 0, 0, store.Bytes([]byte("part")))
	if err != nil {
		t.Fatal(err)
	}
	parts := []store.Part{p}
	f.Plan(
		storetest.Fault{Op: storetest.Complete, N: 1, Kind: coffer.KindUnknown},
		storetest.Fault{Op: storetest.Complete, N: 2, Kind: coffer.KindNotFound, Do: func(ctx context.Context) {
			if _, err := m.Complete(ctx, u, parts); err != nil {
				t.Error(err)
			}
		}},
	)
	o, err := store.Retry(f, quick()).Complete(t.Context(), u, parts)
	if err != nil || o.Size != 4 {
		t.Errorf("got %+v, %v", o, err)
	}
	f.VerifyAllHit(t)
}

// TestRetryTellsUploadsApart: the answer of a Complete is lost, and under the
// name stands another upload of the same size.
func TestRetryTellsUploadsApart(t *testing.T) {
	t.Parallel()
	f := &storetest.Faulty{Full: sumless{storetest.NewMemory()}}
	for i, want := range []coffer.Kind{"", coffer.KindExists} {
		var us [2]store.Upload
		var parts [2][]store.Part
		name := fmt.Sprint("big", i)
		for j := range us {
			var err error
			if us[j], err = f.Begin(t.Context(), name, nil); err != nil {
				t.Fatal(err)
			}
			for k, text := range []string{"first", fmt.Sprint("last", j*i), ""} {
				p, err := f.Part(t.Context(), us[j], k, int64(5*k), store.Bytes([]byte(text)))
				if err != nil {
					t.Fatal(err)
				}
				parts[j] = append(parts[j], p)
			}
		}
		s := store.Retry(f, quick())
		f.Plan(storetest.Fault{Op: storetest.Complete, Name: name, N: 2, Kind: coffer.KindUnknown})
		if _, err := s.Complete(t.Context(), us[0], parts[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Complete(t.Context(), us[1], parts[1]); coffer.KindOf(err) != want {
			t.Errorf("upload %d: got %v, want %q", i, err, want)
		}
	}
}

func TestRetryResumesReadings(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	f := &storetest.Faulty{Full: storetest.NewMemory()}
	if _, err := f.Put(t.Context(), "a", store.Bytes(data), nil); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		f.Plan(storetest.Fault{Op: storetest.Open, N: i + 1, Cut: true, CutAt: int64(i * 10_001), Drop: true})
	}
	r, err := store.Retry(f, quick()).Open(t.Context(), "a", 5, 99_000)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data[5:99_005]) || r.Close() != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := f.Calls(storetest.Open); n != 5 {
		t.Errorf("opened %d times, want 5", n)
	}
	f.VerifyAllHit(t)
	f.Plan(storetest.Fault{Op: storetest.Open, N: 1, Times: -1, Cut: true, Drop: true})
	r, err = store.Retry(f, quick()).Open(t.Context(), "a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Errorf("a reading that never gets on: %v", err)
	}
	_ = r.Close()
}

func TestRetryListsOn(t *testing.T) {
	t.Parallel()
	m := storetest.NewMemory()
	var want, got []string
	for i := range 20 {
		name := fmt.Sprintf("%02d", i)
		want = append(want, name)
		if _, err := m.Put(t.Context(), name, store.Bytes(nil), nil); err != nil {
			t.Fatal(err)
		}
	}
	f := &storetest.Faulty{Full: m}
	f.Plan(storetest.Fault{Op: storetest.List, Times: 2, Kind: coffer.KindUnavailable, After: true})
	for o, err := range store.Retry(f, quick()).List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o.Name)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	f.VerifyAllHit(t)
}

func TestLimitPaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const perSecond, n = 1 << 20, 8 << 20
		s := store.Limit(storetest.NewMemory(), perSecond)
		want := bytes.Repeat([]byte{7}, n)
		near := func(what string, took, full time.Duration) {
			if took < full*95/100 || took > full*105/100 {
				t.Errorf("%s took %s, want about %s", what, took, full)
			}
		}
		start := time.Now()
		if _, err := s.Put(t.Context(), "a", store.Bytes(want), nil); err != nil {
			t.Fatal(err)
		}
		near("Put", time.Since(start), 8*time.Second)
		start = time.Now()
		r, err := s.Open(t.Context(), "a", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) || r.Close() != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		near("Open", time.Since(start), 8*time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := s.Put(ctx, "b", store.Bytes(want), nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
			t.Errorf("a paced Put after its deadline: %v after %s", err, time.Since(start))
		}
		if _, err := s.Stat(t.Context(), "b"); !coffer.IsKind(err, coffer.KindNotFound) {
			t.Errorf("half a Put is there: %v", err)
		}
	})
}

func TestBody(t *testing.T) {
	t.Parallel()
	for _, b := range []store.Body{store.Bytes([]byte("abc")), store.Chunks([][]byte{[]byte("a"), nil, []byte("bc")})} {
		for range 2 {
			got, err := io.ReadAll(b.Reader())
			if err != nil || string(got) != "abc" || b.Size() != 3 || b.SHA256() != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
				t.Errorf("%q, %v, %d, %s", got, err, b.Size(), b.SHA256())
			}
		}
	}
	if (store.Body{}).SHA256() != store.Bytes(nil).SHA256() {
		t.Error("the zero Body has another sum than no bytes")
	}
}
