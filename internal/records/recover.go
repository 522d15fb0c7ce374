package records

import (
	"context"

	"github.com/cofferdb/coffer"
)

// Recover makes rows of backups that a store tells of, in one transaction, each with
// its ended job. A row that exists, a deleted one too, knows more than the store and
// stays as it is: so it may be asked again, and known counts those. Children and
// parents may come in any order; each child that is good holds its parent.
func (d *DB) Recover(ctx context.Context, all []coffer.Backup) (known int, err error) {
	err = d.write(ctx, "recover backups", func(c conn) error {
		known = 0
		for _, b := range all {
			_, found, err := one(c, scanString, `SELECT id FROM backups WHERE id = ?`, b.ID)
			if err != nil {
				return err
			}
			if found {
				known++
				continue
			}
			if err := recoverOne(c, b); err != nil {
				return err
			}
		}
		return nil
	})
	return known, err
}

func recoverOne(c conn, b coffer.Backup) error {
	children, err := childrenToHold(c, b.ID)
	if err != nil {
		return err
	}
	held := false
	if b.Parent != "" && b.State.Usable() {
		if held, err = c.changed(`UPDATE backups SET refs = refs + 1 WHERE id = ? AND deleted = 0`, b.Parent); err != nil {
			return err
		}
	}
	if err := countBackup(c, b.Project, countAll); err != nil {
		return err
	}
	if err := insertRecovered(c, b, len(children), held); err != nil {
		return err
	}
	for _, id := range children {
		if _, err := c.exec(`UPDATE backups SET holds = 1 WHERE id = ?`, id); err != nil {
			return err
		}
	}
	return recordPlace(c, Place{b.Project, b.Store, b.Container})
}

// childrenToHold are the good backups that came before their parent.
func childrenToHold(c conn, id coffer.BackupID) ([]string, error) {
	return many(c, scanString, `SELECT id FROM backups WHERE parent = ? AND deleted = 0 AND holds = 0 AND state IN (?, ?) ORDER BY id LIMIT ?`,
		id, coffer.Completed, coffer.Restored, coffer.MaxChain+1)
}

// insertRecovered writes the two rows. Nothing is swept of a backup that is FAILED
// because something of it is missing: its manifest stands.
func insertRecovered(c conn, b coffer.Backup, refs int, held bool) error {
	pos, err := asJSON(b.Position)
	if err != nil {
		return err
	}
	var at int64
	if !b.Verified.At.IsZero() {
		at = micros(b.Verified.At)
	}
	created, ended := micros(b.Created), micros(b.Ended)
	reason, hint := clip(b.Error, maxText), clip(b.Hint, maxText)
	if _, err := c.exec(`INSERT INTO backups (id, project, instance, name, description, state, parent, root, depth, type, method,
		ds_type, ds_version, ds_version_id, store, container, location, checksum, manifest, key_id, pos,
		data_bytes, plain_bytes, stored_bytes, refs, holds, verified_at, verified_ok, verified_text, error, hint, created, updated, ended)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		b.ID, b.Project, b.Instance, b.Name, b.Description, b.State, b.Parent, b.Root, b.Depth, b.Type, b.Method,
		b.Datastore.Type, b.Datastore.Version, b.Datastore.VersionID, b.Store, b.Container, b.Location, b.Checksum, b.Manifest, b.Key, pos,
		b.Sizes.Data, b.Sizes.Plain, b.Sizes.Stored, refs, flag(held), at, flag(b.Verified.OK), clip(b.Verified.Text, maxText),
		reason, hint, created, ended, ended); err != nil {
		return err
	}
	kind := coffer.Kind("")
	if b.State == coffer.Failed {
		kind = coffer.KindCorrupt
	}
	_, err = c.exec(`INSERT INTO jobs (id, kind, project, instance, backup, state, phase, err_kind, error, hint, manifest, created, updated, ended)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		b.ID, coffer.JobBackup, b.Project, b.Instance, b.ID, b.State, "recovered", kind, reason, hint, b.Manifest, created, ended, ended)
	return err
}
