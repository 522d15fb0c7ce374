package records

import (
	"context"
	"slices"
	"time"

	"github.com/cofferdb/coffer"
)

// createDelete marks the backup and makes its delete job. Forced, it goes down the
// tree first: each backup is marked before its children are looked for, so none can
// be added behind it, and the jobs are made with the leaves first.
func createDelete(c conn, id coffer.JobID, n NewJob) (coffer.JobID, error) {
	top, err := backupToMove(c, n.Backup)
	if err != nil {
		return "", err
	}
	if top.Project != n.Project || top.Deleted {
		return "", errNoBackup(n.Backup)
	}
	if made, err := liveDelete(c, top); err != nil || made != "" {
		return made, err
	}
	doomed, err := markTree(c, top, n.Spec.Force)
	if err != nil {
		return "", err
	}
	for _, b := range slices.Backward(doomed) {
		j := coffer.Job{
			ID: coffer.JobID(coffer.NewUUID()), Kind: coffer.JobDelete, Project: b.Project,
			Instance: b.Instance, Backup: b.ID, Spec: n.Spec, Created: n.Now,
		}
		if b.ID == top.ID {
			j.ID = id
		}
		if err := insertJob(c, j); err != nil {
			return "", err
		}
	}
	return id, nil
}

// markTree marks top and, forced, whatever stands on it and is not being deleted
// already.
func markTree(c conn, top coffer.Backup, force bool) ([]coffer.Backup, error) {
	if err := markDeleting(c, top, force); err != nil || !force {
		return []coffer.Backup{top}, err
	}
	doomed := []coffer.Backup{top}
	for i := 0; i < len(doomed); i++ {
		children, err := childrenOf(c, doomed[i].ID)
		if err != nil {
			return nil, err
		}
		for _, child := range children {
			if child, err = backupToMove(c, child.ID); err != nil {
				return nil, err
			}
			if child.Deleting || child.Deleted {
				continue
			}
			if err := markDeleting(c, child, force); err != nil {
				return nil, err
			}
			doomed = append(doomed, child)
		}
		if len(doomed) > coffer.MaxChain {
			return nil, coffer.E(coffer.KindUnprocessable, "gather what stands on the backup", "more than %d backups", coffer.MaxChain).
				WithHint("delete some of the increments first")
		}
	}
	return doomed, nil
}

// liveDelete is the delete of b that is under way, or "".
func liveDelete(c conn, b coffer.Backup) (coffer.JobID, error) {
	if !b.Deleting {
		return "", nil
	}
	id, _, err := one(c, scanString, `SELECT id FROM jobs WHERE backup = ? AND kind = ? AND state IN (?, ?) ORDER BY id LIMIT 1`,
		b.ID, coffer.JobDelete, coffer.New, coffer.Building)
	return coffer.JobID(id), err
}

// markDeleting is the condition of a delete: nothing runs it, reads it or (unless
// forced) stands on it.
func markDeleting(c conn, b coffer.Backup, force bool) error {
	ok, err := c.changed(`UPDATE backups SET deleting = 1 WHERE id = ? AND deleting = 0 AND deleted = 0
		AND pins = 0 AND (refs = 0 OR ? = 1) AND state NOT IN (?, ?, ?)`,
		b.ID, flag(force), coffer.New, coffer.Building, coffer.Saving)
	if err != nil || ok {
		return err
	}
	const op = "mark the backup"
	switch {
	case b.State.Running():
		return coffer.E(coffer.KindUnprocessable, op, "backup %s is %s", b.ID, b.State).WithHint("wait for it, or cancel it")
	case b.Pins > 0:
		return coffer.E(coffer.KindConflict, op, "backup %s is being read by %d restores or verifies", b.ID, b.Pins).
			WithHint("wait for them, or cancel them")
	case b.Refs > 0 && !force:
		return coffer.E(coffer.KindConflict, op, "%d increments stand on backup %s", b.Refs, b.ID).
			WithHint("delete them first, or force the delete to take them along")
	}
	return coffer.E(coffer.KindConflict, op, "backup %s is being deleted", b.ID).WithHint("look at its delete job")
}

// Deleted says that nothing of the backup is left in its store: the row is hidden,
// its parent let go, its quota given back, its delete job COMPLETED. Again is no
// change.
func (d *DB) Deleted(ctx context.Context, backup coffer.BackupID, now time.Time) error {
	at := micros(orNow(now))
	return d.write(ctx, "note that the backup is deleted", func(c conn) error {
		b, err := backupToMove(c, backup)
		if err != nil {
			return err
		}
		ok, err := c.changed(`UPDATE backups SET deleted = 1, updated = ? WHERE id = ? AND deleting = 1 AND deleted = 0`, at, backup)
		if err != nil || (!ok && b.Deleted) {
			return err
		}
		if !ok {
			return coffer.E(coffer.KindConflict, "hide the row", "backup %s is not being deleted", backup)
		}
		if err := dropRefs(c, backup); err != nil {
			return err
		}
		if err := uncountBackup(c, b.Project); err != nil {
			return err
		}
		if _, err := c.exec(`UPDATE outbox SET due = ? WHERE due > ? AND job IN
			(SELECT id FROM jobs WHERE backup = ? AND kind = ? AND state = ?)`, at, at, b.Parent, coffer.JobDelete, coffer.New); err != nil {
			return err
		}
		return endDeletes(c, backup, coffer.Completed, Ending{Now: now})
	})
}

// DeleteFailed says that the store refused: the backup is DELETE_FAILED, visible,
// and its delete can be asked again. Deletes that waited for this one are ended
// too, and their backups are as they were.
func (d *DB) DeleteFailed(ctx context.Context, backup coffer.BackupID, e Ending) error {
	e = e.clipped()
	return d.write(ctx, "note that the delete failed", func(c conn) error {
		return deleteFailed(c, backup, e)
	})
}

func deleteFailed(c conn, backup coffer.BackupID, e Ending) error {
	ok, err := c.changed(`UPDATE backups SET state = ?, deleting = 0, error = ?, hint = ?, updated = ?
		WHERE id = ? AND deleting = 1 AND deleted = 0`, coffer.DeleteFailed, e.Error, e.Hint, micros(e.Now), backup)
	if err != nil || !ok {
		return err
	}
	if err := endDeletes(c, backup, coffer.Failed, e); err != nil {
		return err
	}
	return giveUpWaiting(c, backup, e)
}

// giveUpWaiting ends the deletes of all that the backup stands on: they wait for
// a child that stays. Nothing of theirs has been touched: a child that holds its
// parent keeps the parent's delete from being claimed. One that holds it no more,
// since it was FAILED, keeps nobody waiting.
func giveUpWaiting(c conn, backup coffer.BackupID, e Ending) error {
	e.Error = clip("backup "+string(backup)+", which stands on it, could not be deleted: "+e.Error, maxText)
	for range coffer.MaxChain {
		parent, found, err := one(c, scanString, `SELECT parent FROM backups WHERE id = ? AND holds = 1`, backup)
		if err != nil || !found || parent == "" {
			return err
		}
		backup = coffer.BackupID(parent)
		ok, err := c.changed(`UPDATE backups SET deleting = 0 WHERE id = ? AND deleting = 1 AND deleted = 0`, backup)
		if err != nil || !ok {
			return err
		}
		if err := endDeletes(c, backup, coffer.Failed, e); err != nil {
			return err
		}
	}
	return nil
}

// endDeletes ends the delete jobs of a backup that are under way.
func endDeletes(c conn, backup coffer.BackupID, to coffer.State, e Ending) error {
	jobs, err := many(c, scanString, `SELECT id FROM jobs WHERE backup = ? AND kind = ? AND state IN (?, ?) LIMIT ?`,
		backup, coffer.JobDelete, coffer.New, coffer.Building, MaxPage)
	if err != nil {
		return err
	}
	for _, id := range jobs {
		if _, err := moveToEnd(c, coffer.JobID(id), to, e, `state IN (?, ?)`, coffer.New, coffer.Building); err != nil {
			return err
		}
	}
	return nil
}
