package records

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

const instanceCols = `id, project, name, kind, agent, ds_type, ds_version, ds_version_id, status, conn,
	volume_gib, key_id, recipient, deleted, created, updated`

func scanInstance(r row) (in coffer.Instance, err error) {
	err = r.Scan(&in.ID, &in.Project, &in.Name, &in.Kind, &in.Agent, &in.Datastore.Type, &in.Datastore.Version,
		&in.Datastore.VersionID, &in.Status, document{&in.Conn}, &in.VolumeGiB, &in.Key, &in.Recipient, &in.Deleted,
		moment{&in.Created}, moment{&in.Updated})
	return in, err
}

// CreateInstance keeps a new instance. Its id is KindExists when it is taken.
func (d *DB) CreateInstance(ctx context.Context, in coffer.Instance) error {
	in.Created = orNow(in.Created)
	if in.Updated.IsZero() {
		in.Updated = in.Created
	}
	return d.write(ctx, "keep the instance", func(c conn) error { return insertInstance(c, in) })
}

// Instance is one instance of a project; deleted and foreign ones are KindNotFound.
func (d *DB) Instance(ctx context.Context, project coffer.ProjectID, id coffer.InstanceID) (coffer.Instance, error) {
	in, err := instanceOf(d.reading(ctx), project, id)
	return in, coffer.Wrap("find the instance", err)
}

// InstanceByID is one instance of any project, deleted ones too. It is for roles
// and admins.
func (d *DB) InstanceByID(ctx context.Context, id coffer.InstanceID) (coffer.Instance, error) {
	in, found, err := one(d.reading(ctx), scanInstance, `SELECT `+instanceCols+` FROM instances WHERE id = ?`, id)
	if err == nil && !found {
		err = errNoInstance(id)
	}
	return in, coffer.Wrap("find the instance", err)
}

// Instances lists a project's instances in the order of their ids, from after
// marker on.
func (d *DB) Instances(ctx context.Context, project coffer.ProjectID, marker coffer.InstanceID, limit int) ([]coffer.Instance, error) {
	out, err := many(d.reading(ctx), scanInstance, `SELECT `+instanceCols+` FROM instances
		WHERE project = ? AND deleted = 0 AND id > ? ORDER BY id LIMIT ?`, project, marker, page(limit, MaxPage))
	return out, coffer.Wrap("list instances", err)
}

// AllInstances is Instances over every project. It is for roles and admins.
func (d *DB) AllInstances(ctx context.Context, marker coffer.InstanceID, limit int) ([]coffer.Instance, error) {
	out, err := many(d.reading(ctx), scanInstance, `SELECT `+instanceCols+` FROM instances
		WHERE deleted = 0 AND id > ? ORDER BY id LIMIT ?`, marker, page(limit, MaxPage))
	return out, coffer.Wrap("list instances", err)
}

// InstancesOfAgent lists what an agent looks after.
func (d *DB) InstancesOfAgent(ctx context.Context, agent coffer.AgentID) ([]coffer.Instance, error) {
	out, err := many(d.reading(ctx), scanInstance, `SELECT `+instanceCols+` FROM instances
		WHERE agent = ? AND deleted = 0 ORDER BY id LIMIT ?`, agent, MaxAll)
	return out, coffer.Wrap("list the agent's instances", err)
}

// UpdateInstance writes an instance's name, agent, datastore, status, connection,
// volume and key. What occupies it is not among them.
func (d *DB) UpdateInstance(ctx context.Context, in coffer.Instance) error {
	connection, err := asJSON(in.Conn)
	if err != nil {
		return err
	}
	return d.write(ctx, "update the instance", func(c conn) error {
		ok, err := c.changed(`UPDATE instances SET name = ?, agent = ?, ds_type = ?, ds_version = ?, ds_version_id = ?,
			status = ?, conn = ?, volume_gib = ?, key_id = ?, recipient = ?, updated = ? WHERE id = ? AND deleted = 0`,
			in.Name, in.Agent, in.Datastore.Type, in.Datastore.Version, in.Datastore.VersionID,
			in.Status, connection, in.VolumeGiB, in.Key, in.Recipient, micros(orNow(in.Updated)), in.ID)
		if err == nil && !ok {
			err = errNoInstance(in.ID)
		}
		return err
	})
}

// DeleteInstance forgets an instance that no job occupies (KindUnprocessable).
// Its backups are kept.
func (d *DB) DeleteInstance(ctx context.Context, project coffer.ProjectID, id coffer.InstanceID) error {
	const op = "forget the instance"
	return d.write(ctx, op, func(c conn) error {
		if _, err := instanceOf(c, project, id); err != nil {
			return err
		}
		ok, err := c.changed(`UPDATE instances SET deleted = 1, updated = ? WHERE id = ? AND running = ''`, micros(time.Now()), id)
		if err == nil && !ok {
			err = coffer.E(coffer.KindUnprocessable, op, "a job runs on instance %s", id).WithHint("wait for it, or cancel it")
		}
		return err
	})
}

func insertInstance(c conn, in coffer.Instance) error {
	connection, err := asJSON(in.Conn)
	if err != nil {
		return err
	}
	_, err = c.exec(`INSERT INTO instances (id, project, name, kind, agent, ds_type, ds_version, ds_version_id, status, conn,
		volume_gib, key_id, recipient, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		in.ID, in.Project, in.Name, in.Kind, in.Agent, in.Datastore.Type, in.Datastore.Version, in.Datastore.VersionID,
		in.Status, connection, in.VolumeGiB, in.Key, in.Recipient, micros(in.Created), micros(in.Updated))
	if isTaken(err) {
		return coffer.E(coffer.KindExists, "keep the instance", "instance %s exists", in.ID)
	}
	return err
}

func instanceOf(c conn, project coffer.ProjectID, id coffer.InstanceID) (coffer.Instance, error) {
	in, found, err := one(c, scanInstance,
		`SELECT `+instanceCols+` FROM instances WHERE id = ? AND project = ? AND deleted = 0`, id, project)
	if err == nil && !found {
		err = errNoInstance(id)
	}
	return in, err
}

func errNoInstance(id coffer.InstanceID) error {
	return coffer.E(coffer.KindNotFound, "find the instance", "no instance %s", id)
}

// occupy gives the instance to one job, if it is free.
func occupy(c conn, id coffer.InstanceID, job coffer.JobID) error {
	ok, err := c.changed(`UPDATE instances SET running = ? WHERE id = ? AND running = '' AND deleted = 0`, job, id)
	if err != nil || ok {
		return err
	}
	return occupied(c, id)
}

// occupied is who has the instance, as an error.
func occupied(c conn, id coffer.InstanceID) error {
	by, _, err := one(c, scanString, `SELECT running FROM instances WHERE id = ?`, id)
	if err != nil {
		return err
	}
	return coffer.E(coffer.KindUnprocessable, "take the instance", "job %s runs on instance %s", by, id).
		WithHint("wait for it, or cancel it")
}

// vacate adds what frees whatever instance the job occupies.
func vacate(b *bundle, job coffer.JobID) {
	b.exec(`UPDATE instances SET running = '' WHERE running = ?`, job)
}

// settleInstance adds what ends the BUILD of an instance that a restore made.
func settleInstance(b *bundle, id coffer.InstanceID, status string, now time.Time) {
	b.exec(`UPDATE instances SET status = ?, updated = ? WHERE id = ? AND status = 'BUILD' AND kind = ?`,
		status, micros(now), id, coffer.Hosted)
}
