package archivetest

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// Large writes an archive of that many parts where an object of the store has at most
// most: it goes on in further volumes, is verified, read in whole and in ranges, and
// deleted without a rest. look, which may be nil, sees each volume while it is there.
func Large(t *testing.T, s Site, parts, most int, look func(t *testing.T, v archive.Volume)) {
	const part = 4 << 10
	p, id, plain := s.sound(t), newID(), Content(9, parts*part-part/2)
	o := options(part, steady)
	o.InFlight, o.MaxParts = 32*part, most
	Save(t, p, id, plain, o)
	a, err := archive.Open(t.Context(), p, id, archive.Want{Workers: 2, Retry: steady})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	volumes := a.Manifest().Volumes
	got := 0
	for i, v := range volumes {
		got += len(v.Parts)
		if len(v.Parts) > most || i < len(volumes)-1 && len(v.Parts) < most {
			t.Errorf("volume %s has %d parts, an object of the store has at most %d", v.Name, len(v.Parts), most)
		}
		if look != nil {
			look(t, v)
		}
	}
	if want := (got + most - 1) / most; got < parts || len(volumes) != want {
		t.Errorf("%d parts in %d volumes, want %d in %d", got, len(volumes), parts, want)
	}
	if rep, err := a.Verify(t.Context(), nil); err != nil || rep.Parts != got || rep.PlainBytes != int64(len(plain)) || rep.Index != archive.IndexOK {
		t.Errorf("verified %+v, %v", rep, err)
	}
	WantRead(t, p, id, plain)
	for _, off := range []int64{0, 1, int64(most) * part, int64(len(plain)) / 2, int64(len(plain)) - 100} {
		var b bytes.Buffer
		n := min(50_000, int64(len(plain))-off)
		r, err := a.Range(t.Context(), off, n)
		if err == nil {
			_, err = io.Copy(&b, r)
			_ = r.Close()
		}
		if err != nil || !bytes.Equal(b.Bytes(), plain[off:off+n]) {
			t.Errorf("the range of %d from %d: %d bytes, %v", n, off, b.Len(), err)
		}
	}
	s.wantDeleted(t, id)
}

// Sizes writes streams whose stored bytes are next to nothing, one part exactly, and
// exactly some parts: no part is empty, and none too many.
func Sizes(t *testing.T, s Site) {
	p := s.sound(t)
	stored := func(plain []byte) int64 {
		mem := archive.Place{Store: storetest.NewMemory(), Prefix: s.Prefix}
		id := newID()
		Save(t, mem, id, plain, options(1<<20, steady))
		a, err := archive.Open(t.Context(), mem, id, archive.Want{})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		return a.Manifest().DataBytes()
	}
	plain := Content(4, 60_000)
	for stored(plain)%4 != 0 {
		plain = plain[1:]
	}
	size := stored(plain)
	for _, c := range []struct {
		plain []byte
		part  int64
		want  []int64
	}{
		{nil, 1 << 10, []int64{stored(nil)}},
		{plain, size, []int64{size}},
		{plain, size / 4, []int64{size / 4, size / 4, size / 4, size / 4}},
		{plain, size - 1, []int64{size - 1, 1}},
	} {
		id := newID()
		o := options(c.part, steady)
		o.InFlight = 4 << 20
		Save(t, p, id, c.plain, o)
		a, err := archive.Open(t.Context(), p, id, archive.Want{Retry: steady})
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, v := range a.Manifest().Volumes {
			for _, part := range v.Parts {
				got = append(got, part.Size)
			}
		}
		_ = a.Close()
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%d stored bytes in parts of %d (-want +got):\n%s", size, c.part, d)
		}
		WantRead(t, p, id, c.plain)
		s.wantDeleted(t, id)
	}
}

// Kept gives an archive up on a store that refuses every delete: before its objects are
// whole nothing is left of it; afterwards it is told until when they stay, the backup
// is dead at once, and then a wipe clears it.
func Kept(t *testing.T, s Site) {
	inner := s.sound(t)
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	p := archive.Place{Store: storetest.WriteOnce(inner.Store, until), Prefix: s.Prefix}
	o := options(16<<10, steady)
	o.MaxParts = 3

	early := newID()
	w, err := Create(t.Context(), p, early, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := pour(w, Content(5, 3<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{s.Prefix + archive.IntentName(early)}, s.Keys(t, string(early))); d != "" {
		t.Errorf("given up before its objects were whole (-want +got):\n%s", d)
	}
	s.wantNoUploads(t, p, early)

	late := newID()
	if w, err = Create(t.Context(), p, late, o); err != nil {
		t.Fatal(err)
	}
	if err := pour(w, Content(6, 200<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context(), Manifest()); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(t.Context()); !coffer.IsKind(err, coffer.KindKept) || !bytes.Contains([]byte(fmt.Sprint(err)), []byte(until.UTC().Format(time.DateOnly))) {
		t.Errorf("given up with whole objects: %v (%s)", err, coffer.KindOf(err))
	}
	if err := archive.Tombstone(t.Context(), p, late); err != nil {
		t.Error(err)
	}
	if _, err := read(t.Context(), p, late, steady); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("a dead backup is read: %v", err)
	}
	s.wantSwept(t, late) // once the store lets it go
	s.wantSwept(t, early)
}
