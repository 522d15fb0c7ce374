package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// commitSteps are the steps of a commit at which the process is killed, each with
// the states that may come of it.
var commitSteps = []struct {
	at   string
	want coffer.State // "": either
}{
	{"claimed", coffer.Failed},
	{"probed", coffer.Failed},
	{"before put .intent.json", coffer.Failed},
	{"after put .intent.json", coffer.Failed},
	{"intent", coffer.Failed},
	{"before part", coffer.Failed},
	{"after part", coffer.Failed},
	{"tool ended", coffer.Failed},
	{"before complete .xbstream.zst", coffer.Failed},
	{"after complete .xbstream.zst", coffer.Failed},
	{"before put .index", coffer.Failed},
	{"after put .index", coffer.Failed},
	{"parts stored", coffer.Failed},
	{"commit journaled", coffer.Failed}, // by looking: nothing was granted
	{"commit answered", coffer.Failed},  // granted, and its answer is lost: no manifest
	{"before put .manifest.json", coffer.Failed},
	{"after put .manifest.json", coffer.Completed}, // it landed, and its answer is lost
	{"manifest", coffer.Completed},
	{"end noted", coffer.Completed},
	{"looked", coffer.Completed},
	{"end answered", coffer.Completed},
}

// TestKilledAroundTheCommit kills the one process at every step of a backup's
// commit. The next start settles it and takes the next backup, which is killed at
// the next step.
func TestKilledAroundTheCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 8<<20, false))
	w.startServer("")
	w.register()
	w.server.end(t, syscall.SIGTERM)
	for _, step := range commitSteps {
		w.startServer(step.at + "=kill")
		id := w.create()
		if !w.dies(id) {
			continue
		}
		w.startServer("")
		w.became(id, step.at, step.want)
		w.server.end(t, syscall.SIGKILL)
	}
	w.startServer("")
	w.completes()
	good := w.clean(true)
	w.restored(good[0])
}

// dies waits for the death that a failpoint brings.
func (w *world) dies(id coffer.BackupID) bool {
	w.t.Helper()
	start := time.Now()
	for !w.server.ended() {
		if time.Since(start) > 30*time.Second {
			b := w.show(id)
			w.t.Errorf("the process does not come to its step: backup %s is %s %s", id, b.State, reason(b.Error))
			w.server.end(w.t, syscall.SIGKILL)
			return false
		}
		<-time.After(5 * time.Millisecond)
	}
	return true
}

// became wants that a backup settles soon, as it should.
func (w *world) became(id coffer.BackupID, step string, want coffer.State) rest.Backup {
	w.t.Helper()
	start := time.Now()
	b := w.settled(id, 90*time.Second) // a verdict waits for two manifest deadlines
	w.t.Logf("%-34s %s after %v %s", step, b.State, time.Since(start).Round(time.Millisecond), reason(b.Error))
	if want != "" && b.State != want {
		w.t.Errorf("killed at %q the backup is %s, want %s: %s", step, b.State, want, reason(b.Error))
	}
	return b
}

// TestKilledInTheUndoing kills the process that settles a backup at each step of
// that: once more dead, it is settled by the next.
func TestKilledInTheUndoing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 8<<20, false))
	w.startServer("")
	w.register()
	for _, c := range []struct {
		first, second string
		want          coffer.State
	}{
		{"after put .manifest.json", "looked", coffer.Completed},
		{"commit answered", "dying", coffer.Failed},
		{"commit answered", "before put .dead.json", coffer.Failed},
		{"commit answered", "tombstone", coffer.Failed},
		{"commit answered", "buried", coffer.Failed},
	} {
		w.server.end(t, syscall.SIGKILL)
		w.startServer(c.first + "=kill")
		id := w.create()
		w.dies(id)
		w.startServer(c.second + "=kill")
		w.dies(id)
		w.startServer("")
		w.became(id, c.second, c.want)
	}
	w.killedInTheAbort()
	w.completes()
	w.clean(true)
}

// killedInTheAbort lets the tool die, and the process at each step of removing
// what the backup has left.
func (w *world) killedInTheAbort() {
	for _, step := range []string{"abort"} {
		w.server.end(w.t, syscall.SIGKILL)
		w.startServer(step + "=kill")
		id := w.create()
		_, tool := guardAndTool(w.t, w.server)
		_ = syscall.Kill(tool, syscall.SIGKILL)
		w.dies(id)
		w.startServer("")
		w.became(id, step, coffer.Failed)
	}
}

// TestKilledInASweep leaves a dead backup with all its parts, and kills the sweep
// at each of its steps. In the end nothing is left.
func TestKilledInASweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 8<<20, false))
	w.startServer("")
	w.register()
	w.completes()
	w.server.end(w.t, syscall.SIGKILL)
	w.startServer("before put .manifest.json=kill")
	id := w.create()
	w.dies(id)
	for _, step := range strings.Split("before delete .index,after delete .index,before delete .xbstream.zst,"+
		"after delete .xbstream.zst,before delete .intent.json,after delete .intent.json,before delete .dead.json,after delete .dead.json", ",") {
		w.startServer(step + "=kill")
		w.became(id, "sweep "+step, coffer.Failed)
		before := w.objects(id)
		if _, err := w.cl.Sweep(w.t.Context()); err == nil {
			w.t.Errorf("the sweep did not come to %q; there was %q, and is %q", step, before, w.objects(id))
		}
		w.server.end(w.t, syscall.SIGKILL)
	}
	w.startServer("")
	w.clean(true)
}

// TestKilledInADelete kills the process at each step of one delete; the next one
// goes on with it.
func TestKilledInADelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 8<<20, false))
	w.startServer("")
	w.register()
	id, kept := w.completes(), w.completes()
	for i, step := range strings.Split("before put .dead.json,after put .dead.json,before delete .manifest.json,after delete .manifest.json,"+
		"before delete .index,after delete .index,before delete .xbstream.zst,after delete .xbstream.zst,"+
		"before delete .intent.json,after delete .intent.json,before delete .dead.json,after delete .dead.json", ",") {
		w.server.end(t, syscall.SIGKILL)
		answers := w.startServer(step + "=kill")
		if i == 0 {
			if _, err := w.cl.DeleteBackup(t.Context(), id, false); err != nil {
				t.Error(err)
			}
		}
		if answers {
			w.dies(id)
		}
		t.Logf("%-30s leaves %q", step, w.objects(id))
	}
	w.startServer("")
	within(t, 30*time.Second, "the delete ends", func() bool {
		_, err := w.cl.BackupDetail(t.Context(), id)
		return coffer.IsKind(err, coffer.KindNotFound)
	})
	if left := w.objects(id); len(left) > 0 {
		t.Errorf("the delete left %q", left)
	}
	w.made = []coffer.BackupID{kept}
	w.clean(true)
}
