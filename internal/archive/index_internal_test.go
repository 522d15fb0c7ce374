package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// FuzzIndex feeds lines that may be anything to the reader of indexes: it must
// refuse them as corrupt, or give a table that fits the manifest.
func FuzzIndex(f *testing.F) {
	const id = "0a000000-0000-4000-8000-00000000000a"
	f.Add([]byte(`{"index":"coffer-index/1","backup":"`+id+`"}`+"\n"+`{"name":"a","size":1}`+"\n"+`{"frames":[[1048576,10],[7,5]]}`+"\n"), int64(2), int64(1048583))
	f.Add([]byte(`{"index":"coffer-index/1","backup":"`+id+`"}`+"\n"+`{"frames":[[0,10]]}`+"\n"), int64(1), int64(0))
	f.Add([]byte(`{"frames":[[-1,10],[1e3]]}`), int64(1), int64(0))
	f.Add([]byte("\n\n\x00"), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, text []byte, frames, plain int64) {
		a := &Archive{m: Manifest{Backup: id, Frames: frames, Sizes: coffer.Sizes{Plain: plain}, Volumes: []Volume{{Size: 15}}}}
		x := spooled(t, text)
		defer x.close()
		if err := a.buildTable(x); err != nil {
			if !coffer.IsKind(err, coffer.KindCorrupt) {
				t.Errorf("kind %s: %v", coffer.KindOf(err), err)
			}
			return
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

// spooled is an index of text as it would lie in the spool.
func spooled(t *testing.T, text []byte) *indexFile {
	t.Helper()
	var b bytes.Buffer
	w, err := codec.NewWriter(&b, codec.Zstd, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	x := &indexFile{size: int64(b.Len())}
	dir := t.TempDir()
	for name, file := range map[string]**os.File{"raw": &x.raw, "table": &x.table} {
		if *file, err = os.Create(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.raw.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestFind(t *testing.T) {
	t.Parallel()
	a := &Archive{m: Manifest{Backup: "0a000000-0000-4000-8000-00000000000a", Frames: 3, Sizes: coffer.Sizes{Plain: 25}, Volumes: []Volume{{Size: 9}}}}
	x := spooled(t, []byte(`{"index":"coffer-index/1","backup":"0a000000-0000-4000-8000-00000000000a"}`+"\n"+`{"frames":[[10,2],[10,3]]}`+"\n"+`{"frames":[[5,4]]}`+"\n"))
	defer x.close()
	if err := a.buildTable(x); err != nil {
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
