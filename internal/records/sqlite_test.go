package records_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/records/recordstest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		fmt.Fprintln(os.Stderr, writeForever(path))
		os.Exit(1)
	}
	if err := boundChecks("15"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// boundChecks sets how many histories a property draws, unless -rapid.checks was
// given: each step of one is durable, and slow under the race detector.
func boundChecks(n string) error {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if given {
		return nil
	}
	return flag.Set("rapid.checks", n)
}

func open(t testing.TB, path string) *records.DB {
	t.Helper()
	db, err := records.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	recordstest.Run(t, recordstest.Database{OneWriter: true, Fresh: func(t *testing.T) func() *records.DB {
		path := filepath.Join(t.TempDir(), "records.db")
		return func() *records.DB { return open(t, path) }
	}})
}
