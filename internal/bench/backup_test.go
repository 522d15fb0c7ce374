package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
)

// contest is two ways to make the same full backup.
type contest struct {
	source *testenv.Server
	bin    string
	filter string // of the stock pipeline
}

// coffer takes a full backup by the command for cron, into a fresh folder.
func (c contest) coffer(b *testing.B) (m measured, size int64) {
	b.Helper()
	dir := folder(b)
	m = measure(b, exec.Command(c.bin, "backup", "run",
		"--socket", c.source.Socket, "--credentials", c.source.CredentialsFile, "--to", dir))
	size = stored(b, dir)
	clean(b, dir)
	return m, size
}

// stock takes it by the tool's own stream and a compressor.
func (c contest) stock(b *testing.B) (m measured, size int64) {
	b.Helper()
	dir := folder(b)
	out := filepath.Join(dir, "backup")
	line := fmt.Sprintf("mariadb-backup --defaults-file=%s --backup --stream=xbstream --socket=%s --datadir=%s --target-dir=%s | %s > %s",
		c.source.CredentialsFile, c.source.Socket, c.source.DataDir, dir, c.filter, out)
	m = measure(b, exec.Command("bash", "-o", "pipefail", "-c", line))
	size = stored(b, dir)
	clean(b, dir)
	return m, size
}

func clean(b *testing.B, dir string) {
	b.Helper()
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
}

// figures are what the turns of a contest gave.
type figures struct {
	speed, stored, cpu   []float64 // ratios
	seconds, against, mb []float64
	peak                 int64
}

func (c contest) turns(b *testing.B, n int) {
	var f figures
	for range n {
		ours, size := c.coffer(b)
		theirs, other := c.stock(b)
		f.speed = append(f.speed, theirs.wall.Seconds()/ours.wall.Seconds())
		f.cpu = append(f.cpu, ours.cpu.Seconds()/theirs.cpu.Seconds())
		f.stored = append(f.stored, float64(size)/float64(other))
		f.seconds = append(f.seconds, ours.wall.Seconds())
		f.against = append(f.against, theirs.wall.Seconds())
		f.mb = append(f.mb, float64(size)/1e6)
		f.peak = max(f.peak, ours.peak)
		b.Logf("coffer %.1f s (%.1f s of CPU), stock %.1f s (%.1f s of CPU)",
			ours.wall.Seconds(), ours.cpu.Seconds(), theirs.wall.Seconds(), theirs.cpu.Seconds())
	}
	b.ReportMetric(median(f.speed), "x_vs_stock")
	b.ReportMetric(median(f.stored), "x_stored")
	b.ReportMetric(median(f.cpu), "x_cpu")
	b.ReportMetric(median(f.seconds), "coffer_s")
	b.ReportMetric(median(f.against), "stock_s")
	b.ReportMetric(median(f.mb), "stored_MB")
	b.ReportMetric(float64(f.peak)/(1<<20), "peak_MiB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBackupZstd is a full backup to files against mariadb-backup | zstd -1
// -T2, and the agent's peak memory with its usual settings.
func BenchmarkBackupZstd(b *testing.B) {
	c := contest{source: database(b), bin: program(b), filter: "zstd -q -1 -T2"}
	c.coffer(b) // the data comes into the page cache
	for b.Loop() {
		c.turns(b, 5)
	}
}

// BenchmarkBackupGzip is the same against mariadb-backup | gzip, which is Trove's
// way.
func BenchmarkBackupGzip(b *testing.B) {
	c := contest{source: database(b), bin: program(b), filter: "gzip"}
	c.coffer(b)
	for b.Loop() {
		c.turns(b, 1)
	}
}
