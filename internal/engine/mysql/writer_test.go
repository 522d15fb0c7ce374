package mysql

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// ledger commits one row into each of two tables in every transaction, and
// counts what was committed.
type ledger struct{ committed atomic.Int64 }

func (l *ledger) run(ctx context.Context, t *testing.T, s *testenv.Server) {
	db := s.DB(t)
	for n := int64(1); ctx.Err() == nil; n++ {
		tx, err := db.Begin()
		if err == nil {
			_, err = tx.Exec("INSERT INTO shop.ledger VALUES (?, MD5(?))", n, n)
		}
		if err == nil {
			_, err = tx.Exec("INSERT INTO shop.entries SELECT ?, REPEAT(MD5(?), 30)", n, n)
		}
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			t.Errorf("writer: %v", err)
			return
		}
		l.committed.Store(n)
		<-time.After(2 * time.Millisecond)
	}
}

// Every transaction that was committed before a backup began is in it, none is
// torn, and none that began after its end is.
func TestIncrementsUnderAWriter(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 256})
	src.Exec(t, "CREATE TABLE shop.ledger (n INT PRIMARY KEY, sum CHAR(32)) CHARSET utf8mb4", "CREATE TABLE shop.entries (n INT PRIMARY KEY, b TEXT, KEY (b(20))) CHARSET utf8mb4")
	e := engineOf(t, src.Server)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var l ledger
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.run(ctx, t, src.Server)
	}()
	var (
		layers []engine.Layer
		base   engine.Base
		before int64
	)
	for range 4 {
		awaitRows(t, &l, l.committed.Load()+50)
		before = l.committed.Load()
		var layer *enginetest.Layer
		layer, base, _ = enginetest.Take(t, e, base, engine.Options{})
		layers = append(layers, layer)
		src.Exec(t, "SET GLOBAL innodb_log_checkpoint_now = 1")
	}
	after := l.committed.Load()
	stop()
	<-written
	target := newTarget(t)
	if err := e.Restore(t.Context(), target, layers); err != nil {
		t.Fatal(err)
	}
	db := testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: target.Dir}).DB(t)
	var rows, last, torn int64
	err := db.QueryRow(`SELECT COUNT(*), MAX(l.n), SUM(l.sum <> MD5(l.n) OR e.b IS NULL OR e.b <> REPEAT(l.sum, 30))
		FROM shop.ledger l LEFT JOIN shop.entries e USING (n)`).Scan(&rows, &last, &torn)
	if err != nil || rows != last || torn != 0 || last < before || last > after {
		t.Errorf("%d rows up to %d, %d torn, want all up to %d…%d; %v", rows, last, torn, before, after, err)
	}
	var entries int64
	if err := db.QueryRow("SELECT COUNT(*) FROM shop.entries").Scan(&entries); err != nil || entries != rows {
		t.Errorf("%d entries for %d rows of the ledger; %v", entries, rows, err)
	}
}

func awaitRows(t *testing.T, l *ledger, n int64) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for l.committed.Load() < n && time.Now().Before(deadline) {
		<-time.After(5 * time.Millisecond)
	}
}

func TestProbeTellsAndRefuses(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 24})
	e := engineOf(t, src.Server)
	f, err := e.Probe(t.Context(), engine.Base{})
	if err != nil {
		t.Fatal(err)
	}
	if f.Datastore.Type != "mariadb" || !strings.HasPrefix(f.Datastore.Version, "1") || f.DataDir != src.DataDir ||
		f.DataBytes < 1<<20 || f.NonTrans < 1<<10 || f.RedoBytes != 24<<20 || f.Position.To == 0 ||
		f.Position.Lineage.FirstLSN == 0 || f.Position.GTID == "" || !strings.Contains(f.ToolVer, "mariadb-backup") {
		t.Errorf("facts %+v", f)
	}
	poor := filepath.Join(t.TempDir(), "poor.cnf")
	if err := os.WriteFile(poor, []byte("[client]\nuser=poor\npassword=p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := engineOf(t, src.Server)
	own.cfg.Conn.CredentialsFile = ""
	if _, err := own.Probe(t.Context(), engine.Base{}); os.Geteuid() == 0 && err != nil {
		t.Errorf("root without a credentials file: %v", err)
	}
	src.Exec(t, "CREATE USER poor@localhost IDENTIFIED BY 'p'", "GRANT RELOAD, PROCESS ON *.* TO poor@localhost")
	p := engineOf(t, src.Server)
	p.cfg.Conn.CredentialsFile = poor
	if _, err := p.Probe(t.Context(), engine.Base{}); !strings.Contains(coffer.HintOf(err), "GRANT LOCK TABLES, BINLOG MONITOR ON") {
		t.Errorf("an account that may too little: %v (%s)", err, coffer.HintOf(err))
	}
	src.Exec(t, "GRANT LOCK TABLES, BINLOG MONITOR ON *.* TO poor@localhost")
	if f, err := p.Probe(t.Context(), engine.Base{}); err != nil || !strings.Contains(fmt.Sprint(f.Warnings), "SUPER") {
		t.Errorf("an account that may enough: %v, %v", err, f.Warnings)
	}
	e.cfg.Conn.DataDir = filepath.Join(src.Dir, "tmp")
	if _, err := e.Probe(t.Context(), engine.Base{}); !coffer.IsKind(err, coffer.KindUnprocessable) {
		t.Errorf("a wrong data folder: %v", err)
	}
	e.cfg.Conn.DataDir = ""
	outside := filepath.Join(src.Dir, "run", "outside")
	src.Exec(t, "CREATE TABLE shop.away (i INT) DATA DIRECTORY = '"+outside+"'")
	if _, err := e.Probe(t.Context(), engine.Base{}); !coffer.IsKind(err, coffer.KindUnsupported) || !strings.Contains(err.Error(), "shop/away") {
		t.Errorf("a table outside of the data folder: %v", err)
	}
	if _, err := e.Backup(t.Context(), &enginetest.Recorder{}, engine.Base{}, engine.Options{}); !coffer.IsKind(err, coffer.KindUnsupported) {
		t.Errorf("its backup: %v", err)
	}
	// What the hint says helps; MyISAM may lie where it likes, Aria may not.
	src.Exec(t, "USE shop", "CREATE TABLE new LIKE away", "INSERT INTO new SELECT * FROM away", "RENAME TABLE away TO gone, new TO away", "DROP TABLE gone",
		"CREATE TABLE free (i INT) ENGINE=MyISAM DATA DIRECTORY = '"+filepath.Dir(outside)+"'", "INSERT INTO free VALUES (1)")
	if _, err := e.Probe(t.Context(), engine.Base{}); err != nil {
		t.Errorf("the table was moved: %v", err)
	}
	src.Exec(t, "CREATE TABLE shop.bound (i INT) ENGINE=Aria INDEX DIRECTORY = '"+filepath.Dir(outside)+"'")
	if _, err := e.Probe(t.Context(), engine.Base{}); !coffer.IsKind(err, coffer.KindUnsupported) || !strings.Contains(err.Error(), "shop/bound") {
		t.Errorf("an Aria table outside of the data folder: %v", err)
	}
}
