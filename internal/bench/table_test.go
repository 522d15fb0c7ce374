package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	layer "github.com/cofferdb/coffer/internal/stored"
)

// BenchmarkOneTable takes a table of a twentieth of the data out of a full and ten
// increments, as SQL in a file, against the merged restore of the whole chain: how
// much is read of what is stored, and how long it takes.
func BenchmarkOneTable(b *testing.B) {
	s := database(b)
	s.Exec(b, "DROP DATABASE IF EXISTS aside", "CREATE DATABASE aside", "USE aside", "CREATE TABLE aside.five (id INT PRIMARY KEY, n INT, note VARCHAR(1000) CHARACTER SET utf8mb4, KEY (n))",
		fmt.Sprintf("INSERT INTO aside.five SELECT seq, seq %% 1000, CONCAT(REPEAT(MD5(seq), 12), ' ', MD5(seq * 7)) FROM seq_1_to_%d", dataBytes/20/480))
	defer s.Exec(b, "DROP DATABASE aside")
	c := keptChain{dir: folder(b)}
	t := newTaker(b, s, program(b), c.dir)
	c.ids = append(c.ids, t.take(b))
	for i := range links {
		for table, column := range map[string]string{"customers": "note", "orders": "note", "events": "payload", "documents": "body"} {
			change(b, s, table, column, fmt.Sprintf("id %% 100 = %d", 3+7*i))
		}
		s.Exec(b, fmt.Sprintf("UPDATE aside.five SET note = CONCAT(MD5(RAND()), SUBSTR(note, 33)) WHERE id %% 100 = %d", 3+7*i))
		c.ids = append(c.ids, t.take(b))
	}
	for b.Loop() {
		var share, slower, took, whole []float64
		for range 3 {
			read, of, d := c.table(b, "aside", "five")
			all := c.restore(b, len(c.ids), engine.Merged)
			share, slower = append(share, float64(read)/float64(of)), append(slower, d.Seconds()/all.wall.Seconds())
			took, whole = append(took, d.Seconds()), append(whole, all.wall.Seconds())
			b.Logf("one table %.1f s, %d of %d MB read; all of it %.1f s", d.Seconds(), read/1e6, of/1e6, all.wall.Seconds())
		}
		b.ReportMetric(median(share), "x_read")
		b.ReportMetric(median(slower), "x_merged")
		b.ReportMetric(median(took), "table_s")
		b.ReportMetric(median(whole), "merged_s")
		b.ReportMetric(0, "ns/op")
	}
}

// readCounter is a store that counts what is read of it.
type readCounter struct {
	store.Full
	read atomic.Int64
}

// Open counts what the reader gives.
func (c *readCounter) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	r, err := c.Full.Open(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r, countBytes{&c.read}), r}, nil
}

type countBytes struct{ n *atomic.Int64 }

func (c countBytes) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// table takes one table out of the chain, and says how much was read of how many
// stored bytes, indexes and manifests included.
func (c keptChain) table(b *testing.B, database, name string) (read, of int64, took time.Duration) {
	b.Helper()
	files, err := file.New(c.dir, file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	count := &readCounter{Full: files}
	eng, err := mysql.New(mysql.Config{Guard: []string{"/bin/false"}})
	if err != nil {
		b.Fatal(err)
	}
	dir := folder(b)
	defer clean(b, dir)
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		b.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, "table.sql"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	from := time.Now()
	var chain []engine.Layer
	for _, id := range c.ids {
		a, err := archive.Open(b.Context(), archive.Place{Store: count, Prefix: benchPrefix}, id, archive.Want{})
		if err != nil {
			b.Fatal(err)
		}
		defer a.Close()
		chain, of = append(chain, layer.Layer{Archive: a}), of+a.Manifest().Sizes.Stored
	}
	_, err = eng.RestoreTable(b.Context(), engine.TableOrder{
		Job: coffer.JobID(coffer.NewUUID()), Database: database, Name: name, Dir: work, UID: 65534, GID: 65534, Dump: out,
	}, chain)
	if err == nil {
		err = out.Sync()
	}
	if err != nil {
		b.Fatalf("%v %s", err, coffer.HintOf(err))
	}
	return count.read.Load(), of, time.Since(from)
}
