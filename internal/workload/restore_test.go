package workload_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
)

// passable is a temporary folder that other users can pass through.
func passable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "wl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// restore starts a server on a prepared folder, which is given to the account
// that runs a fresh test server.
func restore(t *testing.T, dir string) *testenv.Server {
	t.Helper()
	if os.Geteuid() == 0 {
		model, err := os.Stat(testenv.MariaDB(t, testenv.MariaDBOptions{}).DataDir)
		if err != nil {
			t.Fatal(err)
		}
		owner := model.Sys().(*syscall.Stat_t)
		err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, int(owner.Uid), int(owner.Gid))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: dir})
}
