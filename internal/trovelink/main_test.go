package trovelink

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer/internal/guard"
)

func TestMain(m *testing.M) {
	guard.Hook()
	code := m.Run()
	servers.Stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func heavy(t *testing.T) {
	t.Helper()
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("COFFER_HEAVY is not set: starts a real Trove")
	}
}

// until polls a condition.
func until(t *testing.T, patience time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
