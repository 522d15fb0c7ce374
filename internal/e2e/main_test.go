package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// program is the binary under test, built once by TestMain.
func program() string { return filepath.Join(os.Getenv("COFFER_E2E_DIR"), "coffer") }

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		os.Setenv("COFFER_E2E_DIR", dir)
		cmd := exec.Command("go", "build", "-tags", "failpoints", "-o", program(), "github.com/cofferdb/coffer/cmd/coffer")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the program under test:", err)
		return 1
	}
	code := m.Run()
	clouds.Stop()
	return code
}

// heavy skips a test unless the long ones are asked for.
func heavy(t *testing.T) {
	t.Helper()
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("long: set COFFER_HEAVY=1")
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
		<-time.After(5 * time.Millisecond)
	}
	return time.Since(start)
}
