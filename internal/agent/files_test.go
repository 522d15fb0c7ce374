package agent

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/message"
)

// takingBack is a fake engine that notes what is to be taken back.
type takingBack struct {
	*enginetest.Fake
	dirs, sealed atomic.Int32
	answer       error
}

func (b *takingBack) Discard(_ string, sealed time.Time) error {
	b.dirs.Add(1)
	if !sealed.IsZero() {
		b.sealed.Add(1)
	}
	return b.answer
}

func filesOrder(chain []message.Link, dir string) message.Order {
	return message.Order{
		Job: coffer.JobID(coffer.NewUUID()), Kind: coffer.JobRestore, Project: "p", Installation: "i",
		Chain: chain, Target: &coffer.Target{Dir: dir},
	}
}

// A restore of files that was given up while it went on takes its files back, be
// it told so in this life or in the next; files that were taken over stay.
func TestALostRestoreTakesItsFilesBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	back := &takingBack{Fake: d.fake}
	d.a.Engines = only{back}
	d.begin()
	b := backupOrder()
	d.run(b)
	chain := []message.Link{{Backup: coffer.BackupID(b.Job), Store: "s", ManifestSHA256: d.sum}}
	if w := d.run(filesOrder(chain, filepath.Join(t.TempDir(), "good"))); w.Outcome != message.Ended || back.dirs.Load() != 0 {
		t.Fatalf("%+v; files taken back %d times", w, back.dirs.Load())
	}
	d.mu.Lock()
	d.done = func(message.DoneArgs) (message.DoneReply, error) { return message.DoneReply{State: coffer.Failed}, nil }
	d.mu.Unlock()
	for i, answer := range []error{nil, coffer.E(coffer.KindConflict, "discard", "somebody uses them")} {
		back.answer = answer
		if w := d.run(filesOrder(chain, filepath.Join(t.TempDir(), "lost"))); w.Outcome != message.Ended {
			t.Errorf("%+v", w)
		}
		if n := back.sealed.Load(); n != int32(i+1) {
			t.Errorf("files that were whole were taken back %d times, want %d", n, i+1)
		}
	}
}

// The next life takes back what a killed restore has left, if the folder is still
// the one that it filled.
func TestReplayTakesFilesBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	back := &takingBack{Fake: d.fake}
	d.a.Engines = only{back}
	half, other := t.TempDir(), t.TempDir()
	node, err := nodeOf(half)
	if err != nil {
		t.Fatal(err)
	}
	j, err := openJournal(d.a.Config.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	for id, f := range map[coffer.JobID]files{
		"half": {Dir: half, Node: node}, "another-folder": {Dir: other, Node: node}, "gone": {Dir: half + "/none", Node: node},
	} {
		if err := j.put(entry{Job: id, Runner: "a/0", Kind: coffer.JobRestore, Files: &f}); err != nil {
			t.Fatal(err)
		}
	}
	d.begin()
	d.poll("every job's end", func() bool { return d.entries() == 0 })
	if n := back.dirs.Load(); n != 1 || back.sealed.Load() != 0 {
		t.Errorf("%d folders were taken back, %d as whole ones", n, back.sealed.Load())
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// only gives one engine.
type only struct{ e engine.Engine }

func (o only) Engine(coffer.Conn) (engine.Engine, error) { return o.e, nil }
