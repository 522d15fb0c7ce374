package recordstest

import (
	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// check compares every row with the model.
func (l *life) check() {
	refs, pins := map[coffer.BackupID]int{}, map[coffer.BackupID]int{}
	running := map[coffer.InstanceID]int{}
	now := map[coffer.BackupID]coffer.Backup{}
	for _, id := range l.ids {
		b := l.backup(id)
		now[id] = b
		l.checkMove(l.seen[id], b)
		if b.State == coffer.Failed || b.Deleted {
			l.let[id] = true
		}
		if b.Parent != "" && !l.let[id] {
			refs[b.Parent]++
			if now[b.Parent].Deleted {
				l.Fatalf("backup %s stands on %s, which is deleted", id, b.Parent)
			}
		}
		l.seen[id] = b
	}
	all, err := l.db.Jobs(l.ctx, records.JobFilter{Project: l.project})
	l.must(err)
	for _, j := range all {
		if j.Kind == coffer.JobBackup && j.State != now[j.Backup].State && now[j.Backup].State != coffer.DeleteFailed {
			l.Fatalf("job and backup differ: %+v %+v", j, now[j.Backup])
		}
		if !j.State.Running() {
			continue
		}
		if !j.Lost && (j.Kind == coffer.JobBackup || j.Kind == coffer.JobRestore) {
			running[j.Instance]++
		}
		if j.Kind == coffer.JobVerify || j.Kind == coffer.JobRestore {
			for id := j.Backup; id != ""; id = now[id].Parent {
				pins[id]++
			}
		}
	}
	for id, b := range now {
		if b.Refs != refs[id] || b.Pins != pins[id] {
			l.Fatalf("backup %s has refs %d and pins %d, the rows say %d and %d", id, b.Refs, b.Pins, refs[id], pins[id])
		}
		if b.Pins > 0 && (b.Deleting || b.Deleted) {
			l.Fatalf("backup %s is read and deleted at once", id)
		}
	}
	for in, n := range running {
		if n > 1 {
			l.Fatalf("%d jobs occupy instance %s", n, in)
		}
	}
}

// checkMove: a state goes where the table says, and its time goes with it.
func (l *life) checkMove(was, is coffer.Backup) {
	if was.ID == "" || was.State == is.State {
		if was.ID != "" && was.Updated != is.Updated && was.Deleted == is.Deleted && is.State != coffer.DeleteFailed {
			l.Fatalf("updated moved without a state: %+v %+v", was, is)
		}
		return
	}
	if !was.State.CanBecome(is.State) {
		l.Fatalf("backup %s went from %s to %s", is.ID, was.State, is.State)
	}
	if is.State == coffer.Completed && (was.Dying || is.Dying) {
		l.Fatalf("backup %s is COMPLETED after the verdict", is.ID)
	}
}

// endAll ends every job, deletes every backup, and looks for what is still held.
func (l *life) endAll() {
	all, err := l.db.Jobs(l.ctx, records.JobFilter{Project: l.project})
	l.must(err)
	for _, j := range all {
		if j.State == coffer.Saving {
			l.yes(l.db.Doom(l.ctx, j.ID, l.now()))
			l.yes(l.db.FailDoomed(l.ctx, j.ID, records.Ending{Now: l.now()}))
		} else if j.State.Running() {
			_, err := l.db.Fail(l.ctx, j.ID, "", records.Ending{Now: l.now()})
			l.must(err)
		}
	}
	l.check()
	for i := len(l.ids) - 1; i >= 0; i-- { // children were made after their parents
		if l.backup(l.ids[i]).Deleted {
			continue
		}
		_, err := l.db.CreateJob(l.ctx, records.NewJob{Kind: coffer.JobDelete, Project: l.project, Backup: l.ids[i], Now: l.now()})
		l.must(err)
		l.must(l.db.Deleted(l.ctx, l.ids[i], l.now()))
		l.check()
	}
	for _, id := range l.ids {
		l.counts(id, 0, 0)
	}
	for _, in := range l.instances {
		b, err := l.db.CreateBackup(l.ctx, records.NewBackup{Project: l.project, Instance: in, Name: "n", Store: "main", Quota: len(l.instances), Now: l.now()})
		l.must(err) // nothing occupies it, and the quota is given back
		l.ids = append(l.ids, b.ID)
	}
}
