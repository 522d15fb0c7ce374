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
	if runner == "" {
		return coffer.Job{}, coffer.E(coffer.KindInvalid, op, "no runner")
	}
	var row *answer[coffer.Job]
	err := d.bundled(ctx, op, func(b *bundle) {
		b.exec(`UPDATE jobs SET state = ?, runner = ?, updated = ?
			WHERE id = ? AND state = ? AND runner = '' AND cancel = 0
			AND (kind <> ? OR (SELECT refs FROM backups WHERE backups.id = jobs.backup) = 0)`,
			coffer.Building, runner, at, job, coffer.New, coffer.JobDelete)
		// Where the job is not this runner's by now, what follows changes nothing.
		const mine = `EXISTS (SELECT 1 FROM jobs WHERE jobs.id = ? AND runner = ? AND jobs.state = ?)`
		b.exec(`DELETE FROM outbox WHERE job = ? AND `+mine, job, job, runner, coffer.Building)
		b.exec(`UPDATE backups SET state = ?, updated = ? WHERE id = ? AND state = ? AND `+mine,
			coffer.Building, at, job, coffer.New, job, runner, coffer.Building)
		row = ask(b, scanJob, `SELECT `+jobCols+` FROM jobs WHERE id = ?`, job)
	})
	if err != nil {
		return coffer.Job{}, err
	}
	out, found := row.first()
	if !found {
		return out, coffer.Wrap(op, errNoJob(job))
	}
	return out, refuseClaim(out, runner)
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
	if manifestSHA256 == "" || runner == "" {
		return false, "", coffer.E(coffer.KindInvalid, op, "no manifest or no runner")
	}
	var row *answer[coffer.Job]
	err = d.bundled(ctx, op, func(b *bundle) {
		// A refusal is for good: it waits for a move under way.
		ask(b, scanString, `SELECT id FROM jobs WHERE id = ?`+d.forUpdate, job)
		b.exec(`UPDATE jobs SET state = ?, manifest = ?, updated = ?
			WHERE id = ? AND runner = ? AND state = ? AND cancel = 0 AND kind = ?`,
			coffer.Saving, manifestSHA256, at, job, runner, coffer.Building, coffer.JobBackup)
		b.exec(`UPDATE backups SET state = ?, manifest = ?, updated = ? WHERE id = ? AND state <> ?
			AND EXISTS (SELECT 1 FROM jobs WHERE jobs.id = ? AND runner = ? AND jobs.state = ? AND jobs.manifest = ? AND jobs.kind = ?)`,
			coffer.Saving, manifestSHA256, at, job, coffer.Saving, job, runner, coffer.Saving, manifestSHA256, coffer.JobBackup)
		row = ask(b, scanJob, `SELECT `+jobCols+` FROM jobs WHERE id = ?`, job)
	})
	if err != nil {
		return false, "", err
	}
	j, found := row.first()
	if !found {
		return false, "", coffer.Wrap(op, errNoJob(job))
	}
	reason = refuseGrant(j, runner, manifestSHA256)
	return reason == "", reason, nil
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
		b := &bundle{}
		move := b.exec(update, args...)
		if r.Data > 0 {
			b.exec(`UPDATE backups SET data_bytes = ? WHERE id = ? AND data_bytes = 0
				AND EXISTS (SELECT 1 FROM jobs WHERE jobs.id = ? AND runner = ? AND seq = ? AND jobs.state IN (?, ?))`,
				r.Data, r.Job, r.Job, r.Runner, counter(r.Seq), coffer.Building, coffer.Saving)
		}
		last := lastEvent(b, r.Job, c)
		if err := c.together(b); err != nil {
			return err
		}
		if applied = move.held(); !applied {
			return nil
		}
		b = &bundle{}
		if err := addEvents(b, r.Job, last, r.Events, r.Now); err != nil {
			return err
		}
		return c.last(b)
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
		b := &bundle{}
		vacate(b, job)
		return c.last(b)
	})
}
