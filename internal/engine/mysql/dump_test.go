package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// dumperOf gives an engine that dumps, with an account that may.
func dumperOf(t testing.TB, s *testenv.Server, r engine.Runner) *Engine {
	t.Helper()
	testenv.Need(t, "mariadb-dump", "mariadb", "mariadbd", "mariadb-install-db")
	s.Exec(t, "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO "+testenv.BackupUser+"@localhost")
	e := engineOf(t, s)
	e.cfg.Method, e.cfg.Runner = engine.MySQLDump, r
	return e
}

func TestDumpKeepsTheLaw(t *testing.T) {
	enginetest.RunFull(t, func(t *testing.T) (engine.Engine, enginetest.Source) {
		src := newSource(t, testenv.MariaDBOptions{LogBin: true})
		return dumperOf(t, src.Server, engine.Runner{}), src
	})
}

func TestInnoBackupExKeepsTheLaw(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) (engine.Engine, enginetest.Source) {
		src := newSource(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 96})
		e := engineOf(t, src.Server)
		e.cfg.Method = engine.InnoBackupEx
		return e, src
	})
}

// takeDump takes a dump and gives it with its result.
func takeDump(t testing.TB, e *Engine) (*enginetest.Layer, engine.Result) {
	t.Helper()
	l, _, res := enginetest.Take(t, e, engine.Base{}, engine.Options{})
	return l, res
}

// load restores a dump and starts a server on it.
func loaded(t testing.TB, e *Engine, l engine.Layer, databases ...string) *sql.DB {
	t.Helper()
	target := newTarget(t)
	target.Databases = databases
	if err := e.Restore(t.Context(), target, []engine.Layer{l}); err != nil {
		t.Fatalf("restore: %v (%s)", err, coffer.HintOf(err))
	}
	if _, err := e.ServerOptions(target.Dir); err != nil {
		t.Error(err)
	}
	return testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: target.Dir}).DB(t)
}

func number(t testing.TB, db *sql.DB, query string) (n int64) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// A dump under a writer holds exactly the transactions up to the position that it
// names, and one database can be taken out of it with all that belongs to it.
func TestDumpUnderAWriter(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{LogBin: true})
	src.Exec(t, "CREATE TABLE shop.ledger (n INT PRIMARY KEY, sum CHAR(32)) CHARSET utf8mb4", "CREATE TABLE shop.entries (n INT PRIMARY KEY, b TEXT) CHARSET utf8mb4",
		"CREATE VIEW shop.odd AS SELECT * FROM shop.ledger WHERE n % 2",
		"CREATE PROCEDURE shop.trap() BEGIN\n--\n-- Current Database: `stolen`\n--\nSELECT 1; END",
		"CREATE EVENT shop.nightly ON SCHEDULE EVERY 1 DAY DO SELECT 1", "CREATE DATABASE `we``ird`", "CREATE TABLE `we``ird`.t (b LONGBLOB)",
		"INSERT INTO `we``ird`.t VALUES (CONCAT('\\n--\\n-- Current Database: `x`\\n--\\n', CHAR(0), CHAR(26), UNHEX('0D0AFF')))",
		"CREATE TRIGGER shop.tick BEFORE INSERT ON shop.cart FOR EACH ROW SET NEW.v = 't'", "CREATE USER kept@localhost")
	e := dumperOf(t, src.Server, engine.Runner{Polite: coffer.Polite{Nice: 5}})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var l ledger
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.run(ctx, t, src.Server)
	}()
	awaitRows(t, &l, 50)
	before := l.committed.Load()
	layer, res := takeDump(t, e)
	stop()
	<-written
	p := res.Position
	if !strings.Contains(fmt.Sprint(res.Warnings), "shop.cart (Aria)") || p.BinlogFile == "" || p.BinlogOffset == 0 || res.Method != "mysqldump" {
		t.Errorf("result %+v", res)
	}
	// What the server itself says stood there: every transaction is one GTID.
	var there string
	if err := src.DB(t).QueryRow("SELECT BINLOG_GTID_POS(?, ?)", p.BinlogFile, p.BinlogOffset).Scan(&there); err != nil || there != p.GTID {
		t.Errorf("the dump names GTID %q, the server %q; %v", p.GTID, there, err)
	}
	db := loaded(t, e, layer)
	rows, last := number(t, db, "SELECT COUNT(*) FROM shop.ledger"), number(t, db, "SELECT MAX(n) FROM shop.ledger")
	_, seq := cutGTID(p.GTID)
	_, now := cutGTID(nowGTID(t, src.Server))
	if at := l.committed.Load() - int64(now-seq); rows != last || last != at || last < before {
		t.Errorf("%d rows up to %d, want all up to %d (from %d)", rows, last, at, before)
	}
	for query, want := range map[string]int64{
		"SELECT COUNT(*) FROM shop.ledger LEFT JOIN shop.entries e USING (n) WHERE e.b IS NULL OR e.b <> REPEAT(sum, 30)": 0,
		"SELECT COUNT(*) FROM shop.odd":                                                                                                (last + 1) / 2,
		"SELECT COUNT(*) FROM mysql.global_priv WHERE User = 'kept'":                                                                   1,
		"SELECT COUNT(*) FROM mysql.event WHERE name = 'nightly'":                                                                      1,
		"SELECT COUNT(*) FROM mysql.proc WHERE name = 'trap'":                                                                          1,
		"SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_name = 'tick'":                                                 1,
		"SELECT HEX(b) = HEX(CONCAT('\\n--\\n-- Current Database: `x`\\n--\\n', CHAR(0), CHAR(26), UNHEX('0D0AFF'))) FROM `we``ird`.t": 1,
	} {
		if got := number(t, db, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	one := loaded(t, e, layer, "shop")
	if n := number(t, one, "SELECT COUNT(*) FROM shop.odd"); n != (last+1)/2 {
		t.Errorf("shop alone: %d odd rows of %d", n, last)
	}
	if n := number(t, one, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE 'we%'"); n != 0 {
		t.Error("another database came with shop")
	}
	if n := number(t, one, "SELECT COUNT(*) FROM mysql.global_priv WHERE User = 'kept' OR User = 'root' AND Priv NOT LIKE '%unix_socket%'"); n != 0 {
		t.Errorf("%d accounts that came along, or are open", n)
	}
	target := newTarget(t)
	target.Databases = []string{"stolen"}
	if err := e.Restore(t.Context(), target, []engine.Layer{layer}); !coffer.IsKind(err, coffer.KindNotFound) || !strings.Contains(coffer.HintOf(err), "we`ird") {
		t.Errorf("a database that is not there: %v (%s)", err, coffer.HintOf(err))
	}
}

func nowGTID(t *testing.T, s *testenv.Server) (gtid string) {
	t.Helper()
	if err := s.DB(t).QueryRow("SELECT @@gtid_binlog_pos").Scan(&gtid); err != nil {
		t.Fatal(err)
	}
	return gtid
}

func TestDumpThatMisbehaves(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	real := testenv.Need(t, "mariadb-dump", "bash")[0]
	for name, c := range map[string]struct {
		script, words string
		kind          coffer.Kind
	}{
		"cut and exit 0":    {`$REAL "$@" | head -n -1`, "closing line", coffer.KindCorrupt},
		"exit 3 after all":  {`$REAL "$@"; echo "Got error: 1412" >&2; exit 3`, "exit status 3", coffer.KindTool},
		"nothing":           {`exit 0`, "does not begin", coffer.KindCorrupt},
		"an older tool":     {``, "older than the server", coffer.KindUnprocessable},
		"another's tool":    {``, "is no mariadb-dump", coffer.KindUnprocessable},
		"of another server": {``, "is no mariadb-dump", coffer.KindUnprocessable},
	} {
		t.Run(name, func(t *testing.T) {
			version := "exec $REAL --version"
			switch name {
			case "an older tool":
				version = "echo mysqldump  Ver 10.16 Distrib 10.1.48-MariaDB, for debian-linux-gnu; exit"
			case "another's tool":
				version = "echo mysqldump  Ver 8.0.36-28 for Linux on x86_64; exit"
			case "of another server":
				version = "echo xtrabackup version 8.0.35-31 based on MySQL server 8.0.35 Linux; exit"
			}
			path := filepath.Join(t.TempDir(), "tool")
			text := "#!/bin/bash\nREAL=" + real + "\nif [ \"$1\" = --version ]; then " + version + "; fi\n" + c.script + "\n"
			if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
			e := dumperOf(t, src.Server, engine.Runner{})
			e.cfg.Tools.Dump = path
			_, err := e.Backup(t.Context(), &enginetest.Recorder{}, engine.Base{}, engine.Options{})
			if !coffer.IsKind(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.words) {
				t.Errorf("%v (kind %s)", err, coffer.KindOf(err))
			}
		})
	}
}

func TestDumpOfAListAndABadStatement(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	src.Exec(t, "CREATE DATABASE other", "CREATE DATABASE third")
	e := dumperOf(t, src.Server, engine.Runner{Databases: []string{"shop", "other"}, NoAccounts: true})
	layer, _ := takeDump(t, e)
	var names []string
	for _, f := range layer.Files {
		names = append(names, string(f.Kind)+" "+f.Name)
	}
	if got := strings.Join(names, ", "); got != "head head, database shop, database other" {
		t.Errorf("sections: %s", got)
	}
	bad := *layer
	bad.Data = []byte(strings.Replace(string(layer.Data), "CREATE TABLE `cart`", "CREATE TABEL `cart`", 1))
	target := newTarget(t)
	err := e.Restore(t.Context(), target, []engine.Layer{&bad})
	if !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(fmt.Sprint(err), "at line ") {
		t.Errorf("a bad statement: %v", err)
	}
	if left, err := os.ReadDir(target.Dir); err != nil || len(left) > 0 {
		t.Errorf("left in the target: %v %v", left, err)
	}
	target = newTarget(t)
	hostile := *layer
	hostile.Data = append([]byte("/*M!999999\\- enable the sandbox mode */\n\\! touch "+target.Dir+"/ran\n"), layer.Data...)
	if err := e.Restore(t.Context(), target, []engine.Layer{&hostile}); err == nil {
		t.Error("a dump may run a program")
	}
}
