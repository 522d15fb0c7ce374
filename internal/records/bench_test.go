package records_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/testenv"
)

// BenchmarkCreate makes durable backups from 8 callers at once, and says how many
// a second and how long one waits.
func BenchmarkCreate(b *testing.B) {
	benchCreate(b, open(b, filepath.Join(b.TempDir(), "records.db")))
}

// BenchmarkCreatePostgreSQL is BenchmarkCreate on a server that syncs.
func BenchmarkCreatePostgreSQL(b *testing.B) {
	server := testenv.PostgreSQL(b, testenv.PostgresOptions{ExtraConfig: []string{"fsync = on"}})
	benchCreate(b, openSource(b, records.Source{URL: server.Database(b), Password: testenv.PostgresPassword}))
}

// BenchmarkCreateMariaDB is BenchmarkCreate on a server that syncs.
func BenchmarkCreateMariaDB(b *testing.B) {
	_, fresh := mariaDB(b, "innodb_flush_log_at_trx_commit = 1")
	s := fresh(b)
	s.MaxConns = 10
	benchCreate(b, openSource(b, s))
}

func benchCreate(b *testing.B, db *records.DB) {
	b.Helper()
	ids := make([]coffer.InstanceID, b.N)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := g; i < b.N; i += 8 {
				ids[i] = coffer.InstanceID(coffer.NewUUID())
				if err := db.CreateInstance(b.Context(), coffer.Instance{ID: ids[i], Project: "p", Name: "n"}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for g := range 8 {
		wg.Go(func() {
			for i := g; i < b.N; i += 8 {
				from := time.Now()
				n := records.NewBackup{Project: "p", Instance: ids[i], Name: "n", Store: "s", Key: fmt.Sprint(i), Quota: b.N}
				if _, err := db.CreateBackup(b.Context(), n); err != nil {
					b.Error(err)
				}
				took[i] = time.Since(from)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
	b.ReportMetric(p99(took), "p99-ms")
}

func p99(took []time.Duration) float64 {
	slices.Sort(took)
	return float64(took[len(took)*99/100]) / float64(time.Millisecond)
}
