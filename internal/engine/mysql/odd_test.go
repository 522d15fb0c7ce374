package mysql

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// startWith starts a server on a restored folder with the options that it needs.
func startWith(t testing.TB, e *Engine, dir string) *testenv.Server {
	t.Helper()
	opts, err := e.ServerOptions(dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for name, value := range opts {
		lines = append(lines, name+" = "+value)
	}
	return testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: dir, ExtraConfig: lines})
}

// oddSource is a server with everything unusual that can be backed up: names that
// are lower-cased, two files of the system tablespace with tables in it, compressed
// tables of both kinds, and a redo log of 16 MB.
func oddSource(t *testing.T) *realSource {
	t.Helper()
	src := newSource(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 16, ExtraConfig: append(tablespaces(), "lower_case_table_names = 1")})
	src.Exec(t, "USE Shop", "SET GLOBAL innodb_file_per_table = 0",
		"CREATE TABLE Inside (id INT PRIMARY KEY, v VARCHAR(300), KEY (v))", "INSERT INTO inside SELECT seq, REPEAT(MD5(seq), 4) FROM seq_1_to_3000",
		"CREATE TABLE gone (id INT PRIMARY KEY)", "SET GLOBAL innodb_file_per_table = 1",
		"CREATE TABLE Zipped (id INT PRIMARY KEY, v TEXT) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4", "INSERT INTO zipped SELECT seq, REPEAT(MD5(seq), 20) FROM seq_1_to_2000",
		"CREATE TABLE tiny (id INT PRIMARY KEY, v TEXT) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=1", "INSERT INTO tiny SELECT seq, MD5(seq) FROM seq_1_to_500",
		"CREATE TABLE Holes (id INT PRIMARY KEY, v TEXT) PAGE_COMPRESSED=1", "INSERT INTO holes SELECT seq, REPEAT('hole', 300) FROM seq_1_to_2000",
		"CREATE VIEW Seen AS SELECT * FROM Inside", "CREATE PROCEDURE Count_them() SELECT COUNT(*) FROM Shop.INSIDE")
	return src
}

// changeOdd changes what oddSource made, by statements of every kind.
func (s *realSource) changeOdd(t *testing.T, n int) {
	t.Helper()
	s.Change(t)
	s.Exec(t, "USE shop", fmt.Sprintf("UPDATE inside SET v = 'n%d' WHERE id %% 5 = %d", n, n),
		fmt.Sprintf("UPDATE zipped SET v = REPEAT('z%d', 30) WHERE id %% 4 = %d", n, n), fmt.Sprintf("UPDATE tiny SET v = 't%d' WHERE id %% 3 = 0", n),
		fmt.Sprintf("UPDATE holes SET v = REPEAT('%d', 900) WHERE id %% 7 = %d", n, n),
		fmt.Sprintf("CREATE TABLE Later%d (id INT PRIMARY KEY, v TEXT) PAGE_COMPRESSED=1", n), fmt.Sprintf("INSERT INTO later%d SELECT seq, MD5(seq) FROM seq_1_to_300", n),
		fmt.Sprintf("ALTER TABLE zipped ADD COLUMN more%d INT DEFAULT %d", n, n), fmt.Sprintf("RENAME TABLE new%d TO renamed%d", s.n, n),
		"TRUNCATE TABLE parts", "DROP TABLE IF EXISTS gone", "ALTER TABLE inside FORCE", "SET GLOBAL innodb_log_checkpoint_now = 1")
}

// An odd server's chain restores, step by step and merged, and so does its dump; and
// what the server is called by upper-case names, the restored one is as well.
func TestOddServer(t *testing.T) {
	t.Parallel()
	src := oddSource(t)
	e := engineOf(t, src.Server)
	var layers []engine.Layer
	var base engine.Base
	for n := range 2 {
		if n > 0 {
			src.changeOdd(t, n)
		}
		l, next, _ := enginetest.Take(t, e, base, engine.Options{})
		layers, base = append(layers, l), next
	}
	d := dumperOf(t, src.Server, engine.Runner{})
	dump, _ := takeDump(t, d)
	want := src.Content(t)
	for name, restore := range map[string]func(target engine.Target) error{
		"step by step": func(to engine.Target) error { return e.Restore(t.Context(), to, layers) },
		"merged": func(to engine.Target) error {
			to.Way = engine.Merged
			return e.Restore(t.Context(), to, layers)
		},
		"dump": func(to engine.Target) error { return d.Restore(t.Context(), to, []engine.Layer{dump}) },
	} {
		target := newTarget(t)
		if err := restore(target); err != nil {
			t.Errorf("%s: %v (%s)", name, err, coffer.HintOf(err))
			continue
		}
		s := startWith(t, e, target.Dir)
		if d := cmp.Diff(want, content(t, s)); d != "" {
			t.Errorf("%s (-source +restored): %s", name, d)
		}
		s.Exec(t, "SELECT COUNT(*) FROM SHOP.Inside", "SELECT COUNT(*) FROM Shop.SEEN", "CALL SHOP.Count_Them()")
		s.Stop()
	}
	// A server of another series since the full.
	older, newer := base, base
	older.Position.ServerVersion, newer.Position.ServerVersion = "10.6.21-MariaDB-log", "10.11.2-MariaDB"
	refused(t, e, older, "was MariaDB 10.6 and is 10.11")
	if _, err := e.Probe(t.Context(), newer); err != nil {
		t.Errorf("after an upgrade within the series: %v", err)
	}
}

// What the server encrypts is refused by whoever copies files, and can be dumped.
func TestEncryptedServerIsRefused(t *testing.T) {
	t.Parallel()
	keys := filepath.Join("/tmp", filepath.Base(t.TempDir())+coffer.NewNonce()+".keys")
	if err := os.WriteFile(keys, []byte("1;"+strings.Repeat("0123456789abcdef", 4)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(keys) })
	src := newSource(t, testenv.MariaDBOptions{ExtraConfig: []string{
		"plugin_load_add = file_key_management", "file_key_management_filename = " + keys,
	}})
	e := engineOf(t, src.Server)
	if _, err := e.Probe(t.Context(), engine.Base{}); err != nil {
		t.Fatalf("a plugin that encrypts nothing: %v", err)
	}
	_, base := takeFull(t, e)
	src.Exec(t, "CREATE TABLE shop.secret (i INT) ENCRYPTED=YES", "INSERT INTO shop.secret VALUES (1)")
	check := func(what string, base engine.Base) {
		t.Helper()
		_, err := e.Probe(t.Context(), base)
		if !coffer.IsKind(err, coffer.KindUnsupported) || !strings.Contains(err.Error(), what) || !strings.Contains(coffer.HintOf(err), "MySQLDump") {
			t.Errorf("%s: %v (%s)", what, err, coffer.HintOf(err))
		}
	}
	check("the table shop.secret is encrypted", base)
	check("the table shop.secret is encrypted", engine.Base{})
	if _, err := e.Backup(t.Context(), &enginetest.Recorder{}, engine.Base{}, engine.Options{}); !coffer.IsKind(err, coffer.KindUnsupported) {
		t.Errorf("its backup: %v", err)
	}
	d := dumperOf(t, src.Server, engine.Runner{})
	if f, err := d.Probe(t.Context(), engine.Base{}); err != nil || !strings.Contains(fmt.Sprint(f.Warnings), "ENCRYPTED=YES") || !strings.Contains(fmt.Sprint(f.Warnings), "shop.secret") {
		t.Errorf("a dump of it: %v, %v", f.Warnings, err)
	}
	src.Exec(t, "DROP TABLE shop.secret", "SET GLOBAL innodb_encrypt_tables = ON")
	check("InnoDB tables are encrypted", engine.Base{})
	dump, _ := takeDump(t, d)
	if n := number(t, loaded(t, d, dump), "SELECT COUNT(*) FROM shop.orders"); n == 0 {
		t.Error("the dump is empty")
	}
}
