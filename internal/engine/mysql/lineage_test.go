package mysql

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

func TestNoncesAreKeptInOrderAndBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if n, err := readNonces(dir); err != nil || len(n) != 0 {
		t.Fatalf("a fresh folder: %v, %v", n, err)
	}
	many := make([]string, maxNonces)
	for i := range many {
		many[i] = coffer.NewNonce()
	}
	path := filepath.Join(dir, lineageFile)
	if err := os.WriteFile(path, []byte(strings.Join(many, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := addNonce(dir, "newest"); err != nil {
		t.Fatal(err)
	}
	n, err := readNonces(dir)
	if err != nil || len(n) != maxNonces || n[0] != many[1] || n[maxNonces-1] != "newest" {
		t.Errorf("%d nonces, %v", len(n), err)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the id file is %v, %v", fi.Mode(), err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestPlantedLinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, lineageFile)); err != nil {
		t.Fatal(err)
	}
	if err := addNonce(dir, "n"); err == nil {
		t.Error("a link was accepted as the id file")
	}
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Errorf("the victim is now %q", b)
	}
}

// copyDir copies a stopped server's folder, owners and all.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v %s", err, out)
	}
}

// emptyDir removes all in dir but the names to keep.
func emptyDir(t *testing.T, dir string, keep ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
next:
	for _, e := range entries {
		for _, k := range keep {
			if e.Name() == k {
				continue next
			}
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// passLSN writes until the server's LSN is beyond lsn, so that no number alone
// tells that its past is another.
func passLSN(t *testing.T, e *Engine, src *realSource, lsn uint64) {
	t.Helper()
	for range 200 {
		f, err := e.Probe(t.Context(), engine.Base{})
		if err != nil {
			t.Fatal(err)
		}
		if f.Position.To > lsn+1000 {
			return
		}
		src.Exec(t, "CREATE TABLE IF NOT EXISTS shop.fill (b LONGBLOB)", "INSERT INTO shop.fill VALUES (REPEAT('x', 400000))")
	}
	t.Fatal("the LSN does not grow")
}

// The worst scene: an increment onto a base that the server has left by a
// restore would restore without a complaint, with a corrupt primary key.
func TestRestoreOverTheSameServerNeedsAFull(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	e := engineOf(t, src.Server)
	first, base := takeFull(t, e)
	src.Change(t)
	_, one, _ := enginetest.Take(t, e, base, engine.Options{})
	target := newTarget(t)
	if err := e.Restore(t.Context(), target, []engine.Layer{first}); err != nil {
		t.Fatal(err)
	}
	src.Stop()
	emptyDir(t, src.DataDir, lineageFile) // somebody kept the id file
	copyDir(t, target.Dir, src.DataDir)
	src.Restart()
	passLSN(t, e, src, one.Position.Last)
	refused(t, e, one, "redo log began at LSN")
	refused(t, e, base, "redo log began at LSN")
	if err := os.Remove(filepath.Join(src.DataDir, lineageFile)); err != nil {
		t.Fatal(err)
	}
	refused(t, e, one, "no trace of it")
}

func TestRolledBackFolderNeedsAFull(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	e := engineOf(t, src.Server)
	_, base := takeFull(t, e)
	src.Stop()
	cold := t.TempDir()
	copyDir(t, src.DataDir, cold)
	src.Restart()
	src.Change(t)
	_, one, _ := enginetest.Take(t, e, base, engine.Options{})
	src.Stop()
	emptyDir(t, src.DataDir)
	copyDir(t, cold, src.DataDir)
	src.Restart()
	passLSN(t, e, src, one.Position.Last)
	refused(t, e, one, "no trace of it")
	if _, err := e.Probe(t.Context(), base); err != nil {
		t.Errorf("the backup before the cold copy is a good parent, but: %v", err)
	}
}

func TestCrashKeepsTheLineageAndOtherServersDoNot(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{LogBin: true})
	e := engineOf(t, src.Server)
	_, base := takeFull(t, e)
	src.Kill()
	src.Restart()
	if _, err := e.Probe(t.Context(), base); err != nil {
		t.Errorf("after a crash: %v", err)
	}
	src.Stop()
	clone := t.TempDir()
	if err := os.Chmod(filepath.Dir(clone), 0o755); err != nil {
		t.Fatal(err)
	}
	copyDir(t, src.DataDir, clone)
	other := testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: clone, LogBin: true})
	refused(t, engineOf(t, other), base, "identity")
	other.Kill()
	src.Restart()
	src.Exec(t, "RESET MASTER")
	refused(t, e, base, "GTID")
	for range 30 { // until the numbers are beyond the parent's again
		src.Exec(t, "INSERT INTO shop.orders (v) VALUES ('x')", "INSERT INTO shop.orders (v) VALUES (REPEAT('y', 200))")
	}
	refused(t, e, base, "begun anew")
}
