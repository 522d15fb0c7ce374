package model

import (
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// scene runs one direct scene in a world of its own.
func scene(t *testing.T, play func(w *world)) {
	t.Helper()
	t.Parallel()
	if slow && strings.Contains(t.Name(), "/") && crc32.ChecksumIEEE([]byte(t.Name()))%3 != 0 {
		t.Skip("a third of the steps under the race detector, all without it")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.close()
		play(w)
		if t.Failed() {
			t.Log(w.dump())
		}
	})
}

// settled waits for the sweep to have been round, then holds the world to every
// promise.
func (w *world) settled() {
	w.t.Helper()
	time.Sleep(4*w.timings.Grace + 4*w.timings.Sweep)
	w.check(map[coffer.BackupID]string{}, nil)
}

// running asks for a backup whose agent then meets its fate at a gate.
func (w *world) running(gate string, f fate) coffer.BackupID {
	w.t.Helper()
	w.agents[0].l.arm(gate, f)
	id, err := w.backup(0, false)
	w.must(err)
	w.within(time.Minute, "the agent is at "+gate, func() bool { return w.agents[0].l.isDead() || w.agents[0].l.isStopped() })
	synctest.Wait()
	return id
}

// TestKillTheAgent kills the agent at every step and starts it anew: the job ends
// within a minute, and well or with nothing left.
func TestKillTheAgent(t *testing.T) {
	t.Parallel()
	calls := []string{"put intent", "part data", "complete data", "put manifest", "call claim", "call commit", "call done"}
	gates := slices.Concat(agentGates, calls)
	for _, c := range calls {
		gates = append(gates, c+" done")
	}
	good := []string{"manifest", "put manifest done", "call done", "call done done"} // the manifest is there
	for _, gate := range gates {
		if gate == "abort" {
			continue // see TestKillTheUndoing
		}
		t.Run(gate, func(t *testing.T) {
			scene(t, func(w *world) {
				id := w.running(gate, kill)
				begun := time.Now()
				if gate != "call claim" { // what nobody has claimed waits for an agent
					w.within(60*time.Second, "the database is free", func() bool {
						_, err := w.backup(0, false)
						return err == nil
					})
					t.Logf("free after %s", time.Since(begun))
				}
				w.startAgent(0)
				got := w.ends(3*time.Minute, coffer.JobID(id))
				if want := slices.Contains(good, gate); (got == coffer.Completed) != want && gate != "call claim" {
					t.Errorf("killed at %q it is %s: %s", gate, got, w.row(id).Error)
				}
				w.settled()
			})
		})
	}
}

// TestKillTheUndoing kills the agent in the middle of removing a failed backup.
func TestKillTheUndoing(t *testing.T) {
	t.Parallel()
	for _, gate := range []string{"abort", "abort data", "abort data done", "delete index", "delete index done"} {
		t.Run(gate, func(t *testing.T) {
			scene(t, func(w *world) {
				w.faulty.Plan(storetest.Fault{Op: storetest.Complete, Kind: coffer.KindNoSpace})
				id := w.running(gate, kill)
				w.startAgent(0)
				if got := w.ends(2*time.Minute, coffer.JobID(id)); got != coffer.Failed {
					t.Errorf("it is %s", got)
				}
				w.settled()
			})
		})
	}
}

// TestStopTheAgent stops the agent beyond its lease at every step and wakes it: a
// backup that was given up does not come to be.
func TestStopTheAgent(t *testing.T) {
	t.Parallel()
	for _, gate := range slices.Concat(agentGates[:9], []string{"put manifest", "put manifest done", "call commit", "call commit done", "call done"}) {
		t.Run(gate, func(t *testing.T) {
			scene(t, func(w *world) {
				id := w.running(gate, stop)
				got := w.ends(3*time.Minute, coffer.JobID(id))
				w.agents[0].l.wake()
				w.settled()
				if now := w.row(id).State; now != got {
					t.Errorf("it was %s and is %s", got, now)
				}
				w.full(0)
			})
		})
	}
}

// TestLateManifest: the write of a manifest that lands after the verdict makes
// nothing readable, and is swept.
func TestLateManifest(t *testing.T) {
	scene(t, func(w *world) {
		id := w.running("put manifest", stop)
		if got := w.ends(3*time.Minute, coffer.JobID(id)); got != coffer.Failed {
			t.Fatalf("it is %s", got)
		}
		if got := w.objectsOf(id); !slices.Contains(got, "dead") {
			t.Errorf("there is no tombstone: %v", got)
		}
		// The write was on its way all the time, and lands now.
		_, err := w.mem.Put(w.ctx, w.place().Prefix+string(id)+".manifest.json", w.manifest, nil)
		w.must(err)
		w.agents[0].l.wake()
		if _, err := w.open(id, ""); !coffer.IsKind(err, coffer.KindNotFound) {
			t.Errorf("a dead backup opens: %v", err)
		}
		w.settled()
	})
}

// TestDeadline: no write of the manifest begins later than the deadline after the
// grant was asked for.
func TestDeadline(t *testing.T) {
	scene(t, func(w *world) {
		id := w.running("commit answered", stop)
		time.Sleep(coffer.ManifestDeadline + time.Second) // within the lease
		w.agents[0].l.wake()
		if got := w.ends(2*time.Minute, coffer.JobID(id)); got != coffer.Failed {
			t.Errorf("it is %s", got)
		}
		if n := w.agents[0].l.count("put manifest"); n != 0 {
			t.Errorf("the manifest was written %d times", n)
		}
		w.settled()
	})
}

// TestLease: silence counts only while the drained counter moves.
func TestLease(t *testing.T) {
	scene(t, func(w *world) {
		id := w.running("tool", kill)
		w.server.l.stop() // beats may wait in the queue: nobody sees it empty
		observer := w.newControl("observer", false)
		time.Sleep(10 * time.Minute)
		if got := w.jobRow(coffer.JobID(id)); got.Lost || got.State != coffer.Building {
			t.Errorf("it is %s, lost %v, though nobody could know", got.State, got.Lost)
		}
		w.server.l.wake()
		time.Sleep(20 * time.Second)
		if w.jobRow(coffer.JobID(id)).Lost {
			t.Error("an outage was counted as silence")
		}
		w.ends(time.Minute, coffer.JobID(id))
		observer.finish()
	})
}

// TestCancel before the grant ends the job with nothing left; after it, it is
// refused and the backup is COMPLETED.
func TestCancel(t *testing.T) {
	t.Parallel()
	t.Run("before", func(t *testing.T) {
		scene(t, func(w *world) {
			id := w.running("commit journaled", stop)
			w.must(w.cancel(coffer.JobID(id)))
			w.agents[0].l.wake()
			w.ends(time.Minute, coffer.JobID(id))
			if b := w.row(id); b.State != coffer.Failed {
				t.Errorf("it is %s", b.State)
			}
			w.settled()
		})
	})
	t.Run("after", func(t *testing.T) {
		scene(t, func(w *world) {
			id := w.running("commit answered", stop)
			if err := w.cancel(coffer.JobID(id)); !coffer.IsKind(err, coffer.KindConflict) {
				t.Errorf("a granted backup was cancelled: %v", err)
			}
			w.agents[0].l.wake()
			if got := w.ends(time.Minute, coffer.JobID(id)); got != coffer.Completed {
				t.Errorf("it is %s", got)
			}
			w.settled()
		})
	})
}

// TestForgery: a report or last word of anybody but the runner, an old one, and one
// with a number without end change nothing; a failure does not end SAVING.
func TestForgery(t *testing.T) {
	scene(t, func(w *world) {
		id := coffer.JobID(w.running("commit answered", stop))
		was := w.jobRow(id)
		report := func(r coffer.Runner, seq, beat uint64) {
			_, err := message.Report.Call(w.ctx, w.bus, message.Conductor, message.ReportArgs{Job: id, Runner: r, Seq: seq, Beat: beat, Phase: "forged"})
			w.must(err)
		}
		report("agent-0/another", was.Seq+10, was.Beat+10)
		report(was.Runner, was.Seq, was.Beat+10)
		if now := w.jobRow(id); now.Phase == "forged" || now.Beat != was.Beat || now.Seq != was.Seq {
			t.Errorf("a forged report was applied: %+v", now)
		}
		_, err := message.Done.Call(w.ctx, w.bus, message.Conductor, message.DoneArgs{Job: id, Runner: "agent-0/another", Outcome: message.Failed, Error: "x"})
		if !coffer.IsKind(err, coffer.KindConflict) {
			t.Errorf("a forged last word: %v", err)
		}
		r, err := message.Commit.Call(w.ctx, w.bus, message.Conductor, message.CommitArgs{Job: id, Runner: was.Runner, ManifestSHA256: was.Spec.ManifestSHA256})
		if err != nil || !r.Granted {
			t.Errorf("the same commit again: %+v %v", r, err)
		}
		r, err = message.Commit.Call(w.ctx, w.bus, message.Conductor, message.CommitArgs{Job: id, Runner: was.Runner, ManifestSHA256: "another"})
		if err != nil || r.Granted {
			t.Errorf("another manifest: %+v %v", r, err)
		}
		d, err := message.Done.Call(w.ctx, w.bus, message.Conductor, message.DoneArgs{Job: id, Runner: was.Runner, Outcome: message.Failed, Error: "x"})
		if err != nil || d.State != coffer.Saving {
			t.Errorf("a failure of a granted backup gives %s %v", d.State, err)
		}
		report(was.Runner, 1<<63, 1<<63)
		report(was.Runner, 1<<64-1, 1<<64-1)
		w.ends(3*time.Minute, id)
		w.agents[0].l.wake()
		w.settled()
	})
}
