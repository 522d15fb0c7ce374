package archive_test

import (
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
)

// Where plain bytes lie among the stored ones is told frame by frame: neighbours
// join, all of them are all that is stored, and what is read of a range is within.
func TestStoredPlace(t *testing.T) {
	t.Parallel()
	p, _ := memory()
	plain := content(3, 5<<20+77)
	s := commit(t, p, backupA, plain, small())
	a, err := archive.Open(t.Context(), p, backupA, archive.Want{ManifestSHA256: s.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	place := func(off, n int64) [2]int64 {
		from, to, err := a.Stored(t.Context(), off, n)
		if err != nil {
			t.Fatal(err)
		}
		return [2]int64{from, to}
	}
	n := int64(len(plain))
	all := place(0, n)
	if all != [2]int64{0, a.Manifest().DataBytes()} {
		t.Errorf("all of it lies at %v", all)
	}
	const frame = 1 << 20
	first, second := place(0, 1), place(frame, 1)
	if first[0] != 0 || first[1] != second[0] || second[1] <= second[0] || place(0, frame) != first || place(frame-1, 2) != [2]int64{0, second[1]} {
		t.Errorf("frames lie at %v and %v", first, second)
	}
	if last := place(n-1, 1); last[1] != all[1] {
		t.Errorf("the last byte lies at %v", last)
	}
	for _, r := range [][2]int64{{-1, 1}, {0, 0}, {n, 1}, {1, n}} {
		if _, _, err := a.Stored(t.Context(), r[0], r[1]); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%v: %v", r, err)
		}
	}
}
