package records

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cofferdb/coffer"
)

// TestUpgrade takes records with content through a later step, and refuses what
// must not be opened.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.db")
	d, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	id := d.Installation()
	if _, err := d.RaiseCounter(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	steps, err := loadMigrations(migrations, "sqlite")
	if err != nil {
		t.Fatal(err)
	}
	later := append(steps[:len(steps):len(steps)], migration{
		version: int64(len(steps) + 1), name: "later", checksum: "x", body: `ALTER TABLE counters ADD COLUMN extra TEXT NOT NULL DEFAULT ''; CREATE TABLE later (n INTEGER)`,
	})
	apply := func(steps []migration) error {
		t.Helper()
		w, r, err := openSQLite(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		defer r.Close()
		return applyMigrations(t.Context(), sqliteDialect, w, steps)
	}
	broken := append(later[:len(later):len(later)], migration{version: 99, name: "broken", checksum: "y", body: `CREATE TABLE half (n INTEGER); NOT SQL`})
	if err := apply(broken); err == nil {
		t.Error("a broken step was applied")
	}
	again, err := Open(t.Context(), path) // nothing of the failed upgrade is left
	if err != nil {
		t.Fatalf("after a failed upgrade: %v", err)
	}
	if n, err := again.Counter(t.Context(), "kept"); n != 1 || err != nil || again.Installation() != id {
		t.Errorf("the content was lost: %d %v", n, err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := apply(later); err != nil {
			t.Errorf("upgrade: %v", err)
		}
	}
	_, err = Open(t.Context(), path)
	if !coffer.IsKind(err, coffer.KindUnsupported) || coffer.HintOf(err) == "" {
		t.Errorf("records of a newer version were opened: %v", err)
	}
	later[0].checksum = "another"
	if err := apply(later); !coffer.IsKind(err, coffer.KindCorrupt) {
		t.Errorf("a changed step was accepted: %v", err)
	}
}

func TestMigrationNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names string
		good  bool
	}{{"0001_a 0002_b", true}, {"0001_a 0003_b", false}, {"0002_a", false}, {"x_a", false}, {"0001_a 0001_b", false}} {
		files := fstest.MapFS{}
		for n := range strings.FieldsSeq(c.names) {
			files["migrations/sqlite/"+n+".sql"] = &fstest.MapFile{Data: []byte("SELECT 1")}
		}
		if _, err := loadMigrations(files, "sqlite"); (err == nil) != c.good {
			t.Errorf("%s: %v, want good %v", c.names, err, c.good)
		}
	}
}

// TestDurable: the pragmas that durability rests on reach every connection.
func TestDurable(t *testing.T) {
	t.Parallel()
	d := openTemp(t)
	for _, pool := range []querier{d.writer, d.readers} {
		c := conn{ctx: t.Context(), q: pool}
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
			if got, _, err := one(c, scanString, `PRAGMA `+pragma); got != want || err != nil {
				t.Errorf("%s is %q (%v), want %q", pragma, got, err, want)
			}
		}
	}
	if _, err := d.reading(t.Context()).exec(`DELETE FROM meta`); err == nil {
		t.Error("the read pool writes")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Open(t.Context(), filepath.Join(dir, "none", "records.db"))
	if !coffer.IsKind(err, coffer.KindUnavailable) || coffer.HintOf(err) == "" {
		t.Errorf("a missing folder: %v", err)
	}
	bad := filepath.Join(dir, "bad.db")
	if err := os.WriteFile(bad, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), bad); !coffer.IsKind(err, coffer.KindCorrupt) {
		t.Errorf("a file that is no database: %v", err)
	}
	odd := filepath.Join(dir, "a?b#c%20 d.db")
	d, err := Open(t.Context(), odd)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(odd); err != nil || st.Mode().Perm() != 0o600 || st.Size() == 0 {
		t.Errorf("the file of an odd name: %v %v", st, err)
	}
}
