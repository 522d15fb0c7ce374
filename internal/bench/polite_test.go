package bench

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
)

// politeRate is how many transactions a second the foreground is asked for: steady, and
// far from what the server can do.
const (
	politeRate    = 200
	politeClients = 8
	politeRows    = 20_000
)

// foreground is a steady workload: each of its transactions is due at its own time,
// whatever became of those before it, and took what passed since then.
type foreground struct {
	db   *sql.DB
	done chan struct{}
	all  sync.WaitGroup
	lap
	failed error // of the first that failed
}

// steady begins it on a table of its own.
func steady(b *testing.B, s *testenv.Server) *foreground {
	b.Helper()
	s.Exec(b, "CREATE DATABASE IF NOT EXISTS foreground", "DROP TABLE IF EXISTS foreground.account",
		"CREATE TABLE foreground.account (id INT PRIMARY KEY, n BIGINT NOT NULL, pad CHAR(200) NOT NULL)",
		fmt.Sprintf("INSERT INTO foreground.account SELECT seq, 0, REPEAT('x', 200) FROM mysql.seq_1_to_%d", politeRows))
	f := &foreground{db: s.DB(b), done: make(chan struct{})}
	f.db.SetMaxOpenConns(politeClients)
	f.db.SetMaxIdleConns(politeClients)
	due := make(chan time.Time, politeRate*60)
	f.all.Go(func() {
		defer close(due)
		tick := time.NewTicker(time.Second / politeRate)
		defer tick.Stop()
		for {
			select {
			case <-f.done:
				return
			case at := <-tick.C:
				due <- at
			}
		}
	})
	for i := range politeClients {
		f.all.Go(func() { f.client(b.Context(), i, due) })
	}
	return f
}

// client carries out what is due: it reads a row, changes it and another, and commits.
func (f *foreground) client(ctx context.Context, seed int, due <-chan time.Time) {
	at := seed
	for from := range due {
		at = (at*7919 + 104729) % politeRows
		if err := f.transaction(ctx, 1+at, 1+(at*31)%politeRows); err != nil {
			f.mu.Lock()
			f.failed = err
			f.mu.Unlock()
			continue
		}
		f.add("transaction", time.Since(from))
	}
}

func (f *foreground) transaction(ctx context.Context, a, b int) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var n int64
	if err := tx.QueryRowContext(ctx, "SELECT n FROM foreground.account WHERE id = ?", a).Scan(&n); err != nil {
		return err
	}
	for _, id := range []int{min(a, b), max(a, b)} { // in one order: no deadlocks
		if _, err := tx.ExecContext(ctx, "UPDATE foreground.account SET n = n + 1 WHERE id = ?", id); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// while gives how long the transactions took while work ran.
func (f *foreground) while(b *testing.B, work func()) []time.Duration {
	b.Helper()
	f.take()
	work()
	f.mu.Lock()
	err := f.failed
	f.mu.Unlock()
	if err != nil {
		b.Fatal(err)
	}
	return f.take()["transaction"]
}

func (f *foreground) stop() {
	close(f.done)
	f.all.Wait()
}

// BenchmarkForeground is how long a steady workload's transactions take while there is
// no backup, while there is one without a limit, and while there is one with
// --bandwidth 50 MB/s; the three take turns.
func BenchmarkForeground(b *testing.B) {
	s, bin := database(b), program(b)
	run := func(more ...string) func() {
		return func() {
			dir := folder(b)
			measure(b, exec.Command(bin, append([]string{"backup", "run", "--socket", s.Socket,
				"--credentials", s.CredentialsFile, "--to", dir}, more...)...))
			clean(b, dir)
		}
	}
	f := steady(b, s)
	defer f.stop()
	for b.Loop() {
		took := map[string][]time.Duration{}
		for range 3 {
			took["none"] = append(took["none"], f.while(b, func() { rest(b, 20*time.Second) })...)
			took["free"] = append(took["free"], f.while(b, run())...)
			took["50MB"] = append(took["50MB"], f.while(b, run("--bandwidth", "50000000"))...)
		}
		for name, all := range took {
			b.ReportMetric(quantile(all, 0.5), name+"_p50_ms")
			b.ReportMetric(quantile(all, 0.99), name+"_p99_ms")
			b.ReportMetric(quantile(all, 1), name+"_max_ms")
		}
		b.ReportMetric(0, "ns/op")
	}
}

// rest lets time pass.
func rest(b *testing.B, d time.Duration) {
	select {
	case <-b.Context().Done():
	case <-time.After(d):
	}
}

// BenchmarkDump is a dump to a file by the command for cron against mariadb-dump | zstd
// -1 -T2 with the same options, in turns.
func BenchmarkDump(b *testing.B) {
	testenv.Need(b, "mariadb-dump", "zstd")
	s, bin := database(b), program(b)
	s.Exec(b, "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO "+testenv.BackupUser+"@localhost")
	ours := func() (measured, int64) {
		dir := folder(b)
		m := measure(b, exec.Command(bin, "backup", "run", "--method", "MySQLDump",
			"--socket", s.Socket, "--credentials", s.CredentialsFile, "--to", dir))
		n := stored(b, dir)
		clean(b, dir)
		return m, n
	}
	stock := func() (measured, int64) {
		dir := folder(b)
		m := measure(b, exec.Command("bash", "-o", "pipefail", "-c", fmt.Sprintf(
			"mariadb-dump --defaults-file=%s --socket=%s --single-transaction --quick --routines --events --triggers --default-character-set=utf8mb4 "+
				"--max-allowed-packet=1G --all-databases --flush-privileges | zstd -q -1 -T2 > %s", s.CredentialsFile, s.Socket, filepath.Join(dir, "dump"))))
		n := stored(b, dir)
		clean(b, dir)
		return m, n
	}
	ours() // the data comes into the cache
	for b.Loop() {
		var speed, size, cpu []float64
		for range 3 {
			o, n := ours()
			t, m := stock()
			speed = append(speed, t.wall.Seconds()/o.wall.Seconds())
			size, cpu = append(size, float64(n)/float64(m)), append(cpu, o.cpu.Seconds()/t.cpu.Seconds())
			b.Logf("coffer %.1f s (%.1f s of CPU), stock %.1f s (%.1f s of CPU)", o.wall.Seconds(), o.cpu.Seconds(), t.wall.Seconds(), t.cpu.Seconds())
		}
		b.ReportMetric(median(speed), "x_vs_stock")
		b.ReportMetric(median(size), "x_stored")
		b.ReportMetric(median(cpu), "x_cpu")
		b.ReportMetric(0, "ns/op")
	}
}
