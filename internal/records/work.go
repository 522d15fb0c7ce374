package records

import (
	"context"

	"github.com/cofferdb/coffer"
)

// Work is a job and the rows that it is about; one that there is not is zero.
type Work struct {
	Job      coffer.Job
	Instance coffer.Instance
	Backup   coffer.Backup
}

// Work reads a job of any project, with its instance and its backup, deleted ones too.
// Each row is as it is at its own moment.
func (d *DB) Work(ctx context.Context, id coffer.JobID) (w Work, err error) {
	var job *answer[coffer.Job]
	var instance *answer[coffer.Instance]
	var backup *answer[coffer.Backup]
	err = d.readTogether(ctx, "read the job's rows", func(b *bundle) {
		job = ask(b, scanJob, `SELECT `+jobCols+` FROM jobs WHERE id = ?`, id)
		instance = ask(b, scanInstance, `SELECT `+instanceCols+` FROM instances WHERE id = (SELECT instance FROM jobs WHERE jobs.id = ?)`, id)
		backup = ask(b, scanBackup, `SELECT `+backupCols+` FROM backups WHERE id = (SELECT backup FROM jobs WHERE jobs.id = ?)`, id)
	})
	if err != nil {
		return w, err
	}
	var found bool
	if w.Job, found = job.first(); !found {
		return w, coffer.Wrap("read the job's rows", errNoJob(id))
	}
	w.Instance, _ = instance.first()
	w.Backup, _ = backup.first()
	return w, nil
}
