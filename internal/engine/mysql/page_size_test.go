package mysql

import (
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// smallPages installs a data folder with pages of 4 KiB.
func smallPages(t *testing.T) engine.Target {
	t.Helper()
	target := newTarget(t)
	args := []string{
		"--no-defaults", "--datadir=" + target.Dir, "--innodb-page-size=4096", "--auth-root-authentication-method=normal", "--skip-test-db",
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=mysql")
	}
	if out, err := exec.Command(testenv.Need(t, "mariadb-install-db")[0], args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return target
}

// Where pages are smaller than usual an extent has more of them, and its descriptor is
// longer: tables that came after the full, of many extents, are in the increments with
// every page that is in use, and the chain restores.
func TestSmallPages(t *testing.T) {
	t.Parallel()
	lines := []string{"innodb_page_size = 4096", "innodb_undo_tablespaces = 0"}
	src := newSource(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 64, DataDir: smallPages(t).Dir, ExtraConfig: lines})
	src.Exec(t, "CREATE USER "+testenv.BackupUser+"@localhost IDENTIFIED BY '"+testenv.BackupPassword+"'", "GRANT ALL ON *.* TO "+testenv.BackupUser+"@localhost")
	e := engineOf(t, src.Server)
	full, base := takeFull(t, e)
	src.Exec(t, "USE shop",
		"CREATE TABLE wide (id INT PRIMARY KEY, v VARCHAR(500), KEY (v))", "INSERT INTO wide SELECT seq, REPEAT(MD5(seq), 8) FROM seq_1_to_9000",
		"CREATE TABLE zipped (id INT PRIMARY KEY, v VARCHAR(500), KEY (v)) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=2", "INSERT INTO zipped SELECT * FROM wide")
	layers := []engine.Layer{full}
	for range 2 { // what the first may yet lack, by its descriptors, the second must have
		src.Change(t)
		src.Exec(t, "SET GLOBAL innodb_log_checkpoint_now = 1")
		l, next, _ := enginetest.Take(t, e, base, engine.Options{})
		layers, base = append(layers, l), next
	}
	target := newTarget(t)
	if err := e.Restore(t.Context(), target, layers); err != nil {
		t.Fatalf("%v (%s)", err, coffer.HintOf(err))
	}
	if d := cmp.Diff(src.Content(t), content(t, startWith(t, e, target.Dir))); d != "" {
		t.Errorf("-source +restored: %s", d)
	}
}
