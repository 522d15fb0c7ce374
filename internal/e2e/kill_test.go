package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// victims are who can be killed in the middle of a backup.
var victims = []string{"server", "agent", "guard", "tool"}

func TestKilledInABackup(t *testing.T) {
	t.Parallel()
	killEverywhere(t, dataBytes, 4)
}

func TestHeavyKilledInABackup(t *testing.T) {
	heavy(t)
	killEverywhere(t, 96<<20, 20)
}

// killEverywhere kills each victim at n evenly spaced points of a backup while
// clients write.
func killEverywhere(t *testing.T, bytes int64, n int) {
	db := newDatabase(t, bytes, true)
	for _, who := range victims {
		t.Run(who, func(t *testing.T) {
			w := newWorld(t, db)
			w.begin(who == "agent")
			whole, tool := w.measure()
			for i := 1; i <= n; i++ {
				span := whole
				if who == "guard" || who == "tool" {
					span = tool
				}
				w.killAt(who, span*time.Duration(i)/time.Duration(n+1))
			}
			w.completes()
			if who == "guard" || who == "tool" {
				w.replaceRunner()
			}
			good := w.clean(true)
			w.restored(good[len(good)-1])
		})
	}
}

// begin starts the server, with an agent of its own if beside, and registers the
// database.
func (w *world) begin(beside bool) {
	w.t.Helper()
	if beside {
		w.startServer("", "--no-agent")
		w.startAgent("")
	} else {
		w.startServer("")
	}
	w.register()
}

// replaceRunner ends the life that ran the backups in good order and starts
// another: only then is it proven that nobody writes in its name.
func (w *world) replaceRunner() {
	w.t.Helper()
	if w.agent != nil {
		w.agent.end(w.t, syscall.SIGTERM)
		w.startAgent("")
		return
	}
	w.server.end(w.t, syscall.SIGTERM)
	w.startServer("")
}

// runner is the process that runs backups.
func (w *world) runner() *proc {
	if w.agent != nil {
		return w.agent
	}
	return w.server
}

// measure makes a backup and says how long it took, and its tool.
func (w *world) measure() (whole, tool time.Duration) {
	w.t.Helper()
	start := time.Now()
	id := w.create()
	_, pid := guardAndTool(w.t, w.runner())
	at := time.Now()
	within(w.t, time.Minute, "the tool ends", func() bool { return syscall.Kill(pid, 0) != nil })
	tool = time.Since(at)
	b := w.settled(id, time.Minute)
	if b.State != coffer.Completed {
		w.t.Fatalf("the first backup is %s: %+v", b.State, b.Error)
	}
	whole = time.Since(start)
	w.t.Logf("a backup takes %v, its tool %v", whole.Round(time.Millisecond), tool.Round(time.Millisecond))
	return whole, tool
}

// killAt begins a backup, kills the victim after a while, starts it again where it
// was ours, and wants that the backup ends and the instance is free soon.
func (w *world) killAt(who string, after time.Duration) {
	w.t.Helper()
	id := w.create()
	if who == "guard" || who == "tool" {
		guard, tool := guardAndTool(w.t, w.runner())
		<-time.After(after)
		pid := guard
		if who == "tool" {
			pid = tool
		}
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
	} else {
		<-time.After(after)
	}
	killed := time.Now() // create, the next time, wants the instance free soon
	switch who {
	case "server":
		w.server.end(w.t, syscall.SIGKILL)
		w.startServer("")
	case "agent":
		w.agent.end(w.t, syscall.SIGKILL)
		w.startAgent("")
	}
	b := w.settled(id, 30*time.Second)
	w.t.Logf("%s killed after %v: %s %s; ended after %v", who, after.Round(time.Millisecond), b.State, reason(b.Error), time.Since(killed).Round(time.Millisecond))
}

func reason(e *rest.Error) string {
	if e == nil {
		return ""
	}
	return fmt.Sprintf("(%s: %s)", e.Kind, e.Message)
}
