package layers_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

// Of a chain one table is joined: nothing of another is read, and what is wrong with
// the pages of another is no error. The plan tells beforehand what is read.
func TestSomeFiles(t *testing.T) {
	t.Parallel()
	full := newFake("full").whole("ibdata1", 0, 4, 'a').whole("d/t.ibd", 5, 6, 'a').whole("d/big.ibd", 6, 40, 'a').small("d/t.frm", engine.KindFile, "old")
	inc := newFake("inc").delta("ibdata1", 0, 0, 'b', 1).delta("d/new.ibd", 5, 6, 'b', 0, 3).delta("d/big.ibd", 6, 0, 'b', 39).
		delta("d/imported.ibd", 9, 0, 'b', 3).small("d/new.frm", engine.KindFile, "new")
	chain := []engine.Layer{full, inc}
	if _, err := layers.Join(t.Context(), chain, []string{"ibdata1"}, new(memory)); err == nil {
		t.Fatal("a tablespace without its page 0 is joined")
	}
	p, err := layers.JoinSome(t.Context(), chain, []string{"ibdata1"}, new(memory), func(name string) bool {
		return name == "ibdata1" || name == "d/new.ibd" || name == "d/new.frm"
	})
	if err != nil {
		t.Fatal(err)
	}
	told, sizes := []int64{0, 0}, map[string]int64{}
	for m := range p.Files() {
		sizes[m.Name] = m.Size
		for x, err := range m.Extents {
			if err != nil {
				t.Fatal(err)
			}
			told[x.Layer] += x.Len
		}
	}
	if d := cmp.Diff(map[string]int64{"ibdata1": 4 * ps, "d/new.ibd": 6 * ps, "d/new.frm": 3}, sizes); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int64{(3 + 4) * ps, (1+2)*ps + 3}, told); d != "" {
		t.Errorf("read of each layer: %s", d)
	}
	files := map[string]*memory{}
	err = p.Write(t.Context(), layers.Options{Workers: 1, Create: func(name string) (layers.File, error) {
		files[name] = new(memory)
		return files[name], nil
	}})
	if err != nil || len(files) != 3 || string(files["d/new.frm"].b) != "new" || files["d/new.ibd"].b[3*ps+200] != 'b' || files["d/new.ibd"].b[4*ps+200] != 'a' {
		t.Errorf("%v, %d files", err, len(files))
	}
	if n := int64(len(full.read)) << 12; n > 12*ps { // of 50 pages; a short gap is read over
		t.Errorf("%d bytes of the full are read", n)
	}
}
