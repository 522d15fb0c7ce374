package survive

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
)

// TestWrongBase: full and increment are taken, the full is restored over the same
// server, which writes on until it has passed the increment's end. The next
// increment would be worth nothing, and is refused before it has left anything.
func TestWrongBase(t *testing.T) {
	t.Parallel()
	src := newSource(t, smallData, testenv.MariaDBOptions{LogBin: true})
	w := newWorld(t, src, settings{})
	full := w.good("")
	src.change(t)
	inc := w.good("last")
	dir, j := w.restore(full.ID)
	if !ok(j) {
		t.Fatal(j.Error)
	}
	src.Stop()
	w.must(os.RemoveAll(src.DataDir))
	if out, err := exec.Command("cp", "-a", dir, src.DataDir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	src.Restart()
	for src.lsn(t) <= inc.Position.Last {
		src.change(t)
	}
	w.refused(inc.ID)
	w.restores(w.good(""))
}

// lsn is where the server's log stands.
func (s *source) lsn(t *testing.T) (lsn uint64) {
	t.Helper()
	var name string
	if err := s.db.QueryRow("SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current'").Scan(&name, &lsn); err != nil {
		t.Fatal(err)
	}
	return lsn
}

// refused wants an increment onto a parent to be refused before its intent.
func (w *world) refused(parent coffer.BackupID) {
	w.t.Helper()
	before := w.ran("--backup")
	b := w.backup(parent)
	w.failed(b, "", coffer.KindNeedFull)
	if got := w.objects(b.ID); len(got) > 0 {
		w.t.Errorf("it has left %q", got)
	}
	if n := w.ran("--backup"); n != before {
		w.t.Error("the tool was run")
	}
}

// TestParentTakenAwayByHand: an increment onto a chain of which an object is gone is
// refused, whichever link and object it is.
func TestParentTakenAwayByHand(t *testing.T) {
	t.Parallel()
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	w := newWorld(t, src, settings{})
	full := w.good("")
	src.change(t)
	inc := w.good("last")
	away := filepath.Join(w.dir, "away")
	for _, name := range []string{
		string(full.ID) + ".xbstream.zst", string(full.ID) + ".manifest.json",
		string(inc.ID) + ".xbstream.zst", string(inc.ID) + ".manifest.json",
	} {
		w.must(os.Rename(w.path(name), away))
		w.refused(inc.ID)
		w.must(os.Rename(away, w.path(name)))
	}
	src.change(t)
	next := w.good(inc.ID)
	if next.Parent != inc.ID {
		t.Errorf("the increment stands on %s, not on %s", next.Parent, inc.ID)
	}
	w.restores(next)
}
