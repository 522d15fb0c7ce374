package mysql

import (
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// TestChainsThatThePrepareWouldSpoil holds the scenes in which the stock prepare
// loses or refuses a table, and their harmless neighbours.
func TestChainsThatThePrepareWouldSpoil(t *testing.T) {
	t.Parallel()
	// The parent has a (7), b (8) and c (9).
	base := parent(t, full(t).whole("app/a.ibd", 7).whole("app/b.ibd", 8).whole("app/c.ibd", 9).closing(fullCheckpoints))
	merging := base
	merging.Position.PageLists = true
	abc := func() *scene {
		return increment(t).delta("app/a.ibd", 7, 3).delta("app/b.ibd", 8).delta("app/c.ibd", 9)
	}
	for name, c := range map[string]struct {
		layer *scene
		table string // "" is fine
	}{
		"nothing":                         {abc(), ""},
		"a table made before":             {abc().delta("app/n.ibd", 20, 0, 1, 2, 3), ""},
		"imported and untouched":          {abc().delta("app/n.ibd", 20), "app/n"},
		"imported, some pages changed":    {abc().delta("app/n.ibd", 20, 3, 5), "app/n"},
		"imported and grown":              {abc().delta("app/n.ibd", 20, 0, 3, 5), "app/n"},
		"a table made meanwhile":          {abc().whole("app/n.new", 20), ""},
		"one made and not flushed":        {abc().whole("app/n.new", 0), ""},
		"made under a parent's name":      {increment(t).delta("app/b.ibd", 8).delta("app/c.ibd", 9).file("app/a.del", "").whole("app/a.new", 20), "app/a"},
		"the same, not flushed":           {increment(t).delta("app/b.ibd", 8).delta("app/c.ibd", 9).whole("app/a.new", 0), "app/a"},
		"sent again as new":               {increment(t).delta("app/b.ibd", 8).delta("app/c.ibd", 9).whole("app/a.new", 7), ""},
		"swapped before":                  {increment(t).delta("app/b.ibd", 7).delta("app/a.ibd", 8).delta("app/c.ibd", 9), ""},
		"renamed meanwhile":               {abc().file("app/a.ren", "app/d"), ""},
		"renamed to what it was":          {increment(t).delta("app/x.ibd", 7).delta("app/b.ibd", 8).delta("app/c.ibd", 9).file("app/x.ren", "app/a"), ""},
		"renamed onto a parent's name":    {increment(t).delta("app/a.ibd", 7).delta("app/c.ibd", 9).file("app/a.ren", "app/b"), "app/b"},
		"swapped meanwhile":               {abc().file("app/a.ren", "app/b").file("app/b.ren", "app/a"), "app/b"},
		"shifted, none of it in parent":   {abc().delta("app/m.ibd", 20, 0, 1, 2, 3).delta("app/n.ibd", 21, 0, 1, 2, 3).file("app/m.ren", "app/n").file("app/n.ren", "app/o"), "app/n"},
		"old moved away, new in its name": {abc().file("app/a.ren", "app/old").whole("app/a.new", 20), "app/a"},
		"dropped meanwhile":               {abc().file("app/a.del", ""), ""},
		"dropped before":                  {increment(t).delta("app/b.ibd", 8).delta("app/c.ibd", 9), ""},
	} {
		stream := c.layer.closing(incrCheckpoints)
		_, _, err := pass(stream, base, 1500, 1<<20)
		lossy := c.table != "" && !strings.HasPrefix(name, "imported")
		switch i, _, err := pass(stream, merging, 1500, 1<<20); { // what a merge restores is let pass
		case lossy && (err != nil || !strings.Contains(i.MergeOnly, c.table)):
			t.Errorf("%s, onto a chain that can be merged: %v, %q", name, err, i.MergeOnly)
		case !lossy && (err == nil) != (c.table == "") || i.MergeOnly != "" && !lossy:
			t.Errorf("%s, onto a chain that can be merged: %v, %q", name, err, i.MergeOnly)
		}
		if _, err := passStock(stream, merging); lossy && !coffer.IsKind(err, coffer.KindNeedFull) {
			t.Errorf("%s, for the stock tool: got %v, want KindNeedFull", name, err)
		}
		switch {
		case c.table == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.table != "" && (!coffer.IsKind(err, coffer.KindNeedFull) || !strings.Contains(err.Error(), c.table) ||
			!strings.Contains(coffer.HintOf(err), "take a full")):
			t.Errorf("%s: got %v, want KindNeedFull with %s", name, err, c.table)
		}
	}
}

// TestSwapInAFull: the stock prepare of a full gets renames right, so they are no
// reason to refuse it.
func TestSwapInAFull(t *testing.T) {
	t.Parallel()
	i, _, err := pass(full(t).whole("app/a.ibd", 7).whole("app/b.ibd", 8).whole("app/t.ibd", 9).file("app/a.ren", "app/b").
		file("app/b.ren", "app/a").file("app/t.del", "").whole("app/t.new", 10).closing(fullCheckpoints), engine.Base{}, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"merges":true,"spaces":[{"id":1,"name":"undo001","whole":true},{"id":7,"name":"app/b","whole":true,"pages":"AAI="},` +
		`{"id":8,"name":"app/a","whole":true,"pages":"AAI="},{"id":10,"name":"app/t","whole":true,"pages":"AAI="}]}`
	if string(i.Summary) != want {
		t.Errorf("got %s\nwant %s", i.Summary, want)
	}
}

// TestSummaryFollowsTheChain: a table made after the full is known by its first
// delta; one that a layer lacks is gone, and its name is free.
func TestSummaryFollowsTheChain(t *testing.T) {
	t.Parallel()
	base := parent(t, full(t).whole("app/a.ibd", 7).closing(fullCheckpoints))
	next := func(s *scene) {
		t.Helper()
		i, _, err := pass(s.closing(incrCheckpoints), base, 1500, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		base.Summary = i.Summary
	}
	next(increment(t).delta("app/a.ibd", 7).delta("app/n.ibd", 20, 0, 1, 2, 3).whole("app/m.new", 21))
	next(increment(t).delta("app/n.ibd", 20).delta("app/m.ibd", 21, 5)) // a was dropped
	next(increment(t).delta("app/n.ibd", 20, 9).delta("app/m.ibd", 21).whole("app/a.new", 22))
	next(increment(t).delta("app/n.ibd", 20, 9).delta("app/m.ibd", 21).delta("app/a.ibd", 22))
	want := `{"v":1,"spaces":[{"id":1,"name":"undo001","whole":true,"page0":true},{"id":20,"name":"app/n","page0":true,"pages":"AAQFAQ=="},` +
		`{"id":21,"name":"app/m","whole":true,"pages":"AAIDAQ=="},{"id":22,"name":"app/a","whole":true,"pages":"AAI="}]}`
	if string(base.Summary) != want {
		t.Errorf("got %s\nwant %s", base.Summary, want)
	}
}

// TestImportIntoAKnownTablespaceIsSeen: DISCARD and IMPORT keep the tablespace's
// id, and no page of the import is in any increment. Only the table's id changes.
func TestImportIntoAKnownTablespaceIsSeen(t *testing.T) {
	t.Parallel()
	type ids = map[uint32]uint64
	run := func(base engine.Base, s *scene, checkpoints string, before, after ids) (streamInfo, error) {
		f := newStream(new(keep), base, base.Position.RedoStart)
		f.before, f.tables = before, after
		if _, err := f.Write(s.closing(checkpoints)); err != nil {
			return streamInfo{}, err
		}
		return f.finish()
	}
	base := parent(t, full(t).whole("app/a.ibd", 7).closing(fullCheckpoints))
	for name, c := range map[string]struct {
		parentBefore, parentAfter, after ids
		kind                             coffer.Kind
	}{
		"the same table":               {ids{7: 30}, ids{7: 30}, ids{7: 30}, ""},
		"not known":                    {ids{7: 30}, ids{7: 30}, nil, ""},
		"imported since":               {ids{7: 30}, ids{7: 30}, ids{7: 34}, coffer.KindNeedFull},
		"imported as the parent ran":   {ids{7: 30}, ids{7: 34}, ids{7: 34}, coffer.KindNeedFull},
		"made as the parent ran":       {ids{}, ids{7: 30}, ids{7: 30}, ""},
		"made then and imported since": {ids{}, ids{7: 30}, ids{7: 34}, coffer.KindNeedFull},
	} {
		i, err := run(engine.Base{}, full(t).whole("app/a.ibd", 7), fullCheckpoints, c.parentBefore, c.parentAfter)
		if err != nil {
			t.Fatal(err)
		}
		base.Summary = i.Summary
		if _, err := run(base, increment(t).delta("app/a.ibd", 7), incrCheckpoints, c.after, c.after); coffer.KindOf(err) != c.kind {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestIncrementNeedsItsParentsSummary(t *testing.T) {
	t.Parallel()
	base := parent(t, full(t).closing(fullCheckpoints))
	for name, summary := range map[string]string{"none": "", "damaged": "{", "newer": `{"v":2}`} {
		base.Summary = []byte(summary)
		if _, _, err := pass(increment(t).closing(incrCheckpoints), base, 1500, 1<<20); !coffer.IsKind(err, coffer.KindNeedFull) {
			t.Errorf("%s: got %v, want KindNeedFull", name, err)
		}
	}
}
