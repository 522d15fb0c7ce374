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

// BenchmarkList lists pages of 20 out of 100,000 backups of a project, at random
// places and first pages in turn, while nothing is written.
func BenchmarkList(b *testing.B) {
	const rows, instances = 100_000, 500
	db := open(b, filepath.Join(b.TempDir(), "records.db"))
	fillBackups(b, db, rows, instances)
	for _, c := range []struct {
		name string
		f    func(i int) records.BackupFilter
	}{
		{"first", func(int) records.BackupFilter { return records.BackupFilter{Project: "p", Limit: 20} }},
		{"anywhere", func(i int) records.BackupFilter {
			return records.BackupFilter{Project: "p", Limit: 20, Offset: i * 7919 % rows}
		}},
		{"instance", func(i int) records.BackupFilter {
			return records.BackupFilter{Project: "p", Limit: 20, Instance: coffer.InstanceID(fmt.Sprint(i % instances))}
		}},
		{"all", func(i int) records.BackupFilter { return records.BackupFilter{All: true, Limit: 20, Offset: i * 7919 % rows} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				from := time.Now()
				got, err := db.Backups(b.Context(), c.f(len(took)))
				if err != nil || len(got) == 0 {
					b.Fatal(len(got), err)
				}
				took = append(took, time.Since(from))
			}
			b.ReportMetric(p99(took), "p99-ms")
		})
	}
}

func fillBackups(b *testing.B, db *records.DB, rows, instances int) {
	b.Helper()
	var wg sync.WaitGroup
	for g := range 100 {
		wg.Go(func() {
			for i := g; i < instances; i += 100 {
				id := coffer.InstanceID(fmt.Sprint(i))
				if err := db.CreateInstance(b.Context(), coffer.Instance{ID: id, Project: "p", Name: "n"}); err != nil {
					b.Error(err)
				}
				for range rows / instances {
					bk, err := db.CreateBackup(b.Context(), records.NewBackup{Project: "p", Instance: id, Name: "n", Store: "s", Quota: -1})
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := db.Cancel(b.Context(), "p", coffer.JobID(bk.ID), time.Now()); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func p99(took []time.Duration) float64 {
	slices.Sort(took)
	return float64(took[len(took)*99/100]) / float64(time.Millisecond)
}
