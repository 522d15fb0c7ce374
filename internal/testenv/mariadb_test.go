package testenv_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
)

func TestServerKeepsItsDataOverKillAndRestart(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	s := testenv.MariaDB(t, testenv.MariaDBOptions{LogBin: true, ExtraConfig: []string{"max_connections = 33"}})
	t.Logf("ready after %v", time.Since(begin))
	s.Exec(t, "CREATE DATABASE d", "CREATE TABLE d.t (i INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2)")
	pid := s.Pid()
	s.Kill()
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("after Kill the process is there: %v", err)
	}
	s.Restart()
	var n, conns int
	row := s.DB(t).QueryRow("SELECT COUNT(*), @@max_connections FROM d.t")
	if err := row.Scan(&n, &conns); err != nil || n != 2 || conns != 33 {
		t.Errorf("rows %d, max_connections %d, %v; want 2, 33", n, conns, err)
	}
}

func TestServerStartsOnAnotherOnesFolder(t *testing.T) {
	t.Parallel()
	a := testenv.MariaDB(t, testenv.MariaDBOptions{})
	a.Exec(t, "CREATE DATABASE d")
	a.Stop()
	b := testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: a.DataDir})
	b.Exec(t, "CREATE TABLE d.t (i INT)")
	fi, err := os.Stat(b.CredentialsFile)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("credentials file: %v, %v; want mode 0600", fi.Mode(), err)
	}
}

func TestServerIsGoneAfterItsTest(t *testing.T) {
	t.Parallel()
	var s *testenv.Server
	t.Run("inner", func(t *testing.T) { s = testenv.MariaDB(t, testenv.MariaDBOptions{}) })
	if s == nil {
		t.Skip("no server")
	}
	if err := syscall.Kill(s.Pid(), 0); err != syscall.ESRCH {
		t.Errorf("the server is still there: %v", err)
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
}
