package survive

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// small is a folder that a disk can be mounted on, gone after the disk.
func small(t *testing.T, size string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	testenv.SmallDisk(t, dir, size)
	return dir
}

func TestStoreIsFull(t *testing.T) {
	t.Parallel()
	root := small(t, "3m")
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	w := newWorld(t, src, settings{storeDir: root})
	b := w.backup("")
	w.failed(b, "", coffer.KindNoSpace)
	w.gone(b.ID)
	testenv.ResizeDisk(t, root, "200m")
	full := w.good("")
	src.change(t)
	w.restores(w.good(full.ID))
}

// TestSpoolIsFull: the store stalls while the tool holds locks, and the spool, by its
// bound or by its disk, cannot take the tail.
func TestSpoolIsFull(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(t *testing.T) settings{
		"bound": func(*testing.T) settings { return settings{spoolBytes: 256 << 10} },
		"disk":  func(t *testing.T) settings { return settings{spoolDir: small(t, "512k")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := set(t)
			src := newSource(t, smallData, testenv.MariaDBOptions{})
			src.lateTail(t)
			w := newWorld(t, src, set)
			log := w.teeing()
			w.stallFrom(3*time.Second, func() bool { return said(log, blockDDL) }, func() bool { return true })
			b := w.settled(w.begin(), time.Minute)
			w.failed(b, "", coffer.KindNoSpace)
			w.use(w.file)
			w.gone(b.ID)
			if set.spoolDir != "" {
				testenv.ResizeDisk(t, set.spoolDir, "100m")
			}
			w.set.spoolBytes = 0
			w.stop()
			w.start()
			w.restores(w.good(""))
		})
	}
}

// TestRestoreTargetIsFull: too little room is told before a byte is read; room that
// goes while the files are written leaves nothing that looks whole.
func TestRestoreTargetIsFull(t *testing.T) {
	t.Parallel()
	mount := small(t, "20m")
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	w := newWorld(t, src, settings{})
	b := w.good("")
	dir := filepath.Join(mount, "target")
	into := func() coffer.Job {
		return w.runJob(coffer.JobRestore, b.ID, coffer.Spec{Target: &coffer.Target{Agent: w.agentID, Dir: dir}})
	}
	f := w.faulty()
	if j := into(); j.State != coffer.Failed || j.ErrKind != coffer.KindNoSpace || j.Hint == "" {
		t.Errorf("a small target: %s %s: %s (hint %q)", j.State, j.ErrKind, j.Error, j.Hint)
	}
	if n := f.Calls(storetest.Open); n > 1 {
		t.Errorf("%d objects were read before the room was measured", n)
	}
	empty(t, dir)

	testenv.ResizeDisk(t, mount, "2g")
	var once sync.Once
	w.faulty(storetest.Fault{Op: storetest.Open, Name: data(b.ID), Times: -1, Do: func(context.Context) {
		once.Do(func() { testenv.ResizeDisk(t, mount, "8m") })
	}})
	if j := into(); j.State != coffer.Failed || j.ErrKind != coffer.KindNoSpace || j.Hint == "" {
		t.Errorf("a target that becomes full: %s %s: %s (hint %q)", j.State, j.ErrKind, j.Error, j.Hint)
	}
	empty(t, dir)
	w.use(w.file)
	testenv.ResizeDisk(t, mount, "2g")
	if j := into(); !ok(j) {
		t.Fatalf("with room again: %s", j.Error)
	}
	before, after := span(b)
	src.holds(t, dir, before, after)
}

// TestNoSpaceForTheRecords fills the disk of the records: what asks for something new
// is told so; a backup under way ends one way or the other once there is room.
func TestNoSpaceForTheRecords(t *testing.T) {
	t.Parallel()
	state := small(t, "6m")
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	w := newWorld(t, src, settings{stateDir: state})
	w.good("")
	ballast := filepath.Join(state, "ballast")
	fill := func() { w.fill(ballast) }
	fill()
	var err error
	for range 4000 { // the records' own log has some room yet
		note := coffer.Event{Code: "note", Text: strings.Repeat("x", 4000)}
		if err = w.db.AddEvents(t.Context(), coffer.JobID(w.seen[0]), []coffer.Event{note}); err != nil {
			break
		}
	}
	if _, err = w.create("last"); !coffer.IsKind(err, coffer.KindNoSpace) || coffer.HintOf(err) == "" {
		t.Errorf("a backup asked for on a full disk: %v (hint %q)", err, coffer.HintOf(err))
	}
	w.must(os.Remove(ballast))

	src.change(t)
	f := w.faulty(storetest.Fault{Op: storetest.Part, N: 2, Do: func(context.Context) {
		fill()
		time.AfterFunc(3*time.Second, func() { os.Remove(ballast) })
	}})
	b := w.backup("")
	f.VerifyAllHit(t)
	w.use(w.file)
	t.Logf("the records' disk was full in the copy: %s %s", b.State, b.Error)
	if b.State == coffer.Completed {
		w.restores(b)
	} else {
		w.gone(b.ID)
	}
	w.restores(w.good("last"))
}

// fill takes all the room of the file's disk.
func (w *world) fill(path string) {
	f, err := os.Create(path)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
}
