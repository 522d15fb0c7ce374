package bench

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/store/file"
	layer "github.com/cofferdb/coffer/internal/stored"
)

// BenchmarkSynthesize joins a full and ten increments into a new full, against copying
// that full from one archive into another: the same bytes through decoder and encoder.
// Of rows that lie together most pages come from the full, of scattered ones nearly each
// from an increment.
func BenchmarkSynthesize(b *testing.B) {
	for name, where := range map[string]string{
		"together":  "id BETWEEN @least + (@most - @least) * %[1]d DIV 100 AND @least + (@most - @least) * (%[1]d + 1) DIV 100",
		"scattered": "id %% 100 = %[1]d",
	} {
		b.Run(name, func(b *testing.B) {
			c := takeChain(b, database(b), program(b), where)
			for b.Loop() {
				c.joins(b, 3)
			}
		})
	}
}

// joins joins and copies in turns.
func (c keptChain) joins(b *testing.B, n int) {
	b.Helper()
	var ratio, joins, copies []float64
	for range n {
		dir := folder(b)
		id, joined := c.synthesize(b, dir)
		copied := copyArchive(b, dir, id)
		ratio = append(ratio, copied.Seconds()/joined.Seconds())
		joins, copies = append(joins, joined.Seconds()), append(copies, copied.Seconds())
		b.Logf("joined in %.1f s, copied in %.1f s", joined.Seconds(), copied.Seconds())
		clean(b, dir)
	}
	b.ReportMetric(median(ratio), "x_vs_copy")
	b.ReportMetric(median(joins), "join_s")
	b.ReportMetric(median(copies), "copy_s")
	b.ReportMetric(0, "ns/op")
}

// synthesize joins the chain into an archive in dir.
func (c keptChain) synthesize(b *testing.B, dir string) (coffer.BackupID, time.Duration) {
	b.Helper()
	eng, err := mysql.New(mysql.Config{Guard: []string{"/bin/false"}, StateDir: dir})
	if err != nil {
		b.Fatal(err)
	}
	from := time.Now()
	var chain []engine.Layer
	for _, id := range c.ids {
		a := openArchive(b, c.dir, id)
		defer a.Close()
		chain = append(chain, layer.Layer{Archive: a})
	}
	id := writeArchive(b, dir, func(ctx context.Context, w *archive.Writer) (engine.Result, error) {
		return eng.Synthesize(ctx, sink{w}, chain, nil, engine.Options{})
	})
	return id, time.Since(from)
}

// copyArchive copies an archive's stream into another one, as a stream of the same
// kind, without an index of its files.
func copyArchive(b *testing.B, dir string, id coffer.BackupID) time.Duration {
	b.Helper()
	from := time.Now()
	a := openArchive(b, dir, id)
	defer a.Close()
	writeArchive(b, dir, func(ctx context.Context, w *archive.Writer) (engine.Result, error) {
		r, err := a.Stream(ctx)
		if err == nil {
			_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 1<<20))
			_ = r.Close() // it was read to its end
		}
		return engine.Result{Position: a.Manifest().Position, Method: a.Manifest().Method}, err
	})
	return time.Since(from)
}

func openArchive(b *testing.B, dir string, id coffer.BackupID) *archive.Archive {
	b.Helper()
	files, err := file.New(dir, file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	a, err := archive.Open(b.Context(), archive.Place{Store: files, Prefix: benchPrefix}, id, archive.Want{SpoolDir: dir})
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// writeArchive makes an archive of what fill writes, up to its manifest.
func writeArchive(b *testing.B, dir string, fill func(context.Context, *archive.Writer) (engine.Result, error)) coffer.BackupID {
	b.Helper()
	files, err := file.New(dir, file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	id, instance := coffer.BackupID(coffer.NewUUID()), coffer.InstanceID(coffer.NewUUID())
	w, err := archive.Create(b.Context(), archive.Place{Store: files, Prefix: benchPrefix}, archive.Intent{
		Installation: "bench", Backup: id, Project: "bench", Instance: instance, Runner: "bench/1",
	}, archive.Options{SpoolDir: dir})
	if err != nil {
		b.Fatal(err)
	}
	res, err := fill(b.Context(), w)
	if err == nil {
		_, err = w.Finish(b.Context(), archive.Manifest{
			Installation: "bench", Backup: id, Runner: "bench/1", Project: "bench", Instance: instance, Root: id,
			Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Tool: res.Tool, Method: res.Method, Position: res.Position,
			Started: time.Now().UTC(), Finished: time.Now().UTC(),
		})
	}
	if err == nil {
		var done archive.Outcome
		if done, err = w.Commit(b.Context()); done != archive.Done {
			err = fmt.Errorf("the commit is %s: %w", done, err)
		}
	}
	if err != nil {
		b.Fatalf("%v %s", err, coffer.HintOf(err))
	}
	return id
}
