package records

import (
	"context"
	"strings"
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
	m := move{
		job: job, to: coffer.Completed, e: Ending{Now: done.Now, Events: done.Events},
		condition: `kind = ? AND dying = 0 AND state IN (?, ?)`, args: []any{coffer.JobBackup, coffer.Saving, coffer.Building},
	}
	var newest *answer[int64]
	m.also = func(b *bundle) {
		of := strings.Replace(newestOf, `?`, `(SELECT instance FROM jobs WHERE jobs.id = ?)`, 1)
		newest = ask(b, scanInt, of, job, coffer.Completed)
	}
	m.check = func(j coffer.Job) error {
		if granted := j.Spec.ManifestSHA256; granted != "" && granted != done.Manifest {
			return coffer.E(coffer.KindCorrupt, "compare the manifest", "manifest %s was granted, %s is there", granted, done.Manifest)
		}
		return nil
	}
	m.missed = func(j coffer.Job) bool { return j.Kind == coffer.JobBackup && j.State == coffer.Completed }
	m.done = func(_ conn, b *bundle, j coffer.Job) error {
		last, found := newest.first()
		return completeRow(b, j, done, afterAll(micros(done.Now), last, found))
	}
	return d.end(ctx, "write COMPLETED", m)
}

// newestOf asks when an instance's newest COMPLETED backup ended.
const newestOf = `SELECT ended FROM backups WHERE instance = ? AND state = ? ORDER BY ended DESC LIMIT 1`

// afterAll is a time for the end of an instance's backup: at, or just after the
// newest that is COMPLETED, if the clock by which that ended was ahead. The next
// increment stands on the newest.
func afterAll(at, newest int64, found bool) int64 {
	if !found {
		return at
	}
	return max(at, newest+1)
}

// completeBackup is completeRow within a transaction that goes on.
func completeBackup(c conn, j coffer.Job, done Completion) error {
	last, found, err := one(c, scanInt, newestOf, j.Instance, coffer.Completed)
	if err != nil {
		return err
	}
	b := &bundle{}
	if err := completeRow(b, j, done, afterAll(micros(done.Now), last, found)); err != nil {
		return err
	}
	return c.together(b)
}

// completeRow adds what makes a backup COMPLETED at a time.
func completeRow(b *bundle, j coffer.Job, done Completion, at int64) error {
	ds := done.Datastore
	pos, err := asJSON(done.Position)
	if err != nil {
		return err
	}
	ended := at
	if !done.Ended.IsZero() {
		ended = micros(done.Ended)
	}
	size, args := ``, []any{coffer.Completed, at, ended}
	if done.Sizes.Data > 0 {
		size, args = `data_bytes = ?, `, append(args, done.Sizes.Data)
	}
	b.exec(`UPDATE backups SET state = ?, updated = ?, ended = ?, error = '', hint = '', `+size+`
		plain_bytes = ?, stored_bytes = ?,
		pos = ?, manifest = ?, location = ?, checksum = ?, key_id = ?, method = ?,
		type = CASE WHEN ? = '' THEN type ELSE ? END,
		store = CASE WHEN ? = '' THEN store ELSE ? END,
		ds_type = CASE WHEN ? = '' THEN ds_type ELSE ? END,
		ds_version = CASE WHEN ? = '' THEN ds_version ELSE ? END,
		ds_version_id = CASE WHEN ? = '' THEN ds_version_id ELSE ? END
		WHERE id = ?`,
		append(args, done.Sizes.Plain, done.Sizes.Stored,
			pos, done.Manifest, done.Location, done.Checksum, done.Key, done.Method,
			done.Type, done.Type, done.Store, done.Store,
			ds.Type, ds.Type, ds.Version, ds.Version, ds.VersionID, ds.VersionID, j.ID)...)
	return nil
}

// Fail ends a job FAILED: a backup that is NEW or BUILDING, never one whose commit
// was granted; of the other kinds any that runs. With a runner, only that runner's.
func (d *DB) Fail(ctx context.Context, job coffer.JobID, runner coffer.Runner, e Ending) (bool, error) {
	m := failing(job, e.clipped(), `state IN (?, ?) AND (? = '' OR runner = ?)`, coffer.New, coffer.Building, runner, runner)
	m.missed = func(j coffer.Job) bool { return j.State == coffer.Failed && (runner == "" || j.Runner == runner) }
	return d.end(ctx, "write FAILED", m)
}

// Doom lets the verdict FAILED fall on a backup whose commit was granted, before
// its tombstone is written. From then on it cannot become COMPLETED.
func (d *DB) Doom(ctx context.Context, job coffer.JobID, _ time.Time) (dying bool, err error) {
	err = d.write(ctx, "write the verdict", func(c conn) error {
		j, err := jobToMove(c, job)
		if err != nil {
			return err
		}
		dying, err = c.changed(`UPDATE jobs SET dying = 1 WHERE id = ? AND state = ? AND dying = 0`, job, coffer.Saving)
		if err != nil {
			return err
		}
		if !dying {
			dying = j.Dying
			return nil
		}
		_, err = c.exec(`UPDATE backups SET dying = 1 WHERE id = ?`, job)
		return err
	})
	return dying && err == nil, err
}

// FailDoomed ends a dying backup FAILED, whatever a later look at the store finds.
func (d *DB) FailDoomed(ctx context.Context, job coffer.JobID, e Ending) (bool, error) {
	m := failing(job, e.clipped(), `state = ? AND dying = 1`, coffer.Saving)
	m.missed = func(j coffer.Job) bool { return j.State == coffer.Failed && j.Dying }
	return d.end(ctx, "write FAILED", m)
}

// Finish ends a restore, verify or delete well.
func (d *DB) Finish(ctx context.Context, job coffer.JobID, now time.Time) (bool, error) {
	e := Ending{Now: orNow(now)}
	return d.end(ctx, "write COMPLETED", move{
		job: job, to: coffer.Completed, e: e, condition: `state = ? AND kind <> ?`, args: []any{coffer.Building, coffer.JobBackup},
		missed: func(j coffer.Job) bool { return j.Kind != coffer.JobBackup && j.State == coffer.Completed },
		done: func(_ conn, b *bundle, j coffer.Job) error {
			if j.Kind == coffer.JobRestore {
				settleInstance(b, j.Instance, "ACTIVE", e.Now)
			}
			return nil
		},
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
			ended, err := carryMove(c, j, failing(job, e, `state = ? AND runner = ''`, coffer.New))
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
