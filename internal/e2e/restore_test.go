package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/rest"
)

// TestRestoredServerOutlivesItsAgent kills the program beside a restored server:
// the server runs on, and the next life of the program knows it.
func TestRestoredServerOutlivesItsAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 8<<20, false))
	w.begin(false)
	id := w.completes()
	start := time.Now()
	var out struct{ Instance rest.Instance }
	if code := w.cli(&out, "restore", string(id), "--name", "copy"); code != 0 {
		t.Fatalf("restore: exit %d", code)
	}
	if out.Instance.Status != "ACTIVE" {
		t.Errorf("the new instance is %s", out.Instance.Status)
	}
	db, err := host.OpenDB(out.Instance.Conn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w.db.same(t, db, start, time.Now())
	first := w.hosted()
	w.server.end(t, syscall.SIGKILL)
	if got := w.hosted(); len(first) != 1 || len(got) != 1 || got[0] != first[0] {
		t.Fatalf("the restored server was %v and is %v", first, got)
	}
	w.startServer("")
	in, err := w.cl.Instance(t.Context(), out.Instance.ID)
	if err != nil || in.Status != "ACTIVE" {
		t.Errorf("after the restart the instance is %s, %v", in.Status, err)
	}
	if got := w.hosted(); len(got) != 1 || got[0] != first[0] {
		t.Errorf("after the restart the server is %v, it was %v", got, first)
	}
	// Adopted: it is looked after again, so it is started again when it dies.
	_ = syscall.Kill(first[0], syscall.SIGKILL)
	within(t, 30*time.Second, "the adopted server is started again", func() bool { return db.Ping() == nil })
	w.crashShows(out.Instance)
	if code := w.cli(nil, "instance", "delete", "copy"); code != 0 {
		t.Errorf("delete the instance: exit %d", code)
	}
	within(t, 30*time.Second, "the deleted instance's server ends", func() bool { return len(w.hosted()) == 0 })
	w.slotsGone()
	w.clean(true)
}

// crashShows takes a restored server's data away, so that it crashes and cannot be
// started again: its instance says so, and that it is well when the data is back.
func (w *world) crashShows(in rest.Instance) {
	w.t.Helper()
	became := func(status string) {
		w.t.Helper()
		within(w.t, 40*time.Second, "the instance is "+status, func() bool {
			now, err := w.cl.Instance(w.t.Context(), in.ID)
			return err == nil && now.Status == status
		})
	}
	data := in.Conn.DataDir
	became("ACTIVE")
	if err := os.Rename(data, data+".away"); err != nil {
		w.t.Fatal(err)
	}
	for _, pid := range w.hosted() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	became("SHUTDOWN")
	if err := os.Rename(data+".away", data); err != nil {
		w.t.Fatal(err)
	}
	became("ACTIVE")
}

// describeHosted tells of a failed test what is left of restored servers.
func (w *world) describeHosted() {
	if !w.t.Failed() {
		return
	}
	for _, pid := range w.hosted() {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		w.t.Logf("server %d, state %c, in %s %v", pid, state(pid), cwd, err)
	}
	left, _ := filepath.Glob(w.state + "/hosted/*/*")
	for _, f := range left {
		var text []byte
		if strings.HasSuffix(f, ".log") || strings.HasSuffix(f, "state.json") {
			text, _ = os.ReadFile(f)
		}
		w.t.Logf("left: %s %s", f, text)
	}
}

// hosted are the restored servers that run.
func (w *world) hosted() (pids []int) {
	for _, o := range w.left() {
		if o.name == "mariadbd" {
			pids = append(pids, o.pid)
		}
	}
	return pids
}

// slotsGone wants that no half-made server's folder is left.
func (w *world) slotsGone() {
	w.t.Helper()
	var left []string
	defer func() {
		if w.t.Failed() {
			w.t.Logf("left: %q", left)
		}
	}()
	within(w.t, 30*time.Second, "no slot is left", func() bool {
		left, _ = filepath.Glob(w.state + "/hosted/*-*")
		return len(left) == 0
	})
}

// TestKilledInARestore kills the program at points of a restore: a half-made
// server and a half-made folder's files go at the next start.
func TestKilledInARestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, dataBytes, false))
	w.begin(false)
	id := w.completes()
	points := []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, time.Second}
	for i, after := range points {
		s, err := w.cl.Restore(t.Context(), rest.Restore{Backup: id, Target: coffer.Target{Name: "half"}})
		if err != nil {
			t.Fatal(err)
		}
		within(t, 20*time.Second, "the restore runs", func() bool {
			j, err := w.cl.Job(t.Context(), s.Job.ID)
			return err == nil && j.State != coffer.New
		})
		<-time.After(after)
		w.server.end(t, syscall.SIGKILL)
		failpoint := ""
		if i == len(points)-1 {
			failpoint = "restored=kill"
		}
		w.startServer(failpoint)
		w.halfRestored(s)
	}
	s, err := w.cl.Restore(t.Context(), rest.Restore{Backup: id, Target: coffer.Target{Name: "half"}})
	if err != nil {
		t.Fatal(err)
	}
	w.dies(id)
	w.startServer("")
	w.halfRestored(s)
	w.killedIntoAFolder(id)
	w.restored(id)
	w.clean(true)
}

// halfRestored wants a killed restore's end: FAILED without a trace, or whole.
func (w *world) halfRestored(s rest.Started) {
	w.t.Helper()
	j := w.jobEnds(s.Job.ID)
	in, err := w.cl.Instance(w.t.Context(), s.Instance)
	w.t.Logf("the restore is %s %s, its instance %s", j.State, reason(j.Error), in.Status)
	if j.State == coffer.Completed {
		if err == nil {
			err = w.cl.DeleteInstance(w.t.Context(), s.Instance)
		}
		if err != nil {
			w.t.Error(err)
		}
	} else if err != nil || in.Status != "ERROR" {
		w.t.Errorf("the instance of a FAILED restore is %q, %v", in.Status, err)
	}
	defer w.describeHosted()
	within(w.t, 30*time.Second, "no server of it runs", func() bool { return len(w.hosted()) == 0 })
	w.slotsGone()
	if j.State == coffer.Failed {
		w.errorGoes(s.Instance)
	}
}

// errorGoes deletes the instance that a FAILED restore has left to say so.
func (w *world) errorGoes(id coffer.InstanceID) {
	w.t.Helper()
	if code := w.cli(nil, "instance", "delete", string(id)); code != 0 {
		w.t.Errorf("delete an instance in ERROR: exit %d", code)
	}
	if _, err := w.cl.Instance(w.t.Context(), id); !coffer.IsKind(err, coffer.KindNotFound) {
		w.t.Errorf("the deleted instance: %v", err)
	}
}

// TestFailedRestoreIsDeletedWhileItsAgentIsAway kills an agent at the end of a
// restore. The instance in ERROR is deleted before anybody has cleared away its
// half-made server; the agent does that when it is back, and its port is free.
func TestFailedRestoreIsDeletedWhileItsAgentIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 8<<20, false))
	w.begin(true)
	id := w.completes()
	w.agent.end(t, syscall.SIGTERM)
	w.startAgent("end noted=kill")
	s, err := w.cl.Restore(t.Context(), rest.Restore{Backup: id, Target: coffer.Target{Name: "half", Port: 14290}})
	if err != nil {
		t.Fatal(err)
	}
	w.agent.wait(t, time.Minute)
	if len(w.hosted()) != 1 {
		t.Fatalf("servers: %v", w.hosted())
	}
	if j := w.jobEnds(s.Job.ID); j.State != coffer.Failed {
		t.Fatalf("the lost restore is %s", j.State)
	}
	w.errorGoes(s.Instance)
	defer w.describeHosted()
	w.startAgent("")
	within(t, 30*time.Second, "the agent clears its server away", func() bool {
		left, _ := filepath.Glob(w.beside + "/hosted/*-*")
		return len(w.hosted()) == 0 && len(left) == 0
	})
	var out struct{ Instance rest.Instance }
	if code := w.cli(&out, "restore", string(id), "--name", "again", "--port", "14290"); code != 0 || out.Instance.Status != "ACTIVE" {
		t.Errorf("a restore to the same port: exit %d, %+v", code, out.Instance)
	}
	if code := w.cli(nil, "instance", "delete", "again"); code != 0 {
		t.Errorf("delete the instance: exit %d", code)
	}
	within(t, 30*time.Second, "the deleted instance's server ends", func() bool { return len(w.hosted()) == 0 })
	w.clean(false)
}
