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
)

// BenchmarkCreate makes durable backups from 8 callers at once, and says how many
// a second and how long one waits.
func BenchmarkCreate(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "records.db"))
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
