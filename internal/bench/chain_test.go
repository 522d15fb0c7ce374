package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/testenv"
)

// links is how many increments stand on the full.
const links = 10

// BenchmarkChain restores a full and ten increments, each of 1 % of the rows: merged,
// against the full alone, and against the stock tools step by step; and how much is
// written for it. The rows are changed in two ways: together, as new orders are, and
// scattered, so that nearly each page has one.
func BenchmarkChain(b *testing.B) {
	for name, where := range map[string]string{
		"together":  "id BETWEEN @least + (@most - @least) * %[1]d DIV 100 AND @least + (@most - @least) * (%[1]d + 1) DIV 100",
		"scattered": "id %% 100 = %[1]d",
	} {
		b.Run(name, func(b *testing.B) {
			c := takeChain(b, database(b), program(b), where)
			for b.Loop() {
				c.turns(b, 3)
			}
		})
	}
}

// BenchmarkUnpack is the first part of a restore, a full's stream made files, against
// zstd -dc | mbstream -x.
func BenchmarkUnpack(b *testing.B) {
	c := keptChain{dir: folder(b)}
	t := newTaker(b, database(b), program(b), c.dir)
	c.ids = append(c.ids, t.take(b))
	for b.Loop() {
		var speed, ours, theirs []float64
		for range 5 {
			us, stock := c.unpack(b), c.stockUnpack(b)
			speed = append(speed, stock.wall.Seconds()/us.wall.Seconds())
			ours, theirs = append(ours, us.wall.Seconds()), append(theirs, stock.wall.Seconds())
			b.Logf("coffer %.1f s (%.1f s of CPU), stock %.1f s (%.1f s of CPU)", us.wall.Seconds(), us.cpu.Seconds(), stock.wall.Seconds(), stock.cpu.Seconds())
		}
		b.ReportMetric(median(speed), "x_vs_stock")
		b.ReportMetric(median(ours), "coffer_s")
		b.ReportMetric(median(theirs), "stock_s")
		b.ReportMetric(0, "ns/op")
	}
}

// keptChain is a chain of backups in a folder, the full first.
type keptChain struct {
	dir string
	ids []coffer.BackupID
}

// takeChain takes the full and, after each change of 1 % of the rows, an increment.
func takeChain(b *testing.B, s *testenv.Server, bin, where string) keptChain {
	b.Helper()
	c := keptChain{dir: folder(b)}
	t := newTaker(b, s, bin, c.dir)
	c.ids = append(c.ids, t.take(b))
	for i := range links {
		for table, column := range map[string]string{"customers": "note", "orders": "note", "events": "payload", "documents": "body"} {
			change(b, s, table, column, fmt.Sprintf(where, 3+7*i))
		}
		c.ids = append(c.ids, t.take(b))
	}
	return c
}

// change writes the bytes of some rows anew, as many as there were.
func change(b *testing.B, s *testenv.Server, table, column, where string) {
	b.Helper()
	s.Exec(b, "SELECT MIN(id), MAX(id) INTO @least, @most FROM shop."+table,
		fmt.Sprintf("UPDATE shop.%s SET %s = CONCAT(CONVERT(MD5(RAND()) USING latin1), SUBSTR(%s, 33)) WHERE %s", table, column, column, where))
}

// turns restores in turns: the full alone and merged each time, by the stock tools
// once.
func (c keptChain) turns(b *testing.B, n int) {
	b.Helper()
	var slower, written, full, merged, cpu []float64
	for range n {
		alone, all := c.restore(b, 1, ""), c.restore(b, len(c.ids), engine.Merged)
		slower = append(slower, all.wall.Seconds()/alone.wall.Seconds())
		written = append(written, float64(all.written)/float64(alone.written))
		full, merged, cpu = append(full, alone.wall.Seconds()), append(merged, all.wall.Seconds()), append(cpu, all.cpu.Seconds())
		b.Logf("full alone %.1f s, %d MB written; merged %.1f s, %d MB written", alone.wall.Seconds(), alone.written/1e6, all.wall.Seconds(), all.written/1e6)
	}
	stock := c.stock(b)
	b.Logf("stock %.1f s, %d MB written", stock.wall.Seconds(), stock.written/1e6)
	b.ReportMetric(median(slower), "x_full")
	b.ReportMetric(median(written), "x_written")
	b.ReportMetric(stock.wall.Seconds()/median(merged), "x_vs_stock")
	b.ReportMetric(median(full), "full_s")
	b.ReportMetric(median(merged), "merged_s")
	b.ReportMetric(median(cpu), "merged_cpu_s")
	b.ReportMetric(stock.wall.Seconds(), "stock_s")
	b.ReportMetric(float64(stored(b, c.dir))/1e6, "stored_MB")
	b.ReportMetric(0, "ns/op")
}

// restore has a child restore the first n links.
func (c keptChain) restore(b *testing.B, n int, way engine.Way) measured {
	b.Helper()
	return c.send(b, fetching{IDs: c.ids[:n], Way: way})
}

// unpack has a child unpack the full and no more.
func (c keptChain) unpack(b *testing.B) measured {
	b.Helper()
	return c.send(b, fetching{IDs: c.ids[:1], Unpack: true})
}

func (c keptChain) send(b *testing.B, f fetching) measured {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	dir := folder(b)
	defer clean(b, dir)
	f.Dir, f.Target = c.dir, filepath.Join(dir, "data")
	if err := os.Mkdir(f.Target, 0o700); err != nil {
		b.Fatal(err)
	}
	if os.Getuid() == 0 {
		u, err := user.Lookup("mysql")
		if err != nil {
			b.Fatal(err)
		}
		f.UID, _ = strconv.Atoi(u.Uid)
		f.GID, _ = strconv.Atoi(u.Gid)
	}
	spec, err := json.Marshal(f)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fetchEnv+"="+string(spec))
	return measure(b, cmd)
}

// file is where a link's stream is.
func (c keptChain) file(i int) string {
	return filepath.Join(c.dir, filepath.FromSlash(benchPrefix), string(c.ids[i])+".xbstream.zst")
}

func (c keptChain) stockUnpack(b *testing.B) measured {
	b.Helper()
	dir := folder(b)
	defer clean(b, dir)
	return measure(b, exec.Command("bash", "-o", "pipefail", "-c", fmt.Sprintf("zstd -q -dc %s | mbstream -x -C %s", c.file(0), dir)))
}

// stock restores the whole chain by the tools' own way, and syncs as a restore of ours
// does.
func (c keptChain) stock(b *testing.B) measured {
	b.Helper()
	dir := folder(b)
	defer clean(b, dir)
	script := "cd " + dir + "\nmkdir data\n"
	for i := range c.ids {
		into, more := "data", ""
		if i > 0 {
			into = "step"
			more = " --incremental-dir=" + filepath.Join(dir, into)
			script += "mkdir step\n"
		}
		script += fmt.Sprintf("zstd -q -dc %s | mbstream -x -C %s\nmariadb-backup --prepare --use-memory=256M --target-dir=%s%s >&2\nrm -rf step\n",
			c.file(i), into, filepath.Join(dir, "data"), more)
	}
	return measure(b, exec.Command("bash", "-e", "-o", "pipefail", "-c", script+"sync -f data"))
}
