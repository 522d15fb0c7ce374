package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// A ring against a plain queue: any puts and gets, in unlike sizes.
func TestRingIsAQueueThatStaysInItsFile(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "ring"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rapid.Check(t, func(t *rapid.T) {
		r := ring{file: f, max: rapid.Int64Range(1, 50).Draw(t, "max")}
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		var model []byte
		next := byte(0)
		for range rapid.IntRange(1, 60).Draw(t, "acts") {
			if rapid.Bool().Draw(t, "put") {
				p := make([]byte, rapid.Int64Range(0, r.room()).Draw(t, "n"))
				for i := range p {
					next++
					p[i] = next
				}
				r.rewind()
				if err := r.write(p, r.at, r.n); err != nil {
					t.Fatal(err)
				}
				r.n += int64(len(p))
				model = append(model, p...)
				continue
			}
			got := make([]byte, rapid.Int64Range(0, r.n).Draw(t, "n"))
			if err := r.read(got, r.at); err != nil {
				t.Fatal(err)
			}
			r.drop(int64(len(got)))
			if !bytes.Equal(got, model[:len(got)]) {
				t.Fatalf("%v came out, not %v", got, model[:len(got)])
			}
			model = model[len(got):]
		}
		if st, err := f.Stat(); err != nil || st.Size() > r.max {
			t.Fatalf("the file has %d bytes of %d: %v", st.Size(), r.max, err)
		}
	})
}
