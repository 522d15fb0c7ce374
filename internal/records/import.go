package records

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

// NewImport is a backup of Trove's that is to be brought in. Nothing of it is believed
// before its import has read it.
type NewImport struct {
	ID          coffer.BackupID // "" makes one
	Project     coffer.ProjectID
	Instance    coffer.InstanceID // "" where it is not known
	Name        string
	Description *string
	Parent      coffer.BackupID // as the asker knows it; "" leaves it to the object's own word
	Datastore   coffer.Datastore
	Store       string
	Container   string
	Location    string // Trove's locationRef
	Checksum    string // as Trove recorded it; "" is not known
	Size        int64  // Sizes.Data: what Trove says was used on the data filesystem
	Created     time.Time
	Quota       int // as of NewBackup
	Now         time.Time
}

// CreateImport makes a NEW backup and the job that reads it. A backup of the project that
// was brought in from the same place before, or has the same id, is given instead, with
// made false: also a deleted one. One that is FAILED is tried again. An id that is another
// backup's is KindExists.
func (d *DB) CreateImport(ctx context.Context, n NewImport) (b coffer.Backup, made bool, err error) {
	n.Now = orNow(n.Now)
	if n.Created.IsZero() {
		n.Created = n.Now
	}
	fresh := coffer.BackupID(coffer.NewUUID())
	err = d.write(ctx, "create the import", func(c conn) error {
		known, err := imported(c, n)
		if err != nil {
			return err
		}
		id := n.ID
		switch {
		case known != nil:
			id = known.ID
			made, err = reviveImport(c, *known, n)
		default:
			if id == "" {
				id = fresh
			}
			made, err = true, insertImport(c, id, n)
		}
		if err != nil {
			return err
		}
		b, _, err = one(c, scanBackup, `SELECT `+backupCols+` FROM backups WHERE id = ?`, id)
		return err
	})
	return b, made && err == nil, err
}

// imported is the backup that an import from there has made before, or nil.
func imported(c conn, n NewImport) (*coffer.Backup, error) {
	if n.ID != "" {
		b, found, err := one(c, scanBackup, `SELECT `+backupCols+` FROM backups WHERE id = ?`, n.ID)
		if err != nil {
			return nil, err
		}
		if found && (b.Project != n.Project || b.Origin != coffer.OriginTrove || b.Location != n.Location) {
			return nil, coffer.E(coffer.KindExists, "look for the backup's id", "the id %s is another backup's", n.ID)
		}
		if found {
			return &b, nil
		}
	}
	b, found, err := one(c, scanBackup, `SELECT `+backupCols+` FROM backups
		WHERE project = ? AND origin = ? AND location = ? AND deleted = 0 ORDER BY id LIMIT 1`,
		n.Project, coffer.OriginTrove, n.Location)
	if err != nil || !found {
		return nil, err
	}
	return &b, nil
}

func insertImport(c conn, id coffer.BackupID, n NewImport) error {
	if err := countBackup(c, n.Project, n.Quota); err != nil {
		return err
	}
	kind := "full"
	if n.Parent != "" {
		kind = "incremental"
	}
	if _, err := c.exec(`INSERT INTO backups (id, project, instance, name, description, state, parent, root, type,
		ds_type, ds_version, ds_version_id, store, container, location, checksum, data_bytes, origin, created, updated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		id, n.Project, n.Instance, n.Name, n.Description, coffer.New, n.Parent, id, kind,
		n.Datastore.Type, n.Datastore.Version, n.Datastore.VersionID, n.Store, n.Container, n.Location, n.Checksum,
		n.Size, coffer.OriginTrove, micros(n.Created), micros(n.Now)); err != nil {
		return err
	}
	return insertJob(c, coffer.Job{
		ID: coffer.JobID(id), Kind: coffer.JobImport, Project: n.Project, Instance: n.Instance, Backup: id, Created: n.Now,
	})
}

// reviveImport lets a failed import be tried again, under its own id: it has written
// nothing anywhere.
func reviveImport(c conn, b coffer.Backup, n NewImport) (bool, error) {
	if b.State != coffer.Failed || b.Deleting || b.Deleted {
		return false, nil
	}
	parent := b.Parent
	if n.Parent != "" {
		parent = n.Parent
	}
	ok, err := c.changed(`UPDATE backups SET state = ?, parent = ?, store = ?, error = '', hint = '', updated = ?, ended = 0
		WHERE id = ? AND state = ? AND deleting = 0 AND deleted = 0`, coffer.New, parent, n.Store, micros(n.Now), b.ID, coffer.Failed)
	if err != nil || !ok {
		return false, err
	}
	if _, err := c.exec(`UPDATE jobs SET state = ?, runner = '', beat = 0, seq = 0, phase = '', cancel = 0, lost = 0,
		err_kind = '', error = '', hint = '', spec = '', updated = ?, ended = 0 WHERE id = ? AND kind = ?`,
		coffer.New, micros(n.Now), b.ID, coffer.JobImport); err != nil {
		return false, err
	}
	_, err = c.exec(`INSERT INTO outbox (job, due) VALUES (?, ?)`, b.ID, micros(n.Now))
	return true, err
}

// SetImportParent notes what the object itself says that it stands on, once. A parent
// that stands on the backup in turn is KindCorrupt.
func (d *DB) SetImportParent(ctx context.Context, job coffer.JobID, runner coffer.Runner, parent coffer.BackupID) (ok bool, err error) {
	const op = "note the import's parent"
	err = d.write(ctx, op, func(c conn) error {
		ok = false
		j, err := jobToMove(c, job)
		if err != nil || j.Kind != coffer.JobImport || j.State != coffer.Building || j.Runner != runner {
			return err
		}
		above := string(parent)
		for range coffer.MaxChain {
			if above == "" {
				ok, err = c.changed(`UPDATE backups SET parent = ?, type = 'incremental' WHERE id = ? AND parent = ''`, parent, j.Backup)
				return err
			}
			if above == string(j.Backup) {
				break
			}
			if above, _, err = one(c, scanString, `SELECT parent FROM backups WHERE id = ?`, above); err != nil {
				return err
			}
		}
		return coffer.E(coffer.KindCorrupt, op, "backup %s stands on itself", j.Backup).
			WithHint("the objects' metadata was changed: name the parent yourself")
	})
	return ok && err == nil, err
}

// CompleteImport moves an import that was read and found good to COMPLETED, for this
// runner, and holds its parent.
func (d *DB) CompleteImport(ctx context.Context, job coffer.JobID, runner coffer.Runner, done Completion) (bool, error) {
	done.Now = orNow(done.Now)
	var ok bool
	err := d.write(ctx, "write COMPLETED", func(c conn) error {
		ok = false
		j, err := jobToMove(c, job)
		if err != nil {
			return err
		}
		if j.State == coffer.Completed && j.Runner == runner {
			ok = true
			return nil
		}
		moved, err := moveToEnd(c, job, coffer.Completed, Ending{Now: done.Now}, `kind = ? AND runner = ? AND state = ?`,
			coffer.JobImport, runner, coffer.Building)
		if err != nil || !moved {
			return err
		}
		ok = true
		return completeImport(c, j, done)
	})
	return ok && err == nil, err
}

func completeImport(c conn, j coffer.Job, done Completion) error {
	b, err := backupToMove(c, j.Backup)
	if err != nil {
		return err
	}
	root, depth := b.ID, 0
	if b.Parent != "" {
		parent, err := backupOf(c, b.Project, b.Parent)
		if err != nil {
			return err
		}
		held, err := raiseRefs(c, parent)
		if err != nil {
			return err
		}
		if !held {
			return coffer.E(coffer.KindConflict, "hold the parent", "backup %s is %s, or being deleted", parent.ID, parent.State).
				WithHint("bring the parent in, then this one again")
		}
		root, depth = parent.Root, parent.Depth+1
	}
	if err := completeBackup(c, j, done); err != nil {
		return err
	}
	_, err = c.exec(`UPDATE backups SET root = ?, depth = ?, holds = ?, ended = created, verified_at = ?, verified_ok = 1, verified_text = ? WHERE id = ?`,
		root, depth, flag(b.Parent != ""), micros(done.Now), "read to its end when it was brought in", b.ID)
	return err
}
