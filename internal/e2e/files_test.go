package e2e

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// killedIntoAFolder kills a restore of files at points of it: until the next start
// the folder bears the mark of an unfinished restore or is whole, after it nothing
// is left of a restore that has FAILED.
func (w *world) killedIntoAFolder(id coffer.BackupID) {
	w.t.Helper()
	for i, step := range []string{"", "sealed", "restored", "end noted"} {
		dir := fmt.Sprintf("%s/half%d", w.dir, i)
		w.server.end(w.t, syscall.SIGTERM)
		if step == "" {
			w.startServer("")
		} else {
			w.startServer(step + "=kill")
		}
		s, err := w.cl.Restore(w.t.Context(), rest.Restore{Backup: id, Target: coffer.Target{Dir: dir}})
		if err != nil {
			w.t.Fatal(err)
		}
		if step == "" {
			within(w.t, 20*time.Second, "files appear", func() bool { return len(filesIn(dir)) > 2 })
			w.server.end(w.t, syscall.SIGKILL)
		} else {
			w.dies(id)
		}
		_, err = os.Stat(dir + "/RESTORE-INCOMPLETE")
		if marked := step == "" || step == "sealed"; marked != (err == nil) {
			w.t.Errorf("killed at %q the folder's mark is %v", step, err)
		}
		w.startServer("")
		j := w.jobEnds(s.Job.ID)
		left := filesIn(dir)
		w.t.Logf("killed at %q: %s %s, %d files are left", step, j.State, reason(j.Error), len(left))
		if want := step == "end noted"; want != (j.State == coffer.Completed) || want != (len(left) > 0) {
			w.t.Errorf("killed at %q: %s with %q", step, j.State, left)
		}
	}
	dir := w.dir + "/half0"
	if code := w.cli(nil, "restore", string(id), "--to", dir); code != 0 {
		w.t.Errorf("a restore into the folder that was cleared: exit %d", code)
	}
}

func filesIn(dir string) (names []string) {
	list, _ := os.ReadDir(dir) // no folder is no files
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// jobEnds waits for a job's end.
func (w *world) jobEnds(id coffer.JobID) (j rest.Job) {
	w.t.Helper()
	within(w.t, 30*time.Second, "job "+string(id)+" ends", func() bool {
		var err error
		j, err = w.cl.Job(w.t.Context(), id)
		return err == nil && !j.State.Running()
	})
	return j
}

// TestLostRestoreOfFiles stops an agent, at the end of a restore into a folder,
// until it is taken for lost, and wakes it again: nothing is left beside the FAILED
// job. What somebody has begun to use meanwhile is theirs.
func TestLostRestoreOfFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 8<<20, false))
	w.begin(true)
	id := w.completes()
	for _, used := range []bool{false, true} {
		w.agent.end(t, syscall.SIGKILL)
		w.startAgent("end noted=stop")
		dir := fmt.Sprintf("%s/lost-%v", w.dir, used)
		s, err := w.cl.Restore(t.Context(), rest.Restore{Backup: id, Target: coffer.Target{Dir: dir}})
		if err != nil {
			t.Fatal(err)
		}
		within(t, time.Minute, "the agent stops itself", func() bool { return state(w.agent.pid) == 'T' })
		if j := w.jobEnds(s.Job.ID); j.State != coffer.Failed || len(filesIn(dir)) < 3 {
			t.Fatalf("the lost restore is %s with %q", j.State, filesIn(dir))
		}
		if used {
			w.db.equals(t, dir, time.Time{}, time.Time{}) // a server of somebody else's has run on it
		}
		w.agent.signal(syscall.SIGCONT)
		within(t, 30*time.Second, "the journal is done with it", func() bool { return len(filesIn(w.beside+"/agent/journal")) == 0 })
		if left := filesIn(dir); used != (len(left) > 0) {
			t.Errorf("the agent that was lost has left %q", left)
		}
	}
	w.clean(false)
}
