package workload_test

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
	"github.com/google/go-cmp/cmp"
)

// written is a server on which clients have worked and ended, and their journal.
func written(t *testing.T, o workload.Options) (*testenv.Server, *sql.DB, workload.Journal) {
	t.Helper()
	s := testenv.MariaDB(t, testenv.MariaDBOptions{LogBin: o.GTID})
	db := s.DB(t)
	if err := workload.Fill(t.Context(), db, workload.FillOptions{Bytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	w, err := workload.Start(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "every client has done much", func() bool { return least(w.Journal()) > 130 })
	j := w.Stop()
	if n, last := w.Retries(); n > 0 || w.Err() != nil {
		t.Errorf("%d retries (%v), %v", n, last, w.Err())
	}
	return s, db, j
}

// least is the number of entries of the client that has the fewest.
func least(j workload.Journal) int {
	count := map[string]int{}
	for _, e := range j.Entries {
		count[e.Table+"/"+string(rune('0'+e.Worker))]++
	}
	n := len(j.Entries)
	for _, k := range count {
		n = min(n, k)
	}
	return n
}

func TestCheckIsGreen(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "journal")
	begun := time.Now()
	_, db, j := written(t, workload.Options{NonTrans: true, DDL: true, GTID: true, JournalFile: file})
	r, err := workload.Check(t.Context(), db, j, begun, time.Now())
	if err != nil || r.Transactions == 0 || r.Inserts == 0 || r.Rows < r.Transactions {
		t.Errorf("Check = %+v, %v", r, err)
	}
	for _, e := range j.Entries {
		if e.Returned.IsZero() || e.Table == "" && e.GTID == "" {
			t.Fatalf("an entry without its end or its GTID: %+v", e)
		}
	}
	read, err := workload.ReadJournal(file)
	if err != nil {
		t.Fatal(err)
	}
	byClient := func(a, b workload.Entry) int {
		return strings.Compare(a.Table+string(rune(a.Worker)), b.Table+string(rune(b.Worker)))
	}
	slices.SortStableFunc(read.Entries, byClient)
	slices.SortStableFunc(j.Entries, byClient)
	if diff := cmp.Diff(j, read); diff != "" {
		t.Errorf("the journal's file differs (-memory +file):\n%s", diff)
	}
	if _, err := workload.Start(t.Context(), db, workload.Options{}); !coffer.IsKind(err, coffer.KindConflict) {
		t.Errorf("a second life of the clients: %v", err)
	}
}

// Each case breaks the database in a way that a wrong restore could, inside a
// transaction that only the check sees.
func TestCheckIsRed(t *testing.T) {
	t.Parallel()
	_, db, j := written(t, workload.Options{NonTrans: true})
	db.SetMaxOpenConns(1)
	const last = "(SELECT MAX(seq) FROM shop.ledger WHERE worker = 1)"
	cases := []struct{ name, breakit, want string }{
		{"a value is altered", "UPDATE shop.customers SET note = CONCAT(note, 'x') WHERE seq <> 0 LIMIT 1", "is damaged"},
		{"a blob is cut", "UPDATE shop.documents SET body = LEFT(body, LENGTH(body) - 1) WHERE seq <> 0 LIMIT 1", "is damaged"},
		{"a row is another's copy", "UPDATE shop.orders SET id = id + 1000000 WHERE seq <> 0 LIMIT 1", "is damaged"},
		{"a ledger row is removed in the middle", "DELETE FROM shop.ledger WHERE worker = 1 AND seq = 7", "transaction 7 of worker 1 is missing"},
		{"the last ledger row is removed", "DELETE FROM shop.ledger WHERE worker = 1 ORDER BY seq DESC LIMIT 1", "which is not there"},
		{"the ledger is lost", "DELETE FROM shop.ledger", "which is not there"},
		{"a ledger row is altered", "UPDATE shop.ledger SET effects = CONCAT(effects, ' -o1') WHERE worker = 2 AND seq = 3", "is damaged"},
		{"an insert is lost", "DELETE FROM shop.orders WHERE w = 1 AND seq = " + last, "is missing or old"},
		{"an insert is lost in a partition", "DELETE FROM shop.events WHERE w = 2 AND seq <> 0 LIMIT 1", "is missing or old"},
		{"a blob is lost", "DELETE FROM shop.documents WHERE w = 1 LIMIT 1", "is missing or old"},
		{"an update is undone", "UPDATE shop.customers SET w = 0, seq = 0, crc = 0 WHERE seq <> 0 LIMIT 1", "is missing or old"},
		{
			"half of a transaction beyond the position",
			"INSERT INTO shop.orders SELECT id + 1, customer, status, 'n', w, seq + 1, CRC32(CONCAT(id + 1, '|', w, '|', seq + 1, '|n')) FROM shop.orders WHERE w = 1 AND seq = " + last,
			"which is not there",
		},
		{
			"a deleted row is back",
			"INSERT INTO shop.orders VALUES (4294967297, 1, 1, 'n', 1, 1, CRC32('4294967297|1|1|n'))",
			"deleted it",
		},
		{
			"an old version of a row",
			"UPDATE shop.documents SET seq = seq - 4, crc = CRC32(CONCAT(id, '|', w, '|', seq, '|', body)) WHERE w = 2 AND seq > 8 LIMIT 1",
			"and must be of transaction",
		},
	}
	for _, c := range cases {
		execute(t, db, "BEGIN", c.breakit)
		r, err := workload.Check(t.Context(), db, j, time.Time{}, time.Time{})
		wantRed(t, c.name, r, err, c.want)
		execute(t, db, "ROLLBACK")
	}
	green(t, db, j)

	execute(t, db, "CREATE TABLE shop.aside SELECT * FROM shop.hits WHERE seq = 5", "DELETE FROM shop.hits WHERE seq = 5")
	r, err := workload.Check(t.Context(), db, j, time.Time{}, time.Time{})
	wantRed(t, "a MyISAM row is lost", r, err, "insert 5 into hits is missing")
	execute(t, db, "INSERT INTO shop.hits SELECT * FROM shop.aside", "DROP TABLE shop.aside")
	green(t, db, j)
}

// The journal's times, on a database that is right in itself.
func TestCheckTimes(t *testing.T) {
	t.Parallel()
	_, db, j := written(t, workload.Options{Workers: 3})
	lastOf := map[int]int{} // worker to its last entry's index
	for i, e := range j.Entries {
		lastOf[e.Worker] = i
	}
	begun := j.Entries[lastOf[1]].Begun
	r, err := workload.Check(t.Context(), db, j, time.Time{}, begun.Add(-time.Second))
	wantRed(t, "begun after the end", r, err, "after the backup's end")

	more := func(returned time.Time) workload.Journal {
		e := j.Entries[lastOf[1]]
		e.Seq, e.Returned = e.Seq+1, returned
		next := j
		next.Entries = slices.Insert(slices.Clone(j.Entries), lastOf[1]+1, e)
		return next
	}
	early := j.Entries[0].Returned
	r, err = workload.Check(t.Context(), db, more(early), early.Add(time.Second), time.Time{})
	wantRed(t, "returned before the start", r, err, "before the backup's start")
	r, err = workload.Check(t.Context(), db, more(early), time.Time{}, time.Time{})
	wantRed(t, "two workers at two positions", r, err, "began, which is there")
	if r, err := workload.Check(t.Context(), db, more(time.Time{}), time.Now(), time.Now()); err != nil {
		t.Errorf("an unknown outcome may be missing: %+v, %v", r, err)
	}

	short := j
	short.Entries = slices.Delete(slices.Clone(j.Entries), lastOf[2], lastOf[2]+1)
	r, err = workload.Check(t.Context(), db, short, time.Time{}, time.Time{})
	wantRed(t, "not in the journal", r, err, "was never begun")
}

func wantRed(t *testing.T, name string, r workload.Report, err error, want string) {
	t.Helper()
	if !coffer.IsKind(err, coffer.KindCorrupt) || !slices.ContainsFunc(r.Problems, func(p string) bool { return strings.Contains(p, want) }) {
		t.Errorf("%s: %v, problems %q; want one with %q", name, err, r.Problems, want)
	}
}

func green(t *testing.T, db *sql.DB, j workload.Journal) {
	t.Helper()
	if r, err := workload.Check(t.Context(), db, j, time.Time{}, time.Time{}); err != nil {
		t.Fatalf("the unbroken database: %v, %q", err, r.Problems)
	}
}
