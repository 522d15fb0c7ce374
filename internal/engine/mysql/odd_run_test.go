package mysql

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// A heavy writer overtakes a backup that a slow store holds up, in a redo log of
// 16 MB: the backup fails and says so, and the next one, which nothing holds up, is
// good. A bandwidth keeps the tool to its pace for as long as it holds nobody.
func TestSmallRedoLog(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{LogFileMB: 16})
	src.Exec(t, "CREATE TABLE shop.churn (id INT PRIMARY KEY, b LONGBLOB)")
	e := engineOf(t, src.Server)
	var once sync.Once
	out := &hookSink{hook: func(n int) {
		if n < 2<<20 {
			return
		}
		once.Do(func() {
			for i := range 16 {
				src.Exec(t, fmt.Sprintf("REPLACE INTO shop.churn SELECT seq, REPEAT(MD5(%d), 30000) FROM mysql.seq_1_to_3", i))
			}
		})
	}}
	_, err := e.Backup(t.Context(), out, engine.Base{}, engine.Options{})
	if !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(fmt.Sprint(err), "redo log") || !strings.Contains(coffer.HintOf(err), "innodb_log_file_size is 16 MiB") {
		t.Errorf("%v (%s)", err, coffer.HintOf(err))
	}
	const rate = 40 << 20
	e.cfg.Runner.Polite.Bandwidth = rate
	begin := time.Now()
	l, base := takeFull(t, e)
	if took, least := time.Since(begin), time.Duration(l.PlainBytes())*time.Second/rate*8/10; took < least {
		t.Errorf("%d bytes took %v, at %d a second at least %v", l.PlainBytes(), took, rate, least)
	}
	if base.Position.Last == 0 {
		t.Errorf("position %+v", base.Position)
	}
	t.Run("wrong tool", func(t *testing.T) { wrongToolIsRefused(t, src) })
}

// Ten thousand empty tables, with as few open files as a service is usually given.
func TestHeavyManyTables(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("COFFER_HEAVY is not set")
	}
	const tables = 10_000
	src := newSource(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 512, ExtraConfig: []string{"innodb_flush_method = nosync", "debug_no_sync"}})
	db := src.DB(t)
	for i := range tables {
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf("CREATE TABLE shop.t%d (id INT PRIMARY KEY, v INT, KEY (v))", i)); err != nil {
			t.Fatal(err)
		}
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	few := was
	few.Cur = 1024
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil { // what children get, too
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was) }()
	e := engineOf(t, src.Server)
	full, base := takeFull(t, e)
	src.Exec(t, "INSERT INTO shop.t77 VALUES (1, 1)", "DROP TABLE shop.t78", "RENAME TABLE shop.t79 TO shop.other")
	inc, _, _ := enginetest.Take(t, e, base, engine.Options{})
	d := dumperOf(t, src.Server, engine.Runner{})
	dump, _ := takeDump(t, d)
	want := src.Content(t)
	for name, layers := range map[string][]engine.Layer{"chain": {full, inc}, "dump": {dump}} {
		target, r := newTarget(t), e
		if name == "dump" {
			r = d
		}
		if err := r.Restore(t.Context(), target, layers); err != nil {
			t.Fatalf("%s: %v (%s)", name, err, coffer.HintOf(err))
		}
		if got := content(t, startWith(t, e, target.Dir)); got != want {
			t.Errorf("%s: %d bytes of sums, want %d", name, len(got), len(want))
		}
	}
}

// A tool of another product, or of an older server, is refused whatever the method.
func wrongToolIsRefused(t *testing.T, src *realSource) {
	for version, words := range map[string]string{
		"xtrabackup version 8.0.35-31 based on MySQL server 8.0.35 Linux (x86_64) (revision id: 55ec21d7)": "is no mariadb-backup",
		"mariadb-backup based on MariaDB server 10.5.29-MariaDB debian-linux-gnu (x86_64)":                 "older than the server",
		"innobackupex version 2.4.29 Linux (x86_64) (revision id: 2e6c0951)":                               "is no mariadb-backup",
	} {
		for _, m := range []engine.Method{engine.MariaBackup, engine.InnoBackupEx} {
			path := filepath.Join(t.TempDir(), "tool")
			if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+version+"'\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			e := engineOf(t, src.Server)
			e.cfg.Method, e.cfg.Tools.Backup = m, path
			f, err := e.Probe(t.Context(), engine.Base{})
			if !coffer.IsKind(err, coffer.KindUnprocessable) || !strings.Contains(fmt.Sprint(err), words) || coffer.HintOf(err) == "" {
				t.Errorf("%s by %.20s: %v, %v", m, version, f, err)
			}
		}
	}
}
