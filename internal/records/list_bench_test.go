package records

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

// BenchmarkList lists pages of 20 out of 100,000 backups of one project.
func BenchmarkList(b *testing.B) {
	const rows, instances = 100_000, 500
	d := openTemp(b)
	fillBackups(b, d, rows, instances)
	for _, c := range []struct {
		name string
		f    func(i int) BackupFilter
	}{
		{"first", func(int) BackupFilter { return BackupFilter{Project: "p", Limit: 20} }},
		{"anywhere", func(i int) BackupFilter { return BackupFilter{Project: "p", Limit: 20, Offset: i * 7919 % rows} }},
		{"instance", func(i int) BackupFilter {
			return BackupFilter{Project: "p", Limit: 20, Instance: coffer.InstanceID(fmt.Sprint(i % instances))}
		}},
		{"all", func(i int) BackupFilter { return BackupFilter{All: true, Limit: 20, Offset: i * 7919 % rows} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				from := time.Now()
				got, err := d.Backups(b.Context(), c.f(len(took)))
				if err != nil || len(got) == 0 {
					b.Fatal(len(got), err)
				}
				took = append(took, time.Since(from))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100])/float64(time.Millisecond), "p99-ms")
		})
	}
}

// fillBackups writes COMPLETED rows as they are after years of use.
func fillBackups(b *testing.B, d *DB, rows, instances int) {
	b.Helper()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pos, err := asJSON(coffer.Position{To: 1 << 40, Lineage: coffer.Lineage{Nonce: coffer.NewNonce()}, GTID: "0-1-123456"})
	if err != nil {
		b.Fatal(err)
	}
	for from := 0; from < rows; from += 1000 {
		if err := d.write(b.Context(), "fill", func(c conn) error {
			for i := from; i < from+1000; i++ {
				id := coffer.NewUUID()
				t := micros(at.Add(time.Duration(i) * time.Minute))
				if _, err := c.exec(`INSERT INTO backups (id, project, instance, name, state, root, type, ds_type, ds_version, ds_version_id,
					store, container, pos, location, manifest, created, updated, ended)
					VALUES (?, 'p', ?, ?, 'COMPLETED', ?, 'full', 'mariadb', '10.11', ?, 'main', 'c', ?, ?, ?, ?, ?, ?)`,
					id, fmt.Sprint(i%instances), "backup-"+id, id, coffer.NewUUID(), pos, "file:///backups/p/c/"+id, id+id, t, t, t); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}
