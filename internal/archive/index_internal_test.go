package archive

import (
	"bytes"
	"iter"
	"testing"

	"github.com/cofferdb/coffer"
)

// FuzzIndex feeds lines that may be anything to the reader of indexes: it must
// refuse them as corrupt, or give a table that fits the manifest.
func FuzzIndex(f *testing.F) {
	const id = "0a000000-0000-4000-8000-00000000000a"
	f.Add([]byte(`{"index":"coffer-index/1","backup":"`+id+`"}`+"\n"+`{"name":"a","size":1}`+"\n"+`{"frames":[[1048576,10],[7,5]]}`+"\n"), int64(2), int64(1048583))
	f.Add([]byte(`{"index":"coffer-index/1","backup":"`+id+`"}`+"\n"+`{"frames":[[0,10]]}`+"\n"), int64(1), int64(0))
	f.Add([]byte(`{"index":"coffer-index/1","backup":"`+id+`"}`+"\n"+`{"frames":[[7,15]]}`+"\n"), int64(1), int64(8))
	f.Add([]byte(`{"index":"coffer-index/1","backup":"`+id+`"}`+"\n"+`{"frames":[[7,15]]}`+"\n"), int64(2), int64(7))
	f.Add([]byte(`{"index":"coffer-index/1","backup":"0b000000-0000-4000-8000-00000000000b"}`+"\n"+`{"frames":[[7,15]]}`+"\n"), int64(1), int64(7))
	f.Add([]byte(`{"frames":[[-1,10],[1e3]]}`), int64(1), int64(0))
	f.Add([]byte("\n\n\x00"), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, text []byte, frames, plain int64) {
		a := &Archive{m: Manifest{Backup: id, Frames: frames, Sizes: coffer.Sizes{Plain: plain}, Volumes: []Volume{{Size: 15}}}}
		x := table(t)
		defer x.close()
		if err := a.buildTable(x, linesOf(text)); err != nil {
			if !coffer.IsKind(err, coffer.KindCorrupt) {
				t.Errorf("kind %s: %v", coffer.KindOf(err), err)
			}
			return
		}
		if !bytes.Contains(text, []byte(id)) {
			t.Error("the index of another backup was taken")
		}
		var n, sum int64
		for fr := range x.frames() {
			n, sum = n+1, sum+fr.Plain
		}
		if n != frames || sum != plain {
			t.Errorf("%d frames of %d bytes, the manifest has %d of %d", n, sum, frames, plain)
		}
		if _, err := x.find(plain / 2); err != nil {
			t.Error(err)
		}
	})
}

// table is an index that has a table alone.
func table(t *testing.T) *indexFile {
	t.Helper()
	f, err := spoolFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &indexFile{table: f}
}

func linesOf(text []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { eachLine(bytes.NewReader(text), yield) }
}

func TestFind(t *testing.T) {
	t.Parallel()
	a := &Archive{m: Manifest{Backup: "0a000000-0000-4000-8000-00000000000a", Frames: 3, Sizes: coffer.Sizes{Plain: 25}, Volumes: []Volume{{Size: 9}}}}
	x := table(t)
	defer x.close()
	text := `{"index":"coffer-index/1","backup":"0a000000-0000-4000-8000-00000000000a"}` + "\n" +
		`{"frames":[[10,2],[10,3]]}` + "\n" + `{"frames":[[5,4]]}` + "\n"
	if err := a.buildTable(x, linesOf([]byte(text))); err != nil {
		t.Fatal(err)
	}
	for off, want := range map[int64]int64{0: 0, 9: 0, 10: 1, 19: 1, 20: 2, 24: 2, 25: 3} {
		if got, err := x.find(off); got != want || err != nil {
			t.Errorf("offset %d is in frame %d, want %d (%v)", off, got, want, err)
		}
	}
}

// A part counted over 52 GiB and 600 GiB stays under the stores' bounds.
func TestDefaultPartSizeReaches(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		parts int
		bytes int64
	}{{1000, 52 << 30}, {10000, 600 << 30}} {
		var sum int64
		for i := range tc.parts {
			sum += DefaultPartSize(i)
		}
		if sum < tc.bytes {
			t.Errorf("%d parts hold %d bytes, want %d", tc.parts, sum, tc.bytes)
		}
	}
}
