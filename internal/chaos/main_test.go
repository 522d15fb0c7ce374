package chaos

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(build(m)) }

// program is the binary under test, built once by TestMain.
func program() string { return filepath.Join(os.Getenv("COFFER_CHAOS_DIR"), "coffer") }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		os.Setenv("COFFER_CHAOS_DIR", dir)
		cmd := exec.Command("go", "build", "-tags", "failpoints", "-o", program(), "github.com/cofferdb/coffer/cmd/coffer")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the program under test:", err)
		return 1
	}
	return m.Run()
}

// heavy skips a test unless the long ones are asked for.
func heavy(t *testing.T) {
	t.Helper()
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("long: set COFFER_HEAVY=1")
	}
}

// sources looks at every source of the program, so that a cached result of these
// tests counts only while the program is the same.
func sources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Log(err)
	}
}

// within polls until cond holds; it fails the test after d.
func within(t testing.TB, d time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !cond() {
		if time.Since(start) > d {
			t.Fatalf("not within %v: %s", d, what)
		}
		<-time.After(20 * time.Millisecond)
	}
	return time.Since(start)
}
