package survive

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
)

// TestStockToolsRestoreAChain: a full and three increments, taken under clients and
// frequent checkpoints, are restored by zstd, mbstream and mariadb-backup alone, and
// every link by Coffer.
func TestStockToolsRestoreAChain(t *testing.T) {
	t.Parallel()
	src := newSource(t, smallData, testenv.MariaDBOptions{LogBin: true})
	w := newWorld(t, src, settings{})
	src.write(t, workload.Options{Seed: 8, Pause: 10 * time.Millisecond, NonTrans: true, DDL: true})
	checkpoints(t, src)
	chain := []coffer.Backup{w.good("")}
	for range 3 {
		done := src.writer.Done()
		within(t, time.Minute, "some work between two backups", func() bool { return src.writer.Done() > done+40 })
		chain = append(chain, w.good("last"))
	}
	for i, b := range chain {
		if i > 0 && (b.Parent != chain[i-1].ID || b.Position.From == 0) {
			t.Fatalf("link %d does not stand on the one before: %+v", i, b)
		}
	}
	dir := w.stock(chain, "")
	before, after := span(chain[3])
	src.holds(t, dir, before, after)
	for _, b := range chain {
		w.restores(b)
	}
}

// checkpoints makes the server take a checkpoint every second until the test ends.
func checkpoints(t *testing.T, src *source) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	db := src.db
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if _, err := db.Exec("SET GLOBAL innodb_log_checkpoint_now = 1"); err != nil {
					t.Errorf("checkpoint: %v", err)
					return
				}
			}
		}
	}()
}

// stock restores a chain without Coffer and gives the folder. With an identity file
// the objects are opened by age first.
func (w *world) stock(chain []coffer.Backup, identity string) (dir string) {
	w.t.Helper()
	testenv.Need(w.t, "bash", "zstd", "mbstream", "mariadb-backup")
	dir = filepath.Join(w.dir, "stock")
	script := "set -euo pipefail\ncd " + w.dir + "\n"
	for i, b := range chain {
		a, err := archive.Open(w.t.Context(), w.place(), b.ID, archive.Want{ManifestSHA256: b.Manifest})
		w.must(err)
		volumes := ""
		for _, v := range a.Manifest().Volumes {
			volumes += " " + w.path(v.Name)
		}
		w.must(a.Close())
		open := "cat" + volumes
		if identity != "" {
			open += " | age -d -i " + identity
		}
		script += fmt.Sprintf("mkdir l%[1]d; %[2]s | zstd -dc | mbstream -x -C l%[1]d\n", i, open)
		script += "mariadb-backup --prepare --target-dir=l0"
		if i > 0 {
			script += fmt.Sprintf(" --incremental-dir=l%d", i)
		}
		script += "\n"
	}
	script += "mariadb-backup --copy-back --target-dir=l0 --datadir=$PWD/stock\n"
	if os.Getuid() == 0 {
		script += "chown -R mysql:mysql stock\n"
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(w.t.Context(), "bash", "-c", script)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		text := said.String()
		w.t.Fatalf("%s\n%v\n%s", script, err, text[max(0, len(text)-3000):])
	}
	if n := strings.Count(said.String(), "completed OK!"); n != len(chain)+1 {
		w.t.Errorf("the tool says %d times that it has completed, want %d", n, len(chain)+1)
	}
	return dir
}
