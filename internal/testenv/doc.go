// Package testenv starts real servers for tests: private ones, on loopback and a
// socket, in a temporary folder, gone when the test ends.
//
// A test that needs a program says so with [Need]: on a laptop without it the
// test is skipped and says why; with CI=true a missing program fails the test, so
// that a proof can never go missing in silence. So does [SmallDisk], for tests of
// full disks.
//
// [MariaDB] is ready in well under two seconds: mariadb-install-db runs once per
// test process, its result is kept in memory and written out for every server.
// Servers made this way therefore begin alike (same first LSN, no id file), as
// clones of one machine image do.
package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Need skips the test if one of the programs is not installed, or fails it when
// CI=true. It returns their absolute paths in the order asked.
func Need(t testing.TB, programs ...string) []string {
	t.Helper()
	paths := make([]string, 0, len(programs))
	for _, p := range programs {
		path, err := Look(p)
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed, and with CI=true it must be", p)
			}
			t.Skipf("%s is not installed", p)
		}
		paths = append(paths, path)
	}
	return paths
}

// Look finds a program in PATH or in the folders for system programs, which are
// not in every user's PATH.
func Look(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin"} {
		if path, e := exec.LookPath(filepath.Join(dir, program)); e == nil {
			return path, nil
		}
	}
	return "", err
}
