package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

// TestOldRecordsPutBack puts the records of an earlier hour back: what was
// COMPLETED since has no row any more, and no sweep may take it; what was left
// half-made since is swept.
func TestOldRecordsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 8<<20, false))
	w.startServer("")
	w.register()
	before := w.completes()
	w.server.end(t, syscall.SIGTERM)
	w.copyRecords(w.state, w.dir)

	w.startServer("")
	since := w.completes()
	w.server.end(t, syscall.SIGKILL)
	w.startServer("before put .manifest.json=kill")
	half := w.create()
	w.dies(half)
	w.copyRecords(w.dir, w.state)

	w.startServer("")
	w.made = []coffer.BackupID{before}
	kept := w.objects(since)
	within(t, 30*time.Second, "the half-made backup is swept", func() bool {
		w.sweep()
		return len(w.objects(half)) == 0
	})
	w.sweep()
	if got := w.objects(since); strings.Join(got, " ") != strings.Join(kept, " ") || len(kept) != 4 {
		t.Errorf("of the COMPLETED backup without a row %q are left, there were %q", got, kept)
	}
	w.completes()
	w.restored(before)
	w.clean(true)
	w.extracted(since)
}

// copyRecords takes the records as they lie there, with what SQLite keeps beside.
func (w *world) copyRecords(from, to string) {
	w.t.Helper()
	for _, tail := range []string{"", "-wal", "-shm"} {
		os.Remove(to + "/records.db" + tail)
		in, err := os.Open(from + "/records.db" + tail)
		if os.IsNotExist(err) && tail != "" {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		out, err := os.Create(to + "/records.db" + tail)
		if err == nil {
			_, err = io.Copy(out, in)
		}
		if err == nil {
			err = out.Close()
		}
		in.Close()
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// extracted reads a backup without the program, prepares the files by the stock
// tool and compares.
func (w *world) extracted(id coffer.BackupID) {
	w.t.Helper()
	names, _ := filepath.Glob(w.state + "/store/*/*/" + string(id) + ".xbstream.zst")
	if len(names) != 1 {
		w.t.Fatalf("volumes: %q", names)
	}
	dir := w.dir + "/stock"
	stock(w.t, fmt.Sprintf("mkdir %[2]s && zstd -dc %[1]s | mbstream -x -C %[2]s && mariadb-backup --prepare --target-dir=%[2]s && "+
		"{ [ $(id -u) != 0 ] || chown -R mysql: %[2]s; }", names[0], dir))
	w.db.equals(w.t, dir, w.begun[id], time.Now())
}

// stock runs a line of a shell as an operator would.
func stock(t testing.TB, line string) {
	t.Helper()
	if out, err := exec.Command("bash", "-c", "set -euo pipefail; "+line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out[max(0, len(out)-2000):])
	}
}
