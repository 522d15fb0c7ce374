package records

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

// Claim makes runner the one runner of a NEW job, for ever: NEW → BUILDING. The
// same runner asking again gets the same answer; anybody else, and a job that is
// cancelled or further on, KindConflict. A delete cannot be claimed while other
// backups stand on its own.
func (d *DB) Claim(ctx context.Context, job coffer.JobID, runner coffer.Runner, now time.Time) (coffer.Job, error) {
	const op = "claim the job"
	at := micros(orNow(now))
	var out coffer.Job
	err := d.write(ctx, op, func(c conn) error {
		if runner == "" {
			return coffer.E(coffer.KindInvalid, op, "no runner")
		}
		ok, err := c.changed(`UPDATE jobs SET state = ?, runner = ?, updated = ?
			WHERE id = ? AND state = ? AND runner = '' AND cancel = 0
			AND (kind <> ? OR (SELECT refs FROM backups WHERE backups.id = jobs.backup) = 0)`,
			coffer.Building, runner, at, job, coffer.New, coffer.JobDelete)
		if err != nil {
			return err
		}
		if ok {
			if err := claimed(c, job, at); err != nil {
				return err
			}
		}
		if out, err = jobByID(c, job); err != nil {
			return err
		}
		return refuseClaim(out, runner)
	})
	return out, err
}

func claimed(c conn, job coffer.JobID, at int64) error {
	if _, err := c.exec(`DELETE FROM outbox WHERE job = ?`, job); err != nil {
		return err
	}
	_, err := c.exec(`UPDATE backups SET state = ?, updated = ? WHERE id = ? AND state = ?`, coffer.Building, at, job, coffer.New)
	return err
}

// refuseClaim says why runner does not own the job, or nil if it does.
func refuseClaim(j coffer.Job, runner coffer.Runner) error {
	const op = "claim the job"
	switch {
	case j.State == coffer.New && j.Cancel:
		return coffer.E(coffer.KindConflict, op, "job %s is cancelled", j.ID)
	case j.State == coffer.New:
		return coffer.E(coffer.KindConflict, op, "job %s waits for other deletes", j.ID)
	case !j.State.Running():
		return coffer.E(coffer.KindConflict, op, "job %s is %s", j.ID, j.State)
	case j.Runner != runner:
		return coffer.E(coffer.KindConflict, op, "job %s has another runner", j.ID)
	}
	return nil
}

// Grant is the commit: BUILDING → SAVING for this runner and this manifest, unless
// the job is cancelled. The same call again is granted again. granted false
// without an error is a refusal for good, and reason says why; an unknown job is
// an error and no refusal.
func (d *DB) Grant(ctx context.Context, job coffer.JobID, runner coffer.Runner, manifestSHA256 string, now time.Time) (granted bool, reason string, err error) {
	const op = "grant the commit"
	at := micros(orNow(now))
	err = d.write(ctx, op, func(c conn) error {
		if manifestSHA256 == "" || runner == "" {
			return coffer.E(coffer.KindInvalid, op, "no manifest or no runner")
		}
		if _, err := jobToMove(c, job); err != nil { // a refusal is for good: it waits for a move under way
			return err
		}
		ok, err := c.changed(`UPDATE jobs SET state = ?, manifest = ?, updated = ?
			WHERE id = ? AND runner = ? AND state = ? AND cancel = 0 AND kind = ?`,
			coffer.Saving, manifestSHA256, at, job, runner, coffer.Building, coffer.JobBackup)
		if err != nil {
			return err
		}
		if ok {
			if _, err := c.exec(`UPDATE backups SET state = ?, manifest = ?, updated = ? WHERE id = ?`,
				coffer.Saving, manifestSHA256, at, job); err != nil {
				return err
			}
		}
		j, err := jobByID(c, job)
		if err != nil {
			return err
		}
		reason = refuseGrant(j, runner, manifestSHA256)
		granted = reason == ""
		return nil
	})
	if err != nil {
		return false, "", err
	}
	return granted, reason, nil
}

// refuseGrant says why the row does not stand granted to runner, or "".
func refuseGrant(j coffer.Job, runner coffer.Runner, manifest string) string {
	switch {
	case j.Kind != coffer.JobBackup:
		return "not a backup"
	case j.Runner != runner:
		return "another runner owns the job"
	case j.Dying:
		return "the backup was given up"
	case j.State == coffer.Building:
		return "the job is cancelled"
	case j.State != coffer.Saving && j.State != coffer.Completed:
		return "the job is " + string(j.State)
	case j.Spec.ManifestSHA256 != manifest:
		return "another manifest was granted"
	}
	return ""
}

// Report applies a runner's report: beat, phase, progress, the first size and
// events, nothing else. It applies only to the job's own runner, while the job
// runs, and only if seq rises; else applied is false.
func (d *DB) Report(ctx context.Context, r Report) (applied bool, err error) {
	r.Now = orNow(r.Now)
	r.Progress.Detail = clip(r.Progress.Detail, maxText)
	progress, err := asJSON(r.Progress)
	if err != nil {
		return false, err
	}
	const op, update = "apply the report", `UPDATE jobs SET seq = ?, progress = ?,
		beat = CASE WHEN beat < ? THEN ? ELSE beat END,
		phase = CASE WHEN ? = '' THEN phase ELSE ? END
		WHERE id = ? AND runner = ? AND runner <> '' AND seq < ? AND state IN (?, ?)`
	phase := clip(r.Phase, maxWord)
	args := []any{
		counter(r.Seq), progress, counter(r.Beat), counter(r.Beat), phase, phase,
		r.Job, r.Runner, counter(r.Seq), coffer.Building, coffer.Saving,
	}
	if r.Data <= 0 && len(r.Events) == 0 {
		return d.writeOne(ctx, op, update, args...)
	}
	err = d.write(ctx, op, func(c conn) error {
		var err error
		if applied, err = c.changed(update, args...); err != nil || !applied {
			return err
		}
		if r.Data > 0 {
			if _, err := c.exec(`UPDATE backups SET data_bytes = ? WHERE id = ? AND data_bytes = 0`, r.Data, r.Job); err != nil {
				return err
			}
		}
		return addEvents(c, r.Job, r.Events, r.Now)
	})
	return applied && err == nil, err
}

// MarkLost says that the job's runner is gone: the instance is free at once. The
// job itself goes on to an end that a rescuer finds.
func (d *DB) MarkLost(ctx context.Context, job coffer.JobID, _ time.Time) error {
	return d.write(ctx, "mark the runner lost", func(c conn) error {
		ok, err := c.changed(`UPDATE jobs SET lost = 1 WHERE id = ? AND state IN (?, ?)`, job, coffer.Building, coffer.Saving)
		if err != nil || !ok {
			return err
		}
		return vacate(c, job)
	})
}
