package e2e

import (
	"database/sql"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
)

// database is a private server with data worth backing up. Without a writer its
// content never changes and sums say what it is.
type database struct {
	*testenv.Server
	db     *sql.DB
	sums   map[string]uint64
	writer *workload.Writer
}

const dataBytes = 28 << 20

func newDatabase(t *testing.T, bytes int64, write bool) *database {
	t.Helper()
	d := &database{Server: testenv.MariaDB(t, testenv.MariaDBOptions{LogFileMB: 256})}
	d.db = d.DB(t)
	if err := workload.Fill(t.Context(), d.db, workload.FillOptions{Seed: 7, Bytes: bytes}); err != nil {
		t.Fatal(err)
	}
	var err error
	if !write {
		d.sums, err = workload.Checksums(t.Context(), d.db, workload.DefaultSchema)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d.writer, err = workload.Start(t.Context(), d.db, workload.Options{Seed: 8, Pause: 20 * time.Millisecond, NonTrans: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.writer.Stop() })
	return d
}

// equals compares restored files with what this database was between two moments.
func (d *database) equals(t *testing.T, dir string, before, after time.Time) {
	t.Helper()
	s := testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: dir})
	defer s.Kill()
	d.same(t, s.DB(t), before, after)
}

func (d *database) same(t *testing.T, restored *sql.DB, before, after time.Time) {
	t.Helper()
	if err := (workload.Truth{Writer: d.writer, Sums: d.sums}).Compare(t.Context(), restored, before, after); err != nil {
		t.Error("restored:", err)
	}
}
