package model

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
)

func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, fmt.Sprintf("%8.3fs ", time.Since(w.begun).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.story, "\n")
}

// addRows writes new rows into a database and its ledger.
func (w *world) addRows(i, n int) {
	for range n {
		row := fmt.Sprintf("row %d of %d", len(w.ledger[i]), i)
		w.ledger[i] = append(w.ledger[i], row)
		w.must(w.fakes[i].Add(row))
	}
}

// backup asks for a backup as the API does.
func (w *world) backup(i int, incremental bool) (coffer.BackupID, error) {
	b, err := w.db.CreateBackup(w.ctx, records.NewBackup{
		Project: project, Instance: w.inst[i], Name: "b", Incremental: incremental, Store: storeName, Quota: -1, Now: w.clockOf("api").now(),
	})
	if err == nil {
		w.ring(coffer.JobID(b.ID))
	}
	return b.ID, err
}

func (w *world) job(kind coffer.JobKind, b coffer.BackupID, force bool) (coffer.JobID, error) {
	j, err := w.db.CreateJob(w.ctx, records.NewJob{
		Kind: kind, Project: project, Backup: b, Spec: coffer.Spec{Force: force}, Now: w.clockOf("api").now(),
	})
	if err == nil {
		w.ring(j.ID)
	}
	return j.ID, err
}

// ring is the API's doorbell; like any message it may get lost.
func (w *world) ring(j coffer.JobID) {
	if m := w.wx.next(); m.lost || m.out {
		return
	}
	_ = message.Dispatch.Cast(w.ctx, w.bus, message.TaskManager, message.JobRef{Job: j})
}

// cancel asks a job to stop as the API does.
func (w *world) cancel(id coffer.JobID) error {
	j, err := w.db.Cancel(w.ctx, project, id, w.clockOf("api").now())
	if err != nil {
		return err
	}
	to := message.TaskManager
	if j.Kind == coffer.JobBackup {
		to = message.GuestAgent(j.Instance)
	}
	if m := w.wx.next(); !m.lost && !m.out {
		_ = message.Cancel.Cast(w.ctx, w.bus, to, message.JobRef{Job: id})
	}
	return nil
}

func (w *world) row(id coffer.BackupID) coffer.Backup {
	w.t.Helper()
	b, err := w.db.BackupByID(w.ctx, id)
	w.must(err)
	return b
}

func (w *world) jobRow(id coffer.JobID) coffer.Job {
	w.t.Helper()
	j, err := w.db.JobByID(w.ctx, id)
	w.must(err)
	return j
}

// within waits for a condition in the bubble's time.
func (w *world) within(d time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			w.t.Fatalf("not within %s: %s", d, what)
		}
	}
}

// ends waits for a job's end and gives its state.
func (w *world) ends(d time.Duration, id coffer.JobID) coffer.State {
	w.t.Helper()
	w.within(d, "the end of job "+string(id), func() bool { return !w.jobRow(id).State.Running() })
	return w.jobRow(id).State
}

// full takes one full backup that must come out well.
func (w *world) full(i int) coffer.BackupID {
	w.t.Helper()
	return w.good(i, false)
}

func (w *world) good(i int, incremental bool) coffer.BackupID {
	w.t.Helper()
	id, err := w.backup(i, incremental)
	w.must(err)
	if s := w.ends(2*time.Minute, coffer.JobID(id)); s != coffer.Completed {
		w.t.Fatalf("backup %s is %s: %s\n%s", id, s, w.row(id).Error, w.told())
	}
	return id
}

// dump is what the records and the store hold, for a person.
func (w *world) dump() string {
	var out strings.Builder
	all, _ := w.db.Backups(w.ctx, records.BackupFilter{All: true, Limit: records.MaxPage})
	for _, b := range all {
		fmt.Fprintf(&out, "backup %s %s parent %q refs %d pins %d dying %v deleting %v: %s\n", b.ID, b.State, b.Parent, b.Refs, b.Pins, b.Dying, b.Deleting, b.Error)
	}
	jobs, _ := w.db.Jobs(w.ctx, records.JobFilter{All: true, Limit: records.MaxPage})
	for _, j := range jobs {
		fmt.Fprintf(&out, "job %s %s of %s %s runner %s beat %d lost %v dying %v cancel %v: %s\n", j.ID, j.Kind, j.Backup, j.State, j.Runner, j.Beat, j.Lost, j.Dying, j.Cancel, j.Error)
	}
	for _, name := range w.objects() {
		fmt.Fprintln(&out, "object", name)
	}
	return out.String()
}

// objects lists the store's names, behind every fault.
func (w *world) objects() (names []string) {
	for o, err := range w.mem.List(w.ctx, "") {
		if err == nil {
			names = append(names, o.Name)
		}
	}
	return names
}

// objectsOf are the roles of what the store holds of one backup.
func (w *world) objectsOf(id coffer.BackupID) (roles []string) {
	for _, name := range w.objects() {
		if strings.Contains(name, string(id)) {
			roles = append(roles, role(name))
		}
	}
	return roles
}

// snapshot keeps a copy of the records, putBack makes it the records again. The
// control plane is killed for it and starts anew.
func (w *world) snapshot() {
	w.halt()
	w.snap = filepath.Join(w.dir, "snapshot")
	for _, tail := range recordTails {
		w.copyFile("records.sqlite"+tail, "snapshot"+tail)
	}
	w.openRecords()
	w.again()
}

func (w *world) putBack() {
	w.halt()
	for _, tail := range append(recordTails, "-shm") {
		if err := os.Remove(filepath.Join(w.dir, "records.sqlite"+tail)); err != nil && !os.IsNotExist(err) {
			w.must(err)
		}
	}
	for _, tail := range recordTails {
		w.copyFile("snapshot"+tail, "records.sqlite"+tail)
	}
	w.openRecords()
	w.again()
}

var recordTails = []string{"", "-wal"}

// halt kills the control plane and lets go of the records' file.
func (w *world) halt() {
	for _, p := range w.controls() {
		p.l.kill()
	}
	w.must(w.db.Close())
	synctest.Wait()
}

func (w *world) again() {
	for i := range w.controls() {
		w.startControl(i)
	}
}

// controls are all control planes, the first being the server.
func (w *world) controls() []*process { return append([]*process{w.server}, w.more...) }

// startControl starts a control plane anew, as it was.
func (w *world) startControl(i int) {
	if i == 0 {
		w.startServer()
		return
	}
	was := w.more[i-1]
	w.more[i-1] = w.newControl(was.name, !was.lone)
}

func (w *world) copyFile(from, to string) {
	in, err := os.Open(filepath.Join(w.dir, from))
	if os.IsNotExist(err) {
		return
	}
	w.must(err)
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(w.dir, to), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	w.must(err)
	_, err = io.Copy(out, in)
	w.must(err)
	w.must(out.Close())
}
