package testenv_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
)

func TestPostgreSQLKeepsItsDataOverARestart(t *testing.T) {
	t.Parallel()
	var s *testenv.Postgres
	t.Run("inner", func(t *testing.T) {
		begin := time.Now()
		s = testenv.PostgreSQL(t, testenv.PostgresOptions{ExtraConfig: []string{"synchronous_commit = on"}})
		t.Logf("ready after %v", time.Since(begin))
		if one, two := s.Database(t), s.Database(t); one == two {
			t.Error("two databases have one address")
		}
		s.Exec(t, "CREATE TABLE t (i INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
		pid := s.Pid()
		s.Stop()
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("after Stop the process is there: %v", err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		s.Exec(t, "UPDATE t SET i = 3 WHERE i = 2")
	})
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
