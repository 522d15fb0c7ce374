package records

import (
	"context"

	"github.com/cofferdb/coffer"
)

// CreateJob makes a restore, a verify or a delete, with its bell, in one
// transaction. A restore or verify pins the whole chain. A delete marks the backup
// (and, forced, all that stands on it, each with a job of its own); asked again
// while one is under way it gives that one.
func (d *DB) CreateJob(ctx context.Context, n NewJob) (coffer.Job, error) {
	n.Now = orNow(n.Now)
	id := coffer.JobID(coffer.NewUUID())
	var out coffer.Job
	err := d.write(ctx, "create the job", func(c conn) error {
		made, err := createJob(c, id, n)
		if err != nil {
			return err
		}
		out, err = jobByID(c, made)
		return err
	})
	return out, err
}

func createJob(c conn, id coffer.JobID, n NewJob) (coffer.JobID, error) {
	switch n.Kind {
	case coffer.JobRestore:
		return id, createRestore(c, id, n)
	case coffer.JobVerify:
		return id, createVerify(c, id, n)
	case coffer.JobDelete:
		return createDelete(c, id, n)
	}
	return "", coffer.E(coffer.KindInvalid, "choose what to do", "a job of kind %q is not made this way", n.Kind)
}

func createVerify(c conn, id coffer.JobID, n NewJob) error {
	chain, err := pinChain(c, id, n)
	if err != nil {
		return err
	}
	n.Instance = chain[len(chain)-1].Instance
	return insertJob(c, n.job(id))
}

func createRestore(c conn, id coffer.JobID, n NewJob) error {
	t := n.Spec.Target
	if t == nil {
		return coffer.E(coffer.KindInvalid, "read the restore's target", "a restore needs a target")
	}
	chain, err := pinChain(c, id, n)
	if err != nil {
		return err
	}
	if t.Server() {
		if n.Instance == "" {
			n.Instance = coffer.InstanceID(coffer.NewUUID())
		}
		if err := hostInstance(c, id, n, chain[len(chain)-1]); err != nil {
			return err
		}
	}
	return insertJob(c, n.job(id))
}

// hostInstance makes the row of the server that a restore will start, occupied by
// that restore. A row that was laid down before, for its data key, is taken.
func hostInstance(c conn, id coffer.JobID, n NewJob, b coffer.Backup) error {
	_, err := instanceOf(c, n.Project, n.Instance)
	if err == nil {
		return occupy(c, n.Instance, id)
	}
	if !coffer.IsKind(err, coffer.KindNotFound) {
		return err
	}
	name := n.Spec.Target.Name
	if name == "" {
		name = b.Name
	}
	if err := insertInstance(c, coffer.Instance{
		ID: n.Instance, Project: n.Project, Name: name, Kind: coffer.Hosted, Agent: n.Spec.Target.Agent,
		Datastore: b.Datastore, Status: "BUILD", Created: n.Now, Updated: n.Now,
	}); err != nil {
		return err
	}
	return occupy(c, n.Instance, id)
}

// pinChain holds every link of the backup's chain for the job and remembers which.
func pinChain(c conn, id coffer.JobID, n NewJob) ([]coffer.Backup, error) {
	// A failed increment holds nothing, so its parent may be gone: say what is wrong
	// with the backup itself first.
	b, err := backupOf(c, n.Project, n.Backup)
	if err != nil {
		return nil, err
	}
	if !b.State.Usable() {
		return nil, coffer.E(coffer.KindConflict, "hold the chain", "backup %s is %s", b.ID, b.State).
			WithHint("wait for it, or choose another backup")
	}
	chain, err := chainOf(c, n.Project, n.Backup)
	if err != nil {
		return nil, err
	}
	if err := coffer.CheckChain(chain); err != nil {
		return nil, err
	}
	for _, b := range chain {
		ok, err := c.changed(`UPDATE backups SET pins = pins + 1 WHERE id = ? AND state IN (?, ?) AND deleting = 0 AND deleted = 0`,
			b.ID, coffer.Completed, coffer.Restored)
		if err == nil && !ok {
			err = coffer.E(coffer.KindConflict, "hold the chain", "backup %s is being deleted", b.ID).WithHint("choose another backup")
		}
		if err != nil {
			return nil, err
		}
		if _, err := c.exec(`INSERT INTO pins (job, backup) VALUES (?, ?)`, id, b.ID); err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// unpin lets go of whatever the job holds; again is no change.
func unpin(c conn, job coffer.JobID) error {
	held, err := many(c, scanString, `SELECT backup FROM pins WHERE job = ? LIMIT ?`, job, coffer.MaxChain+1)
	if err != nil {
		return err
	}
	for _, b := range held {
		ok, err := c.changed(`DELETE FROM pins WHERE job = ? AND backup = ?`, job, b)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if _, err := c.exec(`UPDATE backups SET pins = pins - 1 WHERE id = ?`, b); err != nil {
			return err
		}
	}
	return nil
}

func (n NewJob) job(id coffer.JobID) coffer.Job {
	return coffer.Job{ID: id, Kind: n.Kind, Project: n.Project, Instance: n.Instance, Backup: n.Backup, Spec: n.Spec, Created: n.Now}
}

// insertJob writes a NEW job and its bell, to be rung at once.
func insertJob(c conn, j coffer.Job) error {
	b := &bundle{}
	if err := jobRows(b, j); err != nil {
		return err
	}
	return c.together(b)
}

// jobRows adds what insertJob writes.
func jobRows(b *bundle, j coffer.Job) error {
	j.Spec.ManifestSHA256 = ""
	spec, err := asJSON(j.Spec)
	if err != nil {
		return err
	}
	now := micros(j.Created)
	b.exec(`INSERT INTO jobs (id, kind, project, instance, backup, state, spec, created, updated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, j.ID, j.Kind, j.Project, j.Instance, j.Backup, coffer.New, spec, now, now)
	b.exec(`INSERT INTO outbox (job, due) VALUES (?, ?)`, j.ID, now)
	return nil
}
