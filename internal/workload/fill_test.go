package workload_test

import (
	"database/sql"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
	"github.com/google/go-cmp/cmp"
)

func TestFill(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t, testenv.MariaDBOptions{})
	db := s.DB(t)
	fill := func(o workload.FillOptions) map[string]uint64 {
		t.Helper()
		if err := workload.Fill(t.Context(), db, o); err != nil {
			t.Fatal(err)
		}
		sums, err := workload.Checksums(t.Context(), db, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := workload.CheckTables(t.Context(), db, ""); err != nil {
			t.Error(err)
		}
		execute(t, db, "DROP DATABASE shop")
		return sums
	}
	const size = 16 << 20
	first := fill(workload.FillOptions{Seed: 1, Bytes: size})
	if len(first) != 7 || first["shop.hits"] == 0 || first["shop.documents"] == 0 {
		t.Errorf("checksums %v; want 7 tables with content", first)
	}
	if diff := cmp.Diff(first, fill(workload.FillOptions{Seed: 1, Bytes: size})); diff != "" {
		t.Errorf("the same seed gave other rows (-first +second):\n%s", diff)
	}
	other := fill(workload.FillOptions{Seed: 2, Bytes: size})
	maps.DeleteFunc(other, func(name string, sum uint64) bool { return first[name] != sum })
	if len(other) != 1 { // the ledger, empty in both
		t.Errorf("another seed gave the same rows in %v", other)
	}
	if err := workload.Fill(t.Context(), db, workload.FillOptions{Schema: "x; DROP"}); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a schema that is no name: %v", err)
	}
}

func TestFillShape(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t, testenv.MariaDBOptions{})
	db := s.DB(t)
	const size = 40 << 20
	if err := workload.Fill(t.Context(), db, workload.FillOptions{Bytes: size}); err != nil {
		t.Fatal(err)
	}
	var bytes, innodb, aria, myisam, partitioned int64
	err := db.QueryRowContext(t.Context(), `SELECT SUM(engine = 'InnoDB'), SUM(engine = 'Aria'),
		SUM(engine = 'MyISAM'), SUM(create_options LIKE '%partitioned%') FROM information_schema.tables WHERE table_schema = 'shop'`).
		Scan(&innodb, &aria, &myisam, &partitioned)
	if err != nil {
		t.Fatal(err)
	}
	if innodb != 5 || aria != 1 || myisam != 1 || partitioned != 2 {
		t.Errorf("%d InnoDB, %d Aria, %d MyISAM, %d partitioned; want 5, 1, 1, 2", innodb, aria, myisam, partitioned)
	}
	files, err := os.ReadDir(filepath.Join(s.DataDir, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		fi, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		bytes += fi.Size()
	}
	if bytes < size/2 || bytes > size*2 {
		t.Errorf("%d MiB for %d asked", bytes>>20, size>>20)
	}
}

func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
