package e2e

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
)

// TestGuardStoppedInALockedStage stops the guard while the real tool holds the lock
// of non-transactional writers; the tool itself is stopped, too, so nothing but its
// end frees them. Whoever of guard and agent is awake ends it in time.
func TestGuardStoppedInALockedStage(t *testing.T) {
	t.Parallel()
	stoppedInALock(t, "guard")
}

func TestHeavyStoppedInALockedStage(t *testing.T) {
	heavy(t)
	stoppedInALock(t, "agent", "guard")
}

func stoppedInALock(t *testing.T, victims ...string) {
	w := newWorld(t, newDatabase(t, 8<<20, true))
	late := make([]byte, 48<<20) // of a trigger's kind: it is copied after the lock is taken
	rand.Read(late)
	if err := os.WriteFile(filepath.Join(w.db.DataDir, workload.DefaultSchema, "late.TRN"), late, 0o644); err != nil {
		t.Fatal(err)
	}
	log := w.teeing()
	w.begin(true)
	for _, who := range victims {
		id := w.create()
		guard, group := guardAndTool(t, w.agent)
		within(t, 30*time.Second, "the tool has its lock", func() bool {
			b, _ := os.ReadFile(log) // it may not be there yet
			return bytes.Contains(b, []byte("Started BACKUP STAGE BLOCK_DDL"))
		})
		tool := realTool(t, group)
		_ = syscall.Kill(tool, syscall.SIGSTOP)
		<-time.After(300 * time.Millisecond) // so that all have heard of the lock
		w.db.writer.ResetStalls()
		pid := guard
		if who == "agent" {
			pid = w.agent.pid
		}
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		ended := within(t, 15*time.Second, "the tool is ended", func() bool { return state(tool) == 0 || state(tool) == 'Z' })
		done := w.db.writer.Done()
		within(t, 5*time.Second, "the writers go on", func() bool { return w.db.writer.Done() > done+5 })
		w.db.Exec(t, "CREATE TABLE shop.free (i INT) ENGINE=MyISAM", "INSERT INTO shop.free VALUES (1)", "DROP TABLE shop.free")
		felt := w.db.writer.Stalls()
		t.Logf("%s stopped: the tool was ended after %v; the writers felt %+v", who, ended.Round(time.Millisecond), felt)
		// The guard's and the agent's patience while a lock is held is 3 s.
		if felt.NonTrans < time.Second || felt.NonTrans > 6*time.Second {
			t.Errorf("non-transactional writers waited %v", felt.NonTrans)
		}
		next := w.create()
		w.became(id, who+" stopped in a lock", coffer.Failed)
		if who == "agent" {
			w.agent.signal(syscall.SIGCONT)
		} else if s := state(guard); s != 0 && s != 'Z' {
			t.Errorf("the stopped guard is still there: %c", s)
		}
		if b := w.settled(next, time.Minute); b.State != coffer.Completed {
			t.Errorf("the next backup is %s: %s", b.State, reason(b.Error))
		}
		if b := w.show(id); b.State != coffer.Failed {
			t.Errorf("when all were awake again the backup became %s", b.State)
		}
		os.Remove(log)
	}
	w.replaceRunner()
	good := w.clean(true)
	w.restored(good[0])
}

// teeing makes the tool write its log into a file too, whose path it gives; it is
// for processes that start after it.
func (w *world) teeing() (log string) {
	w.t.Helper()
	log = filepath.Join(w.dir, "toollog")
	real := testenv.Need(w.t, "mariadb-backup", "bash", "tee")[0]
	text := "#!/bin/bash\nif [ \"$1\" = --version ] || [[ \"$*\" != *--backup* ]]; then exec " + real + " \"$@\"; fi\n" +
		"set -o pipefail; { " + real + " \"$@\" 2>&1 >&3 3>&- | tee " + log + " >&2; } 3>&1\n"
	dir := filepath.Join(w.dir, "bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mariadb-backup"), []byte(text), 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	return log
}

// realTool is the tool below the script that teeing makes.
func realTool(t *testing.T, script int) int {
	t.Helper()
	real, err := filepath.EvalSymlinks(testenv.Need(t, "mariadb-backup")[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range processes() {
		if pgid, err := syscall.Getpgid(o.pid); err == nil && pgid == script && o.exe == real {
			return o.pid
		}
	}
	t.Fatal("the tool does not run")
	return 0
}
