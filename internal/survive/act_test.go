package survive

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/taskmanager"
)

// within polls until cond holds; it fails the test after d.
func within(t testing.TB, d time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !cond(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// create asks for a backup; of "" a full, of "last" an increment onto the newest.
func (w *world) create(parent coffer.BackupID) (coffer.Backup, error) {
	n := records.NewBackup{Project: project, Instance: w.instance, Name: "b", Parent: parent, Store: storeName, Quota: -1, Now: time.Now()}
	if parent == "last" {
		n.Parent, n.Incremental = "", true
	}
	b, err := w.db.CreateBackup(w.t.Context(), n)
	if err == nil {
		w.seen = append(w.seen, b.ID)
		err = message.Dispatch.Cast(w.t.Context(), w.bus, message.TaskManager, message.JobRef{Job: coffer.JobID(b.ID)})
	}
	return b, err
}

func (w *world) row(id coffer.BackupID) coffer.Backup {
	w.t.Helper()
	b, err := w.db.BackupByID(w.t.Context(), id)
	w.must(err)
	return b
}

func (w *world) job(id coffer.JobID) coffer.Job {
	w.t.Helper()
	j, err := w.db.JobByID(w.t.Context(), id)
	w.must(err)
	return j
}

// backup takes a backup to its end, whatever that is.
func (w *world) backup(parent coffer.BackupID) coffer.Backup {
	w.t.Helper()
	b, err := w.create(parent)
	w.must(err)
	return w.settled(b.ID, 2*time.Minute)
}

func (w *world) settled(id coffer.BackupID, d time.Duration) coffer.Backup {
	w.t.Helper()
	within(w.t, d, "the end of backup "+string(id), func() bool { return !w.job(coffer.JobID(id)).State.Running() })
	return w.row(id)
}

// good takes a backup that must come out well.
func (w *world) good(parent coffer.BackupID) coffer.Backup {
	w.t.Helper()
	b := w.backup(parent)
	if b.State != coffer.Completed {
		w.t.Fatalf("backup %s is %s: %s (hint %q)", b.ID, b.State, b.Error, b.Hint)
	}
	return b
}

// failed wants a backup that ended FAILED for a reason with these words, of a kind,
// and with a hint.
func (w *world) failed(b coffer.Backup, words string, kinds ...coffer.Kind) {
	w.t.Helper()
	j := w.job(coffer.JobID(b.ID))
	if b.State != coffer.Failed || !slices.Contains(kinds, j.ErrKind) || !strings.Contains(b.Error, words) || b.Hint == "" {
		w.t.Errorf("backup is %s for %q: %q (hint %q); want FAILED, one of %q, with %q and a hint", b.State, j.ErrKind, b.Error, b.Hint, kinds, words)
	}
}

// runJob carries a job out to its end.
func (w *world) runJob(kind coffer.JobKind, id coffer.BackupID, spec coffer.Spec) coffer.Job {
	w.t.Helper()
	j, err := w.db.CreateJob(w.t.Context(), records.NewJob{Kind: kind, Project: project, Backup: id, Spec: spec, Now: time.Now()})
	w.must(err)
	w.must(message.Dispatch.Cast(w.t.Context(), w.bus, message.TaskManager, message.JobRef{Job: j.ID}))
	within(w.t, time.Minute, "the end of the "+string(kind), func() bool { return !w.job(j.ID).State.Running() })
	return w.job(j.ID)
}

// ok reports whether a job ended well.
func ok(j coffer.Job) bool { return j.State == coffer.Completed }

// restore puts a backup's files into a new folder.
func (w *world) restore(id coffer.BackupID) (dir string, j coffer.Job) {
	w.t.Helper()
	dir = filepath.Join(w.dir, fmt.Sprintf("r%d", time.Now().UnixNano()))
	return dir, w.runJob(coffer.JobRestore, id, coffer.Spec{Target: &coffer.Target{Agent: w.agentID, Dir: dir}})
}

// restores wants a backup that restores as what the source was.
func (w *world) restores(b coffer.Backup) {
	w.t.Helper()
	dir, j := w.restore(b.ID)
	defer os.RemoveAll(dir)
	if !ok(j) {
		w.t.Errorf("restore of backup %s: %s: %s (hint %q)", b.ID, j.State, j.Error, j.Hint)
		return
	}
	before, after := span(b)
	w.src.holds(w.t, dir, before, after)
}

// verify reads all of a backup.
func (w *world) verify(id coffer.BackupID) coffer.Job {
	w.t.Helper()
	return w.runJob(coffer.JobVerify, id, coffer.Spec{})
}

// sweep is one pass.
func (w *world) sweep() taskmanager.SweepReport {
	w.t.Helper()
	r, err := w.tasks.Sweep(w.t.Context())
	if err != nil {
		w.t.Errorf("sweep: %v", err)
	}
	return r
}

// place is where the archives lie, without what spoils the store.
func (w *world) place() archive.Place {
	return archive.Place{Store: w.file, Prefix: coffer.Prefix(project, "")}
}

// objects are the names in the store that begin with id, unfinished uploads
// included; "" is everything.
func (w *world) objects(id coffer.BackupID) (names []string) {
	w.t.Helper()
	prefix := w.place().Prefix + string(id)
	if id == "" {
		prefix = ""
	}
	for o, err := range w.file.List(w.t.Context(), prefix) {
		w.must(err)
		names = append(names, o.Name)
	}
	for u, err := range w.file.Stale(w.t.Context(), prefix) {
		w.must(err)
		names = append(names, u.Name+" (not ended)")
	}
	return names
}

// gone wants that nothing readable is left of a failed backup now, and, once the
// store serves again, nothing but intent and tombstone after a sweep.
func (w *world) gone(id coffer.BackupID) {
	w.t.Helper()
	a, err := archive.Open(w.t.Context(), w.place(), id, archive.Want{Retry: retry.Policy{Tries: 1}})
	if err == nil {
		a.Close()
		w.t.Errorf("backup %s is FAILED and can be opened", id)
	}
	w.sweep()
	for _, name := range w.objects(id) {
		if !strings.HasSuffix(name, ".intent.json") && !strings.HasSuffix(name, ".dead.json") {
			w.t.Errorf("of FAILED backup %s there is still %s", id, name)
		}
	}
}

// empty wants a folder without anything, or no folder.
func empty(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	for _, e := range list {
		t.Errorf("in %s there is %s", dir, e.Name())
	}
}

// read is an object's bytes.
func (w *world) read(name string) []byte {
	w.t.Helper()
	r, err := w.file.Open(w.t.Context(), name, 0, -1)
	w.must(err)
	defer r.Close()
	b, err := io.ReadAll(r)
	w.must(err)
	return b
}

// path is where the file store keeps an object of a backup.
func (w *world) path(name string) string { return filepath.Join(w.root, w.place().Prefix, name) }
