package mysql

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/testenv"
)

// lossy is a chain of which the table app.n has pages in use that no layer has.
func lossy(t *testing.T) []engine.Layer {
	t.Helper()
	system := make([]byte, 2*16384)
	system[25] = 8 // its first page is written
	f := newScene(t).file("ibdata1", string(system)).whole("undo001", 1).whole("app/a.ibd", 7).file("app/a.frm", frm(frmInnoDB, 0)).closing(fullCheckpoints)
	base := parent(t, f)
	inc := increment(t).delta("app/a.ibd", 7).file("app/a.frm", frm(frmInnoDB, 0)).
		changed("app/n.ibd", 21, 16384, beforeRedo, 149, 149, 100, 101).file("app/n.frm", frm(frmInnoDB, 0)).closing(incrCheckpoints)
	_, wholly, err := pass(f, engine.Base{}, 0, 70_000)
	if err != nil {
		t.Fatal(err)
	}
	_, out, err := pass(inc, base, 1500, 70_000)
	if err == nil {
		t.Fatal("the increment was taken")
	}
	at := base.Position
	at.PageLists = true
	next := at
	next.From, next.To, next.Last = 1500, 3000, 3100
	return []engine.Layer{
		indexed{stored{id: "full", position: at, stream: wholly.Bytes()}, wholly.entries},
		indexed{stored{id: "inc", position: next, stream: out.Bytes()}, out.entries},
	}
}

// TestNothingIsMadeOfAChainThatLacksPages: neither a whole restore, by either way, nor
// a joined full, nor the table itself; another table is looked at without complaint.
func TestNothingIsMadeOfAChainThatLacksPages(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "mariadb-backup", "mariadbd", "mariadb-dump")
	e, err := New(Config{Guard: []string{"/bin/false"}})
	if err != nil {
		t.Fatal(err)
	}
	chain := lossy(t)
	lost := func(what string, err error) {
		t.Helper()
		if !coffer.IsKind(err, coffer.KindCorrupt) || !strings.Contains(err.Error(), "app/n: 2 pages") {
			t.Errorf("%s: got %v, want KindCorrupt", what, err)
		}
	}
	for _, way := range []engine.Way{"", engine.Merged, engine.Stepwise} {
		target := emptyTarget(t)
		target.Way = way
		lost("a restore "+string(way), e.Restore(t.Context(), target, chain))
		if left, err := os.ReadDir(target.Dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
	_, err = e.Synthesize(t.Context(), new(keep), chain, nil, engine.Options{})
	lost("a joined full", err)
	target := emptyTarget(t)
	o := engine.TableOrder{Database: "app", Name: "n", Dir: target.Dir, UID: target.UID, GID: target.GID, Dump: new(strings.Builder)}
	_, err = e.RestoreTable(t.Context(), o, chain)
	lost("the table", err)
	stops := func(name string) bool {
		o.Name = name
		look, err := e.LookTable(context.Background(), o, chain)
		if err != nil {
			t.Errorf("a look at %s: %v", name, err)
		}
		return slices.ContainsFunc(look.Stops, func(s string) bool { return strings.Contains(s, "app/n: 2 pages") })
	}
	if !stops("n") || stops("a") {
		t.Error("a look does not tell the table that is lost from the one that is not")
	}
}
