package storetest

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// sizesOf are the parts of the suite's uploads. S3 wants 5 MiB of all but the last,
// which a suite of many tests can rarely afford; a store whose server insists says so
// (see [Leaster]).
func sizesOf(s store.Full) []int {
	sizes := []int{40_000, 40_000, 70_001, 5}
	if l, ok := s.(Leaster); ok {
		for i := range sizes[:len(sizes)-1] {
			sizes[i] += l.LeastPart()
		}
	}
	return sizes
}

// whole is what the parts of an upload with that seed make.
func whole(s store.Full, seed int) []byte {
	var b []byte
	for i, n := range sizesOf(s) {
		b = append(b, content(seed+i, n)...)
	}
	return b
}

func begin(t *testing.T, s store.Full, name string) store.Upload {
	t.Helper()
	u, err := s.Begin(t.Context(), name, store.Meta{"kind": "test"})
	if err != nil {
		t.Fatalf("Begin %q: %v", name, err)
	}
	if u.Name != name || u.Token == "" {
		t.Fatalf("Begin %q answers %+v", name, u)
	}
	if !u.Begun.IsZero() && !recent(u.Begun) {
		t.Errorf("begun %v", u.Begun)
	}
	return u
}

func send(ctx context.Context, s store.Full, u store.Upload, seed, i int) (store.Part, error) {
	off := 0
	for _, n := range sizesOf(s)[:i] {
		off += n
	}
	return s.Part(ctx, u, i, int64(off), body(seed+i, sizesOf(s)[i]))
}

func sendAll(t *testing.T, s store.Full, u store.Upload, seed int) []store.Part {
	t.Helper()
	parts := make([]store.Part, len(sizesOf(s)))
	for i := range sizesOf(s) {
		p, err := send(t.Context(), s, u, seed, i)
		if err != nil {
			t.Fatalf("Part %d: %v", i, err)
		}
		if p.Index != i || p.Size != int64(sizesOf(s)[i]) || p.SHA256 != body(seed+i, sizesOf(s)[i]).SHA256() {
			t.Errorf("Part %d answers %+v", i, p)
		}
		parts[i] = p
	}
	return parts
}

func complete(t *testing.T, s store.Full, u store.Upload, parts []store.Part) {
	t.Helper()
	o, err := s.Complete(t.Context(), u, parts)
	if err != nil {
		t.Fatalf("Complete %q: %v", u.Name, err)
	}
	var size int64
	for _, p := range parts {
		size += p.Size
	}
	if o.Name != u.Name || o.Size != size {
		t.Errorf("Complete of %d bytes answers %+v", size, o)
	}
}

func stale(t *testing.T, s store.Full, prefix string) []string {
	t.Helper()
	out := []string{}
	for u, err := range s.Stale(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("Stale %q: %v", prefix, err)
		}
		out = append(out, u.Name)
	}
	slices.Sort(out)
	return out
}

func uploadOutOfOrder(t *testing.T, s store.Full) {
	u := begin(t, s, "p/c/big")
	parts := make([]store.Part, len(sizesOf(s)))
	for _, i := range []int{3, 1, 0, 2} {
		p, err := send(t.Context(), s, u, 10, i)
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = p
	}
	complete(t, s, u, parts)
	wantContent(t, s, "p/c/big", whole(s, 10))
	if got := stale(t, s, ""); len(got) > 0 {
		t.Errorf("a completed upload is stale: %v", got)
	}
}

func uploadParallel(t *testing.T, s store.Full) {
	u := begin(t, s, "big")
	parts := make([]store.Part, len(sizesOf(s)))
	var wg sync.WaitGroup
	for i := range sizesOf(s) {
		wg.Go(func() {
			p, err := send(t.Context(), s, u, 20, i)
			if err != nil {
				t.Errorf("Part %d: %v", i, err)
			}
			parts[i] = p
		})
	}
	wg.Wait()
	complete(t, s, u, parts)
	wantContent(t, s, "big", whole(s, 20))
}

// uploadResent: a part that is sent again counts once, and two senders of it at
// the same time do no harm.
func uploadResent(t *testing.T, s store.Full) {
	u := begin(t, s, "p/big")
	parts := sendAll(t, s, u, 30)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := send(t.Context(), s, u, 30, 1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p, err := send(t.Context(), s, u, 30, 1)
	if err != nil {
		t.Fatal(err)
	}
	parts[1] = p
	complete(t, s, u, parts)
	wantContent(t, s, "p/big", whole(s, 30))
}

func uploadEmpty(t *testing.T, s store.Full) {
	complete(t, s, begin(t, s, "p/none"), nil)
	wantContent(t, s, "p/none", nil)
	u := begin(t, s, "p/zero")
	p, err := s.Part(t.Context(), u, 0, 0, store.Body{})
	if err != nil {
		t.Fatal(err)
	}
	complete(t, s, u, []store.Part{p})
	wantContent(t, s, "p/zero", nil)
}

func uploadBadParts(t *testing.T, s store.Full) {
	u := begin(t, s, "p/bad")
	parts := sendAll(t, s, u, 40)
	gap := slices.Clone(parts)
	gap[2].Offset++
	swapped := slices.Clone(parts)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	for what, bad := range map[string][]store.Part{
		"the first missing": parts[1:], "swapped": swapped, "a gap": gap, "a part twice": append(slices.Clone(parts), parts[3]),
		"one never sent": append(slices.Clone(parts), store.Part{Index: 4, Offset: int64(len(whole(s, 40))), Size: 9, SHA256: body(1, 9).SHA256(), Token: "x"}),
	} {
		_, err := s.Complete(t.Context(), u, bad)
		wantKind(t, "Complete with "+what, err, coffer.KindInvalid)
		wantAbsent(t, s, "p/bad")
	}
	for _, p := range []struct {
		i   int
		off int64
	}{{-1, 0}, {0, -1}} {
		_, err := s.Part(t.Context(), u, p.i, p.off, body(1, 1))
		wantKind(t, "Part out of range", err, coffer.KindInvalid)
	}
	complete(t, s, u, parts)
	wantContent(t, s, "p/bad", whole(s, 40))
}

func uploadExists(t *testing.T, s store.Full) {
	put(t, s, "p/a", body(1, 10))
	_, err := s.Begin(t.Context(), "p/a", nil)
	wantKind(t, "Begin over an object", err, coffer.KindExists)
	u := begin(t, s, "p/b")
	parts := sendAll(t, s, u, 50)
	put(t, s, "p/b", body(2, 20))
	_, err = s.Complete(t.Context(), u, parts)
	wantKind(t, "Complete over an object", err, coffer.KindExists)
	wantContent(t, s, "p/b", content(2, 20))
	if err := s.Abort(t.Context(), u); err != nil {
		t.Error(err)
	}
	wantContent(t, s, "p/b", content(2, 20))
}

func uploadInvisible(t *testing.T, s store.Full) {
	u := begin(t, s, "p/c/unseen")
	wantAbsent(t, s, "p/c/unseen")
	parts := sendAll(t, s, u, 110)
	wantAbsent(t, s, "p/c/unseen")
	if got := list(t, s, ""); len(got) > 0 {
		t.Errorf("an upload shows as %v", names(got))
	}
	want := whole(s, 110)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			lookWhole(t, s, "p/c/unseen", want)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	complete(t, s, u, parts)
	close(done)
	wg.Wait()
}

func uploadStale(t *testing.T, s store.Full) {
	for _, name := range []string{"p/c/1", "p/c/2", "p/d/1", "q/1"} {
		u := begin(t, s, name)
		if name == "p/c/2" {
			if _, err := send(t.Context(), s, u, 1, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for prefix, want := range map[string][]string{
		"": {"p/c/1", "p/c/2", "p/d/1", "q/1"}, "p/c/": {"p/c/1", "p/c/2"}, "p/c/2": {"p/c/2"}, "r": {},
	} {
		if d := cmp.Diff(want, stale(t, s, prefix)); d != "" {
			t.Errorf("Stale %q (-want +got):\n%s", prefix, d)
		}
	}
	for u, err := range s.Stale(t.Context(), "p/") {
		if err != nil {
			t.Fatal(err)
		}
		if !u.Begun.IsZero() && !recent(u.Begun) {
			t.Errorf("begun %v", u.Begun)
		}
		if err := s.Abort(t.Context(), u); err != nil {
			t.Errorf("Abort of a stale upload: %v", err)
		}
	}
	if d := cmp.Diff([]string{"q/1"}, stale(t, s, "")); d != "" {
		t.Errorf("after the aborts (-want +got):\n%s", d)
	}
}

// uploadTravels: begin, send and complete by three values for one place, with
// the Upload and the Parts as JSON between them.
func uploadTravels(t *testing.T, s store.Full) {
	next := func() store.Full {
		if r, ok := s.(Reopener); ok {
			return r.Reopen(t)
		}
		return s
	}
	u := travel(t, begin(t, s, "p/c/far"))
	other := next()
	parts := travel(t, sendAll(t, other, u, 120))
	third := next()
	if d := cmp.Diff([]string{"p/c/far"}, stale(t, third, "p/")); d != "" {
		t.Errorf("a third process sees (-want +got):\n%s", d)
	}
	complete(t, third, travel(t, u), parts)
	wantContent(t, s, "p/c/far", whole(s, 120))
	wantContent(t, other, "p/c/far", whole(s, 120))
}

func travel[T any](t *testing.T, v T) (out T) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// uploadWrongName: a token is good for the name it was given out for.
func uploadWrongName(t *testing.T, s store.Full) {
	u := begin(t, s, "mine/a")
	parts := sendAll(t, s, u, 130)
	forged := u
	forged.Name = "yours/a"
	_, err := s.Complete(t.Context(), forged, parts)
	wantKind(t, "Complete under another name", err, coffer.KindInvalid, coffer.KindNotFound, coffer.KindForbidden)
	wantAbsent(t, s, "yours/a")
	wantAbsent(t, s, "mine/a")
	complete(t, s, u, parts)
}

// uploadLatePart: a part that comes after Complete changes nothing.
func uploadLatePart(t *testing.T, s store.Full) {
	u := begin(t, s, "p/late")
	complete(t, s, u, sendAll(t, s, u, 140))
	_, err := s.Part(t.Context(), u, 0, 0, body(9, sizesOf(s)[0]))
	wantKind(t, "Part after Complete", err, coffer.KindExists, coffer.KindNotFound)
	wantContent(t, s, "p/late", whole(s, 140))
}

func uploadCanceled(t *testing.T, s store.Full) {
	u := begin(t, s, "p/cut")
	parts := sendAll(t, s, u, 150)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Begin(ctx, "p/new", nil)
	wantKind(t, "Begin", err, coffer.KindCanceled)
	_, err = send(ctx, s, u, 150, 0)
	wantKind(t, "Part", err, coffer.KindCanceled)
	_, err = s.Complete(ctx, u, parts)
	wantKind(t, "Complete", err, coffer.KindCanceled)
	wantKind(t, "Abort", s.Abort(ctx, u), coffer.KindCanceled)
	err = nil
	for _, e := range s.Stale(ctx, "") {
		err = e
	}
	wantKind(t, "Stale", err, coffer.KindCanceled)
	wantAbsent(t, s, "p/cut")
	complete(t, s, u, parts)
	wantContent(t, s, "p/cut", whole(s, 150))
}

// uploadKeepsAnother: ending one upload leaves others of the same name and their
// neighbours alone.
func (l law) uploadKeepsAnother(t *testing.T, s store.Full) {
	put(t, s, "p/neighbour", body(1, 10))
	a, b := begin(t, s, "p/up"), begin(t, s, "p/up")
	partsA, _ := sendAll(t, s, a, 160), sendAll(t, s, b, 170)
	if err := s.Abort(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	complete(t, s, a, partsA)
	wantContent(t, s, "p/up", whole(s, 160))
	wantContent(t, s, "p/neighbour", content(1, 10))
	err := s.Delete(t.Context(), "p/up")
	if l.writeOnce {
		wantKind(t, "Delete of a completed upload", err, coffer.KindKept)
		return
	}
	if err != nil {
		t.Error(err)
	}
	wantAbsent(t, s, "p/up")
	wantContent(t, s, "p/neighbour", content(1, 10))
}
