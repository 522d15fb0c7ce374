package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
)

// dataBytes is what the tables use on disk.
const dataBytes = 2200 << 20

// database starts a server on the data, which the first caller makes.
func database(b *testing.B) *testenv.Server {
	b.Helper()
	testenv.Need(b, "mariadbd", "mariadb-backup", "zstd", "gzip")
	o := testenv.MariaDBOptions{LogFileMB: 512, ExtraConfig: []string{"innodb_buffer_pool_size = 512M"}}
	o.DataDir = os.Getenv("COFFER_BENCH_DATA")
	if o.DataDir == "" {
		o.DataDir = filepath.Join(scratch(), "data")
	}
	if _, err := os.Stat(o.DataDir); err != nil {
		fill(b, o)
	}
	return testenv.MariaDB(b, o)
}

// fill makes the data on a server of its own and moves it to its place when it is
// whole.
func fill(b *testing.B, o testenv.MariaDBOptions) {
	b.Helper()
	to := o.DataDir
	o.DataDir = ""
	s := testenv.MariaDB(b, o)
	if err := workload.Fill(b.Context(), s.DB(b), workload.FillOptions{Seed: 1, Bytes: dataBytes}); err != nil {
		b.Fatal(err)
	}
	s.Stop()
	if err := os.Rename(s.DataDir, to); err != nil {
		b.Fatalf("keep the data (its folder is to be on the volume of /tmp): %v", err)
	}
}
