package e2e

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

// TestStoppedAgentPastItsLease stops an agent at each side of the grant until it
// is taken for lost, and wakes it again: what was FAILED stays so, whatever the
// agent writes then, and the instance takes the next backup.
func TestStoppedAgentPastItsLease(t *testing.T) {
	t.Parallel()
	stopped(t, shortTimings, "parts stored", "commit answered", "before put .manifest.json", "after put .manifest.json")
}

func TestHeavyStoppedAgentPastItsLease(t *testing.T) {
	heavy(t)
	stopped(t, "sweep=1h,grace=1s", "intent", "tool ended", "parts stored", "commit journaled", "commit answered",
		"before put .manifest.json", "after put .manifest.json", "manifest", "end noted")
}

func stopped(t *testing.T, timings string, steps ...string) {
	w := newWorld(t, newDatabase(t, 8<<20, false))
	w.timings = timings
	w.begin(true)
	for _, step := range steps {
		w.agent.end(t, syscall.SIGKILL)
		w.startAgent(step + "=stop")
		id := w.create()
		within(t, time.Minute, "the agent stops itself", func() bool { return state(w.agent.pid) == 'T' })
		at := time.Now()
		next := w.create() // within a minute: the instance is free
		free := time.Since(at)
		want := coffer.Failed
		if strings.HasPrefix(step, "after put .manifest") || step == "manifest" || step == "end noted" {
			want = coffer.Completed
		}
		w.became(id, step, want)
		t.Logf("the instance was free after %v", free.Round(time.Millisecond))
		w.agent.signal(syscall.SIGCONT)
		if b := w.settled(next, time.Minute); b.State != coffer.Completed {
			t.Errorf("the next backup is %s: %s", b.State, reason(b.Error))
		}
		if b := w.show(id); b.State != want {
			t.Errorf("when the agent was awake again the backup became %s", b.State)
		}
	}
	w.clean(false)
	w.replaceRunner()
	w.clean(true)
}

// TestStoppedInTheCopy stops the agent, or the guard, while the tool runs: the
// other one ends the tool, and the database is not held.
func TestStoppedInTheCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, dataBytes, false))
	w.begin(true)
	for _, who := range []string{"agent", "guard"} {
		id := w.create()
		guard, tool := guardAndTool(t, w.agent)
		pid := guard
		if who == "agent" {
			pid = w.agent.pid
		}
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		ended := within(t, 15*time.Second, "the tool is ended", func() bool { return state(tool) == 0 || state(tool) == 'Z' })
		w.db.Exec(t, "CREATE TABLE shop.free (i INT) ENGINE=MyISAM", "INSERT INTO shop.free VALUES (1)", "DROP TABLE shop.free")
		next := w.create()
		w.became(id, who, coffer.Failed)
		t.Logf("%s stopped: the tool was ended after %v", who, ended.Round(time.Millisecond))
		_ = syscall.Kill(pid, syscall.SIGCONT)
		if b := w.settled(next, time.Minute); b.State != coffer.Completed {
			t.Errorf("the next backup is %s: %s", b.State, reason(b.Error))
		}
		within(t, 15*time.Second, "the guard is gone", func() bool { return state(guard) == 0 || state(guard) == 'Z' })
	}
	w.replaceRunner()
	good := w.clean(true)
	w.restored(good[0])
}

// state is a process's state as /proc has it, 0 for none.
func state(pid int) byte {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	end := strings.LastIndexByte(string(raw), ')')
	if err != nil || end < 0 || len(raw) < end+3 {
		return 0
	}
	return raw[end+2]
}
