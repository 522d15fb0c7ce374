package mysql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

func TestCommandLines(t *testing.T) {
	t.Parallel()
	a := backupArgs{options: "/o", target: "/t", increment: true, lsn: 7, extra: []string{"--parallel=2"}}
	dump := backupArgs{options: "/o", logBin: true, extra: []string{"--hex-blob"}, runner: engine.Runner{Databases: []string{"a", "b"}}}
	for m, c := range map[engine.Method]struct {
		args backupArgs
		want string
	}{
		engine.MariaBackup: {a, "--defaults-file=/o --backup --stream=xbstream --target-dir=/t --innodb-log-checkpoint-now --log-copy-interval=50 --incremental-lsn=7 --parallel=2"},
		engine.InnoBackupEx: {a, "--innobackupex --defaults-file=/o --stream=xbstream --no-timestamp --innodb-log-checkpoint-now --log-copy-interval=50 " +
			"--incremental --incremental-lsn=7 --parallel=2 /t"},
		engine.MySQLDump: {dump, "--defaults-file=/o --single-transaction --quick --routines --events --triggers --default-character-set=utf8mb4 " +
			"--max-allowed-packet=1G --master-data=2 --gtid --hex-blob --flush-privileges --databases a b mysql"},
	} {
		if diff := cmp.Diff(strings.Fields(c.want), dialectOf(m).args(c.args)); diff != "" {
			t.Errorf("%s:\n%s", m, diff)
		}
	}
	dump.runner.NoAccounts, dump.runner.Databases = true, nil
	if got := strings.Join(dumpArgs(dump), " "); !strings.HasSuffix(got, "--all-databases --ignore-database=mysql") || strings.Contains(got, "privileges") {
		t.Errorf("without accounts: %s", got)
	}
}

func TestPoliteness(t *testing.T) {
	t.Parallel()
	exe, args, err := polite(coffer.Polite{Nice: 7, IONice: "idle"}, "/t", []string{"a"})
	if got := exe + " " + strings.Join(args, " "); err != nil || !strings.HasSuffix(got, "nice -n 7 /t a") || !strings.Contains(exe, "ionice") {
		t.Errorf("%s, %v", got, err)
	}
	if exe, args, err = polite(coffer.Polite{}, "/t", []string{"a"}); exe != "/t" || len(args) != 1 || err != nil {
		t.Errorf("%s %v %v", exe, args, err)
	}
}

// script writes a program.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHooks(t *testing.T) {
	t.Parallel()
	said := filepath.Join(t.TempDir(), "said")
	between := func(pre, post []string, wait time.Duration, err error) (ran bool, _ error) {
		r := &run{engine: &Engine{cfg: Config{Runner: engine.Runner{PreHook: pre, PostHook: post, HookWait: wait}}}}
		_, err = r.between(t.Context(), func(context.Context) (engine.Result, error) {
			ran = true
			return engine.Result{}, err
		})
		return ran, err
	}
	// No shell reads what a hook is given.
	ok := []string{script(t, `printf '%s|' "$@" >>`+said), "$(id)", "a b;c"}
	bad := []string{script(t, "echo no flush >&2; exit 3")}
	if ran, err := between(ok, ok, 0, nil); !ran || err != nil {
		t.Errorf("ran %v, %v", ran, err)
	}
	if b, err := os.ReadFile(said); string(b) != "$(id)|a b;c|$(id)|a b;c|" || err != nil {
		t.Errorf("hooks were given %q, %v", b, err)
	}
	if ran, err := between(bad, nil, 0, nil); ran || !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(fmt.Sprint(err), "no flush") {
		t.Errorf("a hook before that fails: ran %v, %v", ran, err)
	}
	if _, err := between(nil, bad, 0, nil); !coffer.IsKind(err, coffer.KindTool) {
		t.Errorf("a hook after that fails: %v", err)
	}
	cause := errors.New("the cause")
	if _, err := between(nil, bad, 0, cause); !errors.Is(err, cause) {
		t.Errorf("the first cause is lost: %v", err)
	}
	begin := time.Now()
	if ran, err := between([]string{script(t, "sleep 60")}, nil, 200*time.Millisecond, nil); ran || err == nil || time.Since(begin) > 20*time.Second {
		t.Errorf("a hook that hangs: ran %v, %v after %v", ran, err, time.Since(begin))
	}
}
