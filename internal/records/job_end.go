package records

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

// The moves to an end answer true when the row stands there now, so a move that is
// asked again answers as it did the first time; false is "the row went another way".

// Complete moves a backup to COMPLETED, unless the verdict FAILED has fallen. It is
// for whoever has itself read the manifest and found every part. A manifest that is
// not the granted one is KindCorrupt.
func (d *DB) Complete(ctx context.Context, job coffer.JobID, done Completion) (bool, error) {
	done.Now = orNow(done.Now)
	var ok bool
	err := d.write(ctx, "write COMPLETED", func(c conn) error {
		j, err := jobToMove(c, job)
		if err != nil {
			return err
		}
		if granted := j.Spec.ManifestSHA256; granted != "" && granted != done.Manifest {
			return coffer.E(coffer.KindCorrupt, "compare the manifest", "manifest %s was granted, %s is there", granted, done.Manifest)
		}
		ok, err = moveToEnd(c, job, coffer.Completed, Ending{Now: done.Now},
			`kind = ? AND dying = 0 AND state IN (?, ?)`, coffer.JobBackup, coffer.Saving, coffer.Building)
		if err != nil {
			return err
		}
		if !ok {
			ok = j.Kind == coffer.JobBackup && j.State == coffer.Completed
			return nil
		}
		return completeBackup(c, j, done)
	})
	return ok && err == nil, err
}

// afterAll is a time for the end of an instance's backup: at, or just after the
// newest that is COMPLETED, if the clock by which that ended was ahead. The next
// increment stands on the newest.
func afterAll(c conn, in coffer.InstanceID, at int64) (int64, error) {
	last, found, err := one(c, scanInt, `SELECT ended FROM backups WHERE instance = ? AND state = ? ORDER BY ended DESC LIMIT 1`,
		in, coffer.Completed)
	if err != nil || !found {
		return at, err
	}
	return max(at, int64(last)+1), nil
}

func completeBackup(c conn, j coffer.Job, done Completion) error {
	id, ds := coffer.BackupID(j.ID), done.Datastore
	pos, err := asJSON(done.Position)
	if err != nil {
		return err
	}
	at, err := afterAll(c, j.Instance, micros(done.Now))
	if err != nil {
		return err
	}
	_, err = c.exec(`UPDATE backups SET state = ?, updated = ?, ended = ?, error = '', hint = '',
		plain_bytes = ?, stored_bytes = ?,
		pos = ?, manifest = ?, location = ?, checksum = ?, key_id = ?, method = ?,
		type = CASE WHEN ? = '' THEN type ELSE ? END,
		store = CASE WHEN ? = '' THEN store ELSE ? END,
		ds_type = CASE WHEN ? = '' THEN ds_type ELSE ? END,
		ds_version = CASE WHEN ? = '' THEN ds_version ELSE ? END,
		ds_version_id = CASE WHEN ? = '' THEN ds_version_id ELSE ? END
		WHERE id = ?`,
		coffer.Completed, at, at, done.Sizes.Plain, done.Sizes.Stored,
		pos, done.Manifest, done.Location, done.Checksum, done.Key, done.Method,
		done.Type, done.Type, done.Store, done.Store,
		ds.Type, ds.Type, ds.Version, ds.Version, ds.VersionID, ds.VersionID, id)
	if err == nil && done.Sizes.Data > 0 {
		_, err = c.exec(`UPDATE backups SET data_bytes = ? WHERE id = ?`, done.Sizes.Data, id)
	}
	return err
}

// Fail ends a job FAILED: a backup that is NEW or BUILDING, never one whose commit
// was granted; of the other kinds any that runs. With a runner, only that runner's.
func (d *DB) Fail(ctx context.Context, job coffer.JobID, runner coffer.Runner, e Ending) (bool, error) {
	e = e.clipped()
	return d.end(ctx, "write FAILED", job, func(c conn, j coffer.Job) (bool, error) {
		if runner != "" && j.Runner != runner {
			return false, nil
		}
		if j.State == coffer.Failed {
			return true, nil
		}
		return fail(c, j, e, `state IN (?, ?) AND (? = '' OR runner = ?)`, coffer.New, coffer.Building, runner, runner)
	})
}

// Doom lets the verdict FAILED fall on a backup whose commit was granted, before
// its tombstone is written. From then on it cannot become COMPLETED.
func (d *DB) Doom(ctx context.Context, job coffer.JobID, _ time.Time) (bool, error) {
	return d.end(ctx, "write the verdict", job, func(c conn, j coffer.Job) (bool, error) {
		ok, err := c.changed(`UPDATE jobs SET dying = 1 WHERE id = ? AND state = ? AND dying = 0`, job, coffer.Saving)
		if err != nil || !ok {
			return j.Dying, err
		}
		_, err = c.exec(`UPDATE backups SET dying = 1 WHERE id = ?`, job)
		return true, err
	})
}

// FailDoomed ends a dying backup FAILED, whatever a later look at the store finds.
func (d *DB) FailDoomed(ctx context.Context, job coffer.JobID, e Ending) (bool, error) {
	e = e.clipped()
	return d.end(ctx, "write FAILED", job, func(c conn, j coffer.Job) (bool, error) {
		if j.State == coffer.Failed {
			return j.Dying, nil
		}
		return fail(c, j, e, `state = ? AND dying = 1`, coffer.Saving)
	})
}

// Finish ends a restore, verify or delete well.
func (d *DB) Finish(ctx context.Context, job coffer.JobID, now time.Time) (bool, error) {
	e := Ending{Now: orNow(now)}
	return d.end(ctx, "write COMPLETED", job, func(c conn, j coffer.Job) (bool, error) {
		if j.Kind == coffer.JobBackup || j.State == coffer.Completed {
			return j.Kind != coffer.JobBackup, nil
		}
		ok, err := moveToEnd(c, job, coffer.Completed, e, `state = ?`, coffer.Building)
		if err != nil || !ok || j.Kind != coffer.JobRestore {
			return ok, err
		}
		return ok, settleInstance(c, j.Instance, "ACTIVE", e.Now)
	})
}

// Cancel asks a job to stop. One without a runner is FAILED at once; one with a
// runner is flagged; one whose commit was granted, or that has ended, is
// KindConflict.
func (d *DB) Cancel(ctx context.Context, project coffer.ProjectID, job coffer.JobID, now time.Time) (coffer.Job, error) {
	const op = "cancel the job"
	e := Ending{Kind: coffer.KindCanceled, Error: "cancelled before it began", Now: now}.clipped()
	var out coffer.Job
	err := d.write(ctx, op, func(c conn) error {
		j, err := jobToMove(c, job)
		if err != nil {
			return err
		}
		if j.Project != project {
			return errNoJob(job)
		}
		flagged, err := c.changed(`UPDATE jobs SET cancel = 1 WHERE id = ? AND state = ?`, job, coffer.Building)
		if err != nil {
			return err
		}
		if !flagged {
			ended, err := fail(c, j, e, `state = ? AND runner = ''`, coffer.New)
			if err != nil {
				return err
			}
			if !ended {
				return coffer.E(coffer.KindConflict, op, "job %s is %s", job, j.State).WithHint("it cannot be stopped any more; wait for it or delete what it made")
			}
			if _, err := c.exec(`UPDATE jobs SET cancel = 1 WHERE id = ?`, job); err != nil {
				return err
			}
		}
		out, err = jobByID(c, job)
		return err
	})
	return out, err
}

// end runs one move of a job to an end.
func (d *DB) end(ctx context.Context, op string, job coffer.JobID, move func(conn, coffer.Job) (bool, error)) (ok bool, err error) {
	err = d.write(ctx, op, func(c conn) error {
		j, err := jobToMove(c, job)
		if err != nil {
			return err
		}
		ok, err = move(c, j)
		return err
	})
	return ok && err == nil, err
}

// moveToEnd closes a job if the condition holds, and lets go of all that it held.
func moveToEnd(c conn, job coffer.JobID, to coffer.State, e Ending, condition string, args ...any) (bool, error) {
	at := micros(orNow(e.Now))
	all := append([]any{to, e.Kind, e.Error, e.Hint, at, at, job}, args...)
	ok, err := c.changed(`UPDATE jobs SET state = ?, err_kind = ?, error = ?, hint = ?, updated = ?, ended = ?
		WHERE id = ? AND `+condition, all...)
	if err != nil || !ok {
		return false, err
	}
	if _, err := c.exec(`DELETE FROM outbox WHERE job = ?`, job); err != nil {
		return false, err
	}
	if err := unpin(c, job); err != nil {
		return false, err
	}
	return true, vacate(c, job)
}

// fail closes a job FAILED if the condition holds, with what that means for its
// kind.
func fail(c conn, j coffer.Job, e Ending, condition string, args ...any) (bool, error) {
	ok, err := moveToEnd(c, j.ID, coffer.Failed, e, condition, args...)
	if err != nil || !ok {
		return false, err
	}
	switch j.Kind {
	case coffer.JobBackup:
		if _, err := c.exec(`UPDATE backups SET state = ?, error = ?, hint = ?, updated = ?, ended = ?, sweep = 1 WHERE id = ?`,
			coffer.Failed, e.Error, e.Hint, micros(e.Now), micros(e.Now), j.Backup); err != nil {
			return false, err
		}
		return true, dropRefs(c, j.Backup)
	case coffer.JobRestore:
		return true, settleInstance(c, j.Instance, "ERROR", e.Now)
	case coffer.JobDelete:
		if j.State == coffer.New { // nothing was touched
			if _, err := c.exec(`UPDATE backups SET deleting = 0 WHERE id = ? AND deleted = 0`, j.Backup); err != nil {
				return false, err
			}
			return true, giveUpWaiting(c, j.Backup, e)
		}
		return true, deleteFailed(c, j.Backup, e)
	}
	return true, nil
}
