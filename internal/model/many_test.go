package model

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
)

// crowd adds a second control plane and a task manager alone.
func (w *world) crowd() {
	w.more = []*process{w.newServer("second"), w.newControl("third", false)}
}

// TestBrokerAway: no running backup FAILS merely because the broker was away, at
// whatever step that is; no runner is taken for lost meanwhile or right after.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	for _, gate := range []string{"claimed", "tool", "parts stored", "commit journaled", "manifest"} {
		t.Run(gate, func(t *testing.T) {
			scene(t, func(w *world) {
				w.crowd()
				id := w.running(gate, stop)
				w.wx.away(10 * time.Minute)
				w.agents[0].l.wake()
				for end := time.Now().Add(11 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
					if w.jobRow(coffer.JobID(id)).Lost {
						t.Fatal("its runner was taken for lost")
					}
				}
				if got := w.ends(time.Minute, coffer.JobID(id)); got != coffer.Completed {
					t.Errorf("it is %s: %s", got, w.row(id).Error)
				}
				w.settled()
			})
		})
	}
}

// TestClocksJump: clocks that jump by an hour, each its own way, in the middle of a
// backup and again, lose nobody and fail nothing.
func TestClocksJump(t *testing.T) {
	scene(t, func(w *world) {
		w.crowd()
		id := w.running("tool", stop)
		names := []string{"api", "server", "second", "third", "agent-0", "agent-1"}
		for i, name := range names {
			w.clockOf(name).jump(time.Duration(i%3-1) * time.Hour)
		}
		w.agents[0].l.wake()
		time.Sleep(2 * time.Second)
		for i, name := range names {
			w.clockOf(name).jump(time.Duration((i+1)%3-1) * time.Hour)
		}
		if got := w.ends(time.Minute, coffer.JobID(id)); got != coffer.Completed || w.jobRow(coffer.JobID(id)).Lost {
			t.Errorf("it is %s: %s", got, w.row(id).Error)
		}
		for _, name := range names {
			w.clockOf(name).jump(0)
		}
		for _, name := range names { // whoever is off, a bell is heard within a minute
			for _, off := range []time.Duration{time.Hour, -time.Hour, 0} {
				w.clockOf(name).jump(off)
				begun := time.Now()
				w.good(1, false)
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("with the clock of %s off by %s a backup took %s", name, off, took)
				}
			}
		}
		w.settled()
	})
}

// TestKillTheRescuer kills the one that settles a granted backup whose runner is
// lost, at every step of its verdict: another ends it.
func TestKillTheRescuer(t *testing.T) {
	t.Parallel()
	for _, gate := range []string{"MarkLost", "Doom", "Doom done", "dying", "put dead", "put dead done", "tombstone", "FailDoomed", "FailDoomed done"} {
		for _, f := range []fate{kill, stop} {
			t.Run(map[fate]string{kill: "kill ", stop: "stop "}[f]+gate, func(t *testing.T) {
				scene(t, func(w *world) {
					id := w.running("commit answered", kill)
					w.server.l.arm(gate, f)
					w.within(2*time.Minute, "the rescuer has met its fate", func() bool { return w.server.l.isDead() || w.server.l.isStopped() })
					w.crowd()
					if got := w.ends(2*time.Minute, coffer.JobID(id)); got != coffer.Failed {
						t.Errorf("it is %s", got)
					}
					w.server.l.wake() // a stopped one goes on where it was
					w.startAgent(0)
					w.settled()
				})
			})
		}
	}
}

// TestSweepsMeet: sweeps of several at once, beside one another and beside the
// backups that run, delete nothing wrong and leave nothing.
func TestSweepsMeet(t *testing.T) {
	scene(t, func(w *world) {
		w.crowd()
		good := w.full(0)
		bad := w.running("parts stored", kill)
		w.startAgent(0)
		w.ends(2*time.Minute, coffer.JobID(bad))
		next, err := w.backup(0, true)
		w.must(err)
		for range 10 {
			var all sync.WaitGroup
			for _, p := range w.controls() {
				all.Go(func() { _, _ = p.tasks.Sweep(context.WithoutCancel(w.ctx)) }) // what fails once is tried again
			}
			all.Wait()
			time.Sleep(5 * time.Second)
		}
		w.ends(time.Minute, coffer.JobID(next))
		w.settled()
		if left := w.objectsOf(bad); len(left) > 0 {
			t.Errorf("of the dead backup are left %v", left)
		}
		for _, id := range []coffer.BackupID{good, next} {
			if w.row(id).State != coffer.Completed {
				t.Errorf("%s is %s", id, w.row(id).State)
			}
		}
	})
}

// TestOneRingsOfMany: however many task managers there are, a job that waits for its
// agent costs about as many bells as with one.
func TestOneRingsOfMany(t *testing.T) {
	scene(t, func(w *world) {
		w.crowd()
		w.agents[0].l.kill()
		synctest.Wait()
		id, err := w.backup(0, false)
		w.must(err)
		time.Sleep(10 * time.Minute)
		n := 0
		for _, p := range w.controls() {
			n += p.l.count("cast " + message.Start.Name)
		}
		if n < 20 || n > 60 {
			t.Errorf("within ten minutes there were %d rings", n)
		}
		w.startAgent(0)
		if got := w.ends(2*time.Minute, coffer.JobID(id)); got != coffer.Completed {
			t.Errorf("it is %s", got)
		}
	})
}
