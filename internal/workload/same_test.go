package workload_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
)

func TestCompareNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t, testenv.MariaDBOptions{}).DB(t)
	if err := workload.Fill(t.Context(), db, workload.FillOptions{Bytes: 2 << 20}); err != nil {
		t.Fatal(err)
	}
	sums, err := workload.Checksums(t.Context(), db, workload.DefaultSchema)
	if err != nil {
		t.Fatal(err)
	}
	quiet := workload.Truth{Sums: sums}
	if err := quiet.Compare(t.Context(), db, time.Time{}, time.Time{}); err != nil {
		t.Error(err)
	}
	execute(t, db, "UPDATE shop.customers SET balance = balance + 1 LIMIT 1", "DROP TABLE shop.events", "CREATE TABLE shop.more (i INT)")
	err = quiet.Compare(t.Context(), db, time.Time{}, time.Time{})
	for _, words := range []string{"table shop.customers differs", "table shop.events is missing", "table shop.more should not be there"} {
		if !coffer.IsKind(err, coffer.KindCorrupt) || !strings.Contains(err.Error(), words) {
			t.Errorf("%v; want %q", err, words)
		}
	}
}
