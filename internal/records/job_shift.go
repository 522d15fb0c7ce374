package records

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

// Requeue makes a verify, a delete or an import NEW again whose runner is lost: every
// step of theirs can be repeated, by anybody, also beside a runner that was stopped and
// wakes up. An import that has found its parent's own import under way is handed back so,
// too. Backups and restores are never given to another. It answers false when
// the job is not that runner's any more, or is cancelled.
func (d *DB) Requeue(ctx context.Context, job coffer.JobID, runner coffer.Runner, now time.Time) (ok bool, err error) {
	at := micros(orNow(now))
	err = d.write(ctx, "let the job be taken again", func(c conn) error {
		ok = false
		j, err := jobByID(c, job)
		if err != nil {
			return err
		}
		j.Spec.Tries++
		j.Spec.ManifestSHA256 = ""
		spec, err := asJSON(j.Spec)
		if err != nil {
			return err
		}
		ok, err = c.changed(`UPDATE jobs SET state = ?, runner = '', beat = 0, seq = 0, phase = '', lost = 0, spec = ?, updated = ?
			WHERE id = ? AND runner = ? AND runner <> '' AND state = ? AND cancel = 0 AND kind IN (?, ?, ?)`,
			coffer.New, spec, at, job, runner, coffer.Building, coffer.JobVerify, coffer.JobDelete, coffer.JobImport)
		if err != nil || !ok {
			return err
		}
		_, err = c.exec(`INSERT INTO outbox (job, due) VALUES (?, ?)`, job, at)
		return err
	})
	return ok && err == nil, err
}

// Assign names the agent that is to run a restore which nobody has claimed, unless
// it is meant for another than from by now. The row of the server to be follows.
func (d *DB) Assign(ctx context.Context, job coffer.JobID, from, to coffer.AgentID) (ok bool, err error) {
	err = d.write(ctx, "choose the restore's host", func(c conn) error {
		ok = false
		was, found, err := one(c, scanString, `SELECT spec FROM jobs WHERE id = ? AND kind = ? AND state = ? AND runner = ''`,
			job, coffer.JobRestore, coffer.New)
		if err != nil || !found {
			return err
		}
		j, err := jobByID(c, job)
		if err != nil || j.Spec.Target == nil || j.Spec.Target.Agent != from {
			return err
		}
		j.Spec.Target.Agent, j.Spec.Target.Chosen, j.Spec.ManifestSHA256 = to, true, ""
		spec, err := asJSON(j.Spec)
		if err != nil {
			return err
		}
		ok, err = c.changed(`UPDATE jobs SET spec = ? WHERE id = ? AND state = ? AND runner = '' AND spec = ?`, spec, job, coffer.New, was)
		if err != nil || !ok || !j.Spec.Target.Server() {
			return err
		}
		_, err = c.exec(`UPDATE instances SET agent = ? WHERE id = ? AND status = ? AND agent = ?`, to, j.Instance, "BUILD", from)
		return err
	})
	return ok && err == nil, err
}

// SetWaiting says in its phase what a job waits for that nobody has claimed: from
// what it said before. One of several callers is answered true.
func (d *DB) SetWaiting(ctx context.Context, job coffer.JobID, from, to string) (ok bool, err error) {
	err = d.write(ctx, "say what the job waits for", func(c conn) error {
		var err error
		ok, err = c.changed(`UPDATE jobs SET phase = ? WHERE id = ? AND state = ? AND runner = '' AND phase = ?`,
			clip(to, maxWord), job, coffer.New, from)
		return err
	})
	return ok && err == nil, err
}
