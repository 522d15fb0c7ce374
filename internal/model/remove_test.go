package model

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// TestKillTheDelete kills the control plane at every step of a delete; the next
// one ends it.
func TestKillTheDelete(t *testing.T) {
	t.Parallel()
	steps := []string{"put dead", "delete manifest", "stat manifest", "delete index", "delete data", "delete intent", "delete dead", "Deleted"}
	for _, step := range steps {
		for _, gate := range []string{step, step + " done"} {
			t.Run(gate, func(t *testing.T) {
				scene(t, func(w *world) {
					id := w.full(0)
					w.server.l.arm(gate, kill)
					_, err := w.job(coffer.JobDelete, id, false)
					w.must(err)
					w.within(time.Minute, "the server is killed", w.server.l.isDead)
					w.startServer()
					w.within(3*time.Minute, "the backup is gone", func() bool { return w.row(id).Deleted })
					if left := w.objectsOf(id); len(left) > 0 {
						t.Errorf("left are %v", left)
					}
					w.settled()
				})
			})
		}
	}
}

// TestDeleteChain: a parent is not deleted from under its children; forced, the
// whole chain goes, the leaves first.
func TestDeleteChain(t *testing.T) {
	scene(t, func(w *world) {
		full := w.full(0)
		one := w.good(0, true)
		two := w.good(0, true)
		if _, err := w.job(coffer.JobDelete, full, false); !coffer.IsKind(err, coffer.KindConflict) {
			t.Errorf("a parent with children: %v", err)
		}
		id, err := w.job(coffer.JobDelete, full, true)
		w.must(err)
		if got := w.ends(2*time.Minute, id); got != coffer.Completed {
			t.Errorf("the delete is %s", got)
		}
		for _, b := range []coffer.BackupID{full, one, two} {
			if !w.row(b).Deleted || len(w.objectsOf(b)) > 0 {
				t.Errorf("%s: deleted %v, left %v", b, w.row(b).Deleted, w.objectsOf(b))
			}
		}
	})
}

// TestRefusedChild: a FAILED increment whose delete the store refuses does not undo
// the delete of its parent, which may have begun.
func TestRefusedChild(t *testing.T) {
	scene(t, func(w *world) {
		full := w.full(0)
		w.agents[0].l.arm("tool", stop)
		inc, err := w.backup(0, true)
		w.must(err)
		w.within(time.Minute, "the increment runs", w.agents[0].l.isStopped)
		w.must(w.cancel(coffer.JobID(inc)))
		w.agents[0].l.wake()
		if got := w.ends(time.Minute, coffer.JobID(inc)); got != coffer.Failed {
			t.Fatalf("the increment is %s", got)
		}
		w.faulty.Plan(
			storetest.Fault{Op: storetest.Delete, Name: string(inc), Kind: coffer.KindForbidden, Times: -1},
			storetest.Fault{Op: storetest.Delete, Name: string(full) + ".index", Do: func(ctx context.Context) {
				pause(ctx, 10*time.Second) // the parent's manifest is gone, the rest takes its time
			}},
		)
		id, err := w.job(coffer.JobDelete, full, true)
		w.must(err)
		if got := w.ends(2*time.Minute, id); got != coffer.Completed || !w.row(full).Deleted {
			t.Errorf("the parent's delete is %s, its row %s", got, w.row(full).State)
		}
		w.within(time.Minute, "the increment is DELETE_FAILED", func() bool { return w.row(inc).State == coffer.DeleteFailed })
	})
}

// TestWriteOnce: on a store that keeps what it has, a delete says until when, stays
// visible, leaves nothing readable, and can be asked again when the date has come.
func TestWriteOnce(t *testing.T) {
	scene(t, func(w *world) {
		w.setStore(storetest.WriteOnce(w.faulty, time.Now().Add(time.Hour)))
		id := w.full(0)
		job, err := w.job(coffer.JobDelete, id, false)
		w.must(err)
		if got := w.ends(time.Minute, job); got != coffer.Failed {
			t.Errorf("the delete is %s", got)
		}
		b := w.row(id)
		if b.State != coffer.DeleteFailed || !strings.Contains(b.Error, "kept until") || b.Hint == "" {
			t.Errorf("the backup is %s: %s (%s)", b.State, b.Error, b.Hint)
		}
		if _, err := w.open(id, ""); !coffer.IsKind(err, coffer.KindNotFound) {
			t.Errorf("it opens: %v", err)
		}
		time.Sleep(time.Hour)
		_, err = w.job(coffer.JobDelete, id, false)
		w.must(err)
		w.within(time.Minute, "the backup is gone", func() bool { return w.row(id).Deleted })
		if left := w.objectsOf(id); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
	})
}

// TestStrangers: what is not ours survives every sweep, also one of records that
// know nothing but the place.
func TestStrangers(t *testing.T) {
	scene(t, func(w *world) {
		prefix := w.place().Prefix
		foreign := coffer.NewUUID()
		names := []string{
			prefix + foreign + ".xbstream.gz", prefix + foreign + "_00000001", prefix + "notes.txt",
			prefix + coffer.NewUUID() + ".manifest.json", prefix + coffer.NewUUID() + ".intent.json", "elsewhere/x",
		}
		for _, name := range names {
			_, err := w.mem.Put(w.ctx, name, store.Bytes([]byte("not ours")), nil)
			w.must(err)
		}
		id := w.full(0)
		time.Sleep(time.Hour)
		w.snap = "empty" // nothing was ever kept: the records are made anew
		w.putBack()
		w.must(w.db.CreateInstance(w.ctx, coffer.Instance{
			ID: w.inst[1], Project: project, Name: "db1", Kind: coffer.Registered, Agent: w.agentID(1), Status: "ACTIVE",
			Created: time.Now(), Updated: time.Now(),
		}))
		w.full(1)
		rep, err := w.server.tasks.Sweep(w.ctx)
		w.must(err)
		if len(rep.Strangers) < len(names) {
			t.Errorf("strangers are %v", rep.Strangers)
		}
		time.Sleep(time.Hour)
		for _, name := range names {
			if _, err := w.mem.Stat(w.ctx, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.checkContent(id, "")
	})
}

// TestSweepWaits: an orphan of ours goes after two listings a grace apart, and not
// before it is older than a deadline and a grace.
func TestSweepWaits(t *testing.T) {
	scene(t, func(w *world) {
		w.full(0)
		w.snapshot()
		lost := w.running("parts stored", kill)
		w.putBack()
		sweeps := func() bool {
			_, err := w.server.tasks.Sweep(w.ctx)
			w.must(err)
			_, err = w.server.tasks.Sweep(w.ctx)
			w.must(err)
			return len(w.objectsOf(lost)) > 1
		}
		if !sweeps() {
			t.Error("a young orphan was swept")
		}
		time.Sleep(coffer.ManifestDeadline + 4*w.timings.Grace + 2*w.timings.Sweep)
		if got := w.objectsOf(lost); len(got) != 1 || got[0] != "intent" {
			t.Errorf("left are %v", got)
		}
		w.startAgent(0) // the runner is replaced
		time.Sleep(4*w.timings.Grace + 4*w.timings.Sweep)
		if got := w.objectsOf(lost); len(got) > 0 {
			t.Errorf("left are %v", got)
		}
	})
}

// TestVerify: a good backup is found good; a flipped byte is found, on the row and
// in a statement.
func TestVerify(t *testing.T) {
	scene(t, func(w *world) {
		id := w.full(0)
		verify := func() coffer.Backup {
			job, err := w.job(coffer.JobVerify, id, false)
			w.must(err)
			w.ends(time.Minute, job)
			return w.row(id)
		}
		if v := verify().Verified; !v.OK || v.At.IsZero() {
			t.Errorf("the verdict is %+v", v)
		}
		w.mem.Spoil(w.place().Prefix+string(id)+".xbstream.zst", func(b []byte) []byte {
			b = bytes.Clone(b)
			b[len(b)/2] ^= 1
			return b
		})
		if v := verify().Verified; v.OK || !strings.Contains(v.Text, "xbstream.zst") {
			t.Errorf("the verdict is %+v", v)
		}
		n := 0
		for _, r := range w.objectsOf(id) {
			if r == "statement" {
				n++
			}
		}
		if n != 2 || w.row(id).Pins != 0 {
			t.Errorf("%d statements, %d pins", n, w.row(id).Pins)
		}
	})
}

// TestOlderRecords: what became COMPLETED in a past that the records have lost is
// COMPLETED again where its row is known, and is kept where it is not.
func TestOlderRecords(t *testing.T) {
	t.Parallel()
	for _, gate := range []string{"", "tool", "commit answered", "manifest"} {
		t.Run("kept at "+gate, func(t *testing.T) {
			scene(t, func(w *world) {
				w.full(0)
				var id coffer.BackupID
				var err error
				if gate == "" {
					w.agents[0].l.stop() // the row is NEW in the older records
					id, err = w.backup(0, false)
					w.must(err)
				} else {
					id = w.running(gate, stop)
				}
				w.snapshot()
				w.agents[0].l.wake()
				if got := w.ends(2*time.Minute, coffer.JobID(id)); got != coffer.Completed {
					t.Fatalf("it is %s: %s", got, w.row(id).Error)
				}
				later := w.full(0)
				if gate == "" { // then another life runs it again, and finds its names taken
					w.agents[0].finish()
					w.startAgent(0)
				}
				w.putBack()
				if got := w.ends(5*time.Minute, coffer.JobID(id)); got != coffer.Completed {
					t.Errorf("it is %s: %s", got, w.row(id).Error)
				}
				time.Sleep(time.Hour)
				w.checkContent(id, "")
				w.checkContent(later, "")
			})
		})
	}
}
