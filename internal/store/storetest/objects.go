package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

func badNames(t *testing.T, s store.Full) {
	ctx := t.Context()
	for _, name := range []string{
		"", "/a", "a/", "a//b", ".", "..", "./a", "a/../b", "../a", "a/..", "a\x00b", "a\nb", "a\x7f",
		"a\\b", "a\xff", strings.Repeat("a/", 450) + "b",
	} {
		calls := map[string]func() error{
			"Put":    func() error { _, err := s.Put(ctx, name, body(1, 3), nil); return err },
			"Open":   func() error { _, err := read(ctx, s, name, 0, -1); return err },
			"Stat":   func() error { _, err := s.Stat(ctx, name); return err },
			"Delete": func() error { return s.Delete(ctx, name) },
			"Begin":  func() error { _, err := s.Begin(ctx, name, nil); return err },
		}
		for op, call := range calls {
			wantKind(t, fmt.Sprintf("%s %.40q", op, name), call(), coffer.KindInvalid)
		}
		if strings.HasPrefix(name, "/") || strings.Contains(name, "..") {
			if got := list(t, s, name); len(got) > 0 {
				t.Errorf("List %q yields %v", name, names(got))
			}
		}
	}
	if got := list(t, s, ""); len(got) > 0 {
		t.Errorf("refused names left %v", names(got))
	}
}

func goodNames(t *testing.T, s store.Full) {
	long := strings.Repeat(strings.Repeat("x", 99)+"/", 8) + strings.Repeat("y", 100)
	for i, name := range []string{
		"a", "p/c/b.manifest.json", "b_00000000", ".hidden", "a..b/c...d", "ümläut/日本", "sp ace/pl+us", "q?u&e=ry#x%41", "~*'()[]{}", long,
	} {
		put(t, s, name, body(i, 50+i))
		wantContent(t, s, name, content(i, 50+i))
		if got := names(list(t, s, name)); !slices.Equal(got, []string{name}) {
			t.Errorf("List %.40q yields %q", name, got)
		}
	}
}

func putRoundTrip(t *testing.T, s store.Full) {
	for _, n := range []int{1, 4096, 70_001, 1<<20 + 1} {
		name := fmt.Sprintf("p/c/%d", n)
		meta := store.Meta{"kind": "test"}
		if _, err := s.Put(t.Context(), name, body(n, n), meta); err != nil {
			t.Fatal(err)
		}
		wantContent(t, s, name, content(n, n))
		o, err := s.Stat(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if !o.Modified.IsZero() && !recent(o.Modified) {
			t.Errorf("modified %v", o.Modified)
		}
		if len(o.Meta) > 0 && o.Meta["kind"] != "test" {
			t.Errorf("Meta came back as %v", o.Meta)
		}
	}
}

func putEmpty(t *testing.T, s store.Full) {
	put(t, s, "empty", store.Body{})
	wantContent(t, s, "empty", nil)
	put(t, s, "empty2", store.Bytes(nil))
	if got, err := read(t.Context(), s, "empty2", 0, 0); err != nil || len(got) != 0 {
		t.Errorf("nothing of nothing: %q, %v", got, err)
	}
}

func putExists(t *testing.T, s store.Full) {
	put(t, s, "p/a", body(1, 1000))
	for _, b := range []store.Body{body(2, 1000), body(2, 10), body(1, 1000)} {
		_, err := s.Put(t.Context(), "p/a", b, nil)
		wantKind(t, "Put over an object", err, coffer.KindExists)
	}
	wantContent(t, s, "p/a", content(1, 1000))
}

// putOneOfMany: of many writers of one name, one wins and the object is its.
func putOneOfMany(t *testing.T, s store.Full) {
	const writers = 8
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { _, errs[i] = s.Put(t.Context(), "p/c/one", body(i, 50_000+i), nil) })
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("both %d and %d wrote the name", winner, i)
		case err == nil:
			winner = i
		default:
			wantKind(t, "a losing Put", err, coffer.KindExists)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	wantContent(t, s, "p/c/one", content(winner, 50_000+winner))
}

// putAllOrNothing: whoever sees the object sees all of it, by every way to look.
func putAllOrNothing(t *testing.T, s store.Full) {
	const n = 512 << 10
	want := content(7, n)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for last := false; ; {
				lookWhole(t, s, "w/whole", want)
				if last {
					return
				}
				select {
				case <-done:
					last = true
				default:
				}
			}
		})
	}
	put(t, s, "w/whole", body(7, n))
	close(done)
	wg.Wait()
}

func lookWhole(t *testing.T, s store.Full, name string, want []byte) {
	ctx := context.WithoutCancel(t.Context())
	if o, err := s.Stat(ctx, name); err == nil && o.Size != int64(len(want)) || err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("Stat in mid-write: %+v, %v", o, err)
	}
	if got, err := read(ctx, s, name, 0, -1); err == nil && !bytes.Equal(got, want) || err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("a reader in mid-write got %d bytes, %v", len(got), err)
	}
	for o, err := range s.List(ctx, "") {
		if err != nil || o.Name != name || o.Size != int64(len(want)) {
			t.Errorf("List in mid-write: %+v, %v", o, err)
		}
	}
}

func openRanges(t *testing.T, s store.Full) {
	const n = 100_000
	want := content(3, n)
	put(t, s, "p/r", body(3, n))
	for _, r := range []struct{ off, n int64 }{
		{0, -1}, {0, n}, {0, 1}, {n - 1, 1}, {n - 1, -1}, {1, n - 2}, {65_536, 4096}, {50_000, -1}, {10, 0}, {n, 0},
	} {
		end := r.off + r.n
		if r.n < 0 {
			end = n
		}
		got, err := read(t.Context(), s, "p/r", r.off, r.n)
		if err != nil || !bytes.Equal(got, want[r.off:end]) {
			t.Errorf("range %+v: %d bytes, %v", r, len(got), err)
		}
	}
	for _, off := range []int64{n + 1, 10 * n, -1} {
		_, err := read(t.Context(), s, "p/r", off, 1)
		wantKind(t, fmt.Sprintf("a range at %d of %d", off, n), err, coffer.KindInvalid)
	}
	got, err := read(t.Context(), s, "p/r", n-10, 20)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(got, want[n-10:]) {
		t.Errorf("20 of the last 10 bytes: %d bytes, %v; want 10 and io.ErrUnexpectedEOF", len(got), err)
	}
	r, err := s.Open(t.Context(), "p/r", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closed before its end: %v", err)
	}
}

func openConcurrent(t *testing.T, s store.Full) {
	const n = 200_000
	want := content(4, n)
	put(t, s, "p/r", body(4, n))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			off := int64(i * 20_000)
			if got, err := read(t.Context(), s, "p/r", off, 30_000); err != nil || !bytes.Equal(got, want[off:off+30_000]) {
				t.Errorf("range at %d: %d bytes, %v", off, len(got), err)
			}
		})
	}
	wg.Wait()
}

func absent(t *testing.T, s store.Full) {
	put(t, s, "p/c/there", body(1, 10))
	for _, name := range []string{"no", "p/no", "p/c/no", "p", "p/c", "p/c/ther", "q/r/s"} {
		wantAbsent(t, s, name)
		if err := s.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete of the absent %q: %v", name, err)
		}
	}
	wantContent(t, s, "p/c/there", content(1, 10))
}

func listOrder(t *testing.T, s store.Full) {
	want := []string{
		"A", "a-b", "a.b/x", "a/b", "a/b-c", "a/c/d", "a/c/e", "a0", "ab/c", "b", "b.d/1", "b0/c", "z/y-/1", "z/y/1", "z/y0", "ä",
	}
	for i := range want {
		j := (i*7 + 3) % len(want)
		put(t, s, want[j], body(j, j))
	}
	got := list(t, s, "")
	if d := cmp.Diff(want, names(got)); d != "" {
		t.Errorf("not in byte order of whole names (-want +got):\n%s", d)
	}
	for _, o := range got {
		if i := slices.Index(want, o.Name); o.Size != int64(i) {
			t.Errorf("%q has the size %d, want %d", o.Name, o.Size, i)
		}
	}
}

func listPrefix(t *testing.T, s store.Full) {
	all := []string{"p/c/b1.json", "p/c/b10.json", "p/c/b1_0", "p/c/b2.json", "p/cc/b1", "p/d", "q/c/b1"}
	for _, name := range all {
		put(t, s, name, body(1, 1))
	}
	for _, prefix := range []string{"", "p", "p/", "p/c", "p/c/", "p/c/b1", "p/c/b1.", "p/c/b1_", "p/c/b2.json", "p/c/b2.jsonx", "q", "r/", "P", "p/c/b1/x"} {
		want := []string{}
		for _, name := range all {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		if d := cmp.Diff(want, names(list(t, s, prefix))); d != "" {
			t.Errorf("prefix %q (-want +got):\n%s", prefix, d)
		}
	}
}

func listStop(t *testing.T, s store.Full) {
	for i := range 5 {
		put(t, s, fmt.Sprintf("d%d/x", i), body(i, 1))
	}
	n := 0
	for _, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for o, err := range s.List(ctx, "") {
		if last != nil {
			t.Errorf("List goes on after its error with %+v, %v", o, err)
		}
		last = err
		cancel()
	}
	wantKind(t, "List whose context ends", last, coffer.KindCanceled)
}

func listMany(t *testing.T, s store.Full) {
	var want []string
	for i := range 120 {
		want = append(want, fmt.Sprintf("m/%03d", i))
	}
	for _, name := range want {
		put(t, s, name, body(1, 1))
	}
	if d := cmp.Diff(want, names(list(t, s, "m/"))); d != "" {
		t.Error(d)
	}
}

func (l law) remove(t *testing.T, s store.Full) {
	ctx := t.Context()
	put(t, s, "p/c/a", body(1, 10))
	put(t, s, "p/c/b", body(2, 20))
	err := s.Delete(ctx, "p/c/a")
	if l.writeOnce {
		wantKind(t, "Delete", err, coffer.KindKept)
		wantContent(t, s, "p/c/a", content(1, 10))
		o, serr := s.Stat(ctx, "p/c/a")
		if serr != nil || !o.KeptUntil.After(time.Now()) || !strings.Contains(err.Error(), o.KeptUntil.UTC().Format(time.DateOnly)) {
			t.Errorf("Stat says kept until %v, %v; the refusal was %q", o.KeptUntil, serr, err)
		}
		return
	}
	for range 2 {
		if err != nil {
			t.Errorf("Delete: %v", err)
		}
		wantAbsent(t, s, "p/c/a")
		err = s.Delete(ctx, "p/c/a")
	}
	wantContent(t, s, "p/c/b", content(2, 20))
	put(t, s, "p/c/a", body(3, 30))
	wantContent(t, s, "p/c/a", content(3, 30))
	for _, name := range []string{"p/c/a", "p/c/b"} {
		if err := s.Delete(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if got := list(t, s, ""); len(got) > 0 {
		t.Errorf("after every delete there is %v", names(got))
	}
	put(t, s, "p/c", body(4, 4)) // what was a folder can be an object now
	wantContent(t, s, "p/c", content(4, 4))
}

func canceled(t *testing.T, s store.Full) {
	put(t, s, "p/there", body(1, 100_000))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, "p/there", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.ReadAll(r)
	wantKind(t, "reading on after the end", err, coffer.KindCanceled)
	_ = r.Close()
	_, err = s.Put(ctx, "p/new", body(2, 10), nil)
	wantKind(t, "Put", err, coffer.KindCanceled)
	_, err = s.Open(ctx, "p/there", 0, -1)
	wantKind(t, "Open", err, coffer.KindCanceled)
	_, err = s.Stat(ctx, "p/there")
	wantKind(t, "Stat", err, coffer.KindCanceled)
	wantKind(t, "Delete", s.Delete(ctx, "p/there"), coffer.KindCanceled)
	wantAbsent(t, s, "p/new")
	wantContent(t, s, "p/there", content(1, 100_000))
	late, cancelLate := context.WithTimeout(t.Context(), -time.Second)
	defer cancelLate()
	_, err = s.Stat(late, "p/there")
	wantKind(t, "Stat after the deadline", err, coffer.KindUnavailable)
}
