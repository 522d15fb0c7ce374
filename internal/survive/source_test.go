package survive

import (
	"database/sql"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
)

// source is a private database with a shop in it. Without clients its content
// changes by hand only, and sums say what it is.
type source struct {
	*testenv.Server
	db     *sql.DB
	sums   map[string]uint64
	writer *workload.Writer
}

const smallData = 8 << 20

func newSource(t *testing.T, bytes int64, o testenv.MariaDBOptions) *source {
	t.Helper()
	testenv.Need(t, "mariadb-backup")
	if o.LogFileMB == 0 {
		o.LogFileMB = 256
	}
	s := &source{Server: testenv.MariaDB(t, o)}
	s.db = s.DB(t)
	if err := workload.Fill(t.Context(), s.db, workload.FillOptions{Seed: 7, Bytes: bytes}); err != nil {
		t.Fatal(err)
	}
	s.sum(t)
	return s
}

// sum takes the sums of what the tables hold now.
func (s *source) sum(t *testing.T) {
	t.Helper()
	var err error
	if s.sums, err = workload.Checksums(t.Context(), s.db, workload.DefaultSchema); err != nil {
		t.Fatal(err)
	}
}

// change changes some rows of several tables.
func (s *source) change(t *testing.T) {
	t.Helper()
	s.Exec(t, "USE "+workload.DefaultSchema,
		"UPDATE customers SET balance = balance + 1 WHERE id % 7 = 0",
		"INSERT INTO audit (id, note) SELECT COALESCE(MAX(id), 0) + 1, 'changed' FROM audit",
		"INSERT INTO documents (id, name, body) SELECT MAX(id) + 1, 'new', REPEAT(MD5(MAX(id)), 2000) FROM documents")
	s.sum(t)
}

// write starts clients; from now on the ledger says what is right.
func (s *source) write(t *testing.T, o workload.Options) {
	t.Helper()
	w, err := workload.Start(t.Context(), s.db, o)
	if err != nil {
		t.Fatal(err)
	}
	s.writer = w
	t.Cleanup(func() { w.Stop() })
}

// holds compares the files of a restored folder with what the source was: at the
// time of its last sum, or with clients at some moment between two.
func (s *source) holds(t *testing.T, dir string, before, after time.Time) {
	t.Helper()
	r := testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: dir})
	defer r.Kill()
	s.same(t, r.DB(t), before, after)
}

func (s *source) same(t *testing.T, db *sql.DB, before, after time.Time) {
	t.Helper()
	if err := (workload.Truth{Writer: s.writer, Sums: s.sums}).Compare(t.Context(), db, before, after); err != nil {
		t.Error("restored:", err)
	}
}

// span is when a backup ran.
func span(b coffer.Backup) (before, after time.Time) { return b.Created, b.Ended }
