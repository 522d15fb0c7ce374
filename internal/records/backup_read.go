package records

import (
	"context"
	"strings"

	"github.com/cofferdb/coffer"
)

const backupCols = `id, project, instance, name, description, state, parent, root, depth, type, method,
	ds_type, ds_version, ds_version_id, store, container, location, checksum, manifest, key_id, pos,
	data_bytes, plain_bytes, stored_bytes, refs, pins, dying, deleting, deleted,
	verified_at, verified_ok, verified_text, error, hint, origin, created, updated, ended`

func scanBackup(r row) (b coffer.Backup, err error) {
	err = r.Scan(&b.ID, &b.Project, &b.Instance, &b.Name, &b.Description, &b.State, &b.Parent, &b.Root, &b.Depth, &b.Type, &b.Method,
		&b.Datastore.Type, &b.Datastore.Version, &b.Datastore.VersionID, &b.Store, &b.Container, &b.Location, &b.Checksum,
		&b.Manifest, &b.Key, document{&b.Position},
		&b.Sizes.Data, &b.Sizes.Plain, &b.Sizes.Stored, &b.Refs, &b.Pins, &b.Dying, &b.Deleting, &b.Deleted,
		moment{&b.Verified.At}, &b.Verified.OK, &b.Verified.Text, &b.Error, &b.Hint, &b.Origin,
		moment{&b.Created}, moment{&b.Updated}, moment{&b.Ended})
	return b, err
}

// Backup is one backup of a project; deleted and foreign ones are KindNotFound.
func (d *DB) Backup(ctx context.Context, project coffer.ProjectID, id coffer.BackupID) (coffer.Backup, error) {
	b, err := backupOf(d.reading(ctx), project, id)
	return b, coffer.Wrap("find the backup", err)
}

// BackupByID is one backup of any project, deleted ones too. It is for roles and
// admins.
func (d *DB) BackupByID(ctx context.Context, id coffer.BackupID) (coffer.Backup, error) {
	b, found, err := one(d.reading(ctx), scanBackup, `SELECT `+backupCols+` FROM backups WHERE id = ?`, id)
	if err == nil && !found {
		err = errNoBackup(id)
	}
	return b, coffer.Wrap("find the backup", err)
}

// Backups lists backups, the last updated first.
func (d *DB) Backups(ctx context.Context, f BackupFilter) ([]coffer.Backup, error) {
	where, args := []string{`deleted = 0`}, []any{}
	if !f.All {
		where, args = append(where, `project = ?`), append(args, f.Project)
	}
	if f.Instance != "" {
		where, args = append(where, `instance = ?`), append(args, f.Instance)
	}
	if f.Datastore != "" {
		where, args = append(where, `(ds_type = ? OR ds_version_id = ?)`), append(args, f.Datastore, f.Datastore)
	}
	args = append(args, page(f.Limit, MaxPage), max(0, f.Offset))
	// The inner query walks an index; only the page's own rows are read.
	out, err := many(d.reading(ctx), scanBackup, `SELECT `+backupCols+` FROM backups WHERE id IN (SELECT id FROM (
		SELECT id FROM backups WHERE `+strings.Join(where, ` AND `)+` ORDER BY updated DESC, id LIMIT ? OFFSET ?) AS page)
		ORDER BY updated DESC, id`, args...)
	return out, coffer.Wrap("list backups", err)
}

// Chain is the backup and all that it stands on, the full first. A link that is
// missing is KindCorrupt. Whether the chain can be restored is for
// coffer.CheckChain.
func (d *DB) Chain(ctx context.Context, project coffer.ProjectID, id coffer.BackupID) ([]coffer.Backup, error) {
	chain, err := chainOf(d.reading(ctx), project, id)
	return chain, coffer.Wrap("follow the chain", err)
}

// Children are the backups that were taken onto id and are not deleted.
func (d *DB) Children(ctx context.Context, id coffer.BackupID) ([]coffer.Backup, error) {
	out, err := childrenOf(d.reading(ctx), id)
	return out, coffer.Wrap("list the children", err)
}

func backupOf(c conn, project coffer.ProjectID, id coffer.BackupID) (coffer.Backup, error) {
	b, found, err := one(c, scanBackup,
		`SELECT `+backupCols+` FROM backups WHERE id = ? AND project = ? AND deleted = 0`, id, project)
	if err == nil && !found {
		err = errNoBackup(id)
	}
	return b, err
}

// backupToMove is a backup of any project, deleted ones too, for a transaction that
// decides by what it reads: nobody else changes it until its end.
func backupToMove(c conn, id coffer.BackupID) (coffer.Backup, error) {
	b, found, err := one(c, scanBackup, `SELECT `+backupCols+` FROM backups WHERE id = ?`+c.forUpdate, id)
	if err == nil && !found {
		err = errNoBackup(id)
	}
	return b, err
}

func errNoBackup(id coffer.BackupID) error {
	return coffer.E(coffer.KindNotFound, "find the backup", "no backup %s", id)
}

func chainOf(c conn, project coffer.ProjectID, id coffer.BackupID) ([]coffer.Backup, error) {
	const op = "follow the chain"
	b, err := backupOf(c, project, id)
	if err != nil {
		return nil, err
	}
	up := []coffer.Backup{b}
	for b.Parent != "" {
		if len(up) >= coffer.MaxChain {
			return nil, coffer.E(coffer.KindCorrupt, op, "the chain of %s does not end", id)
		}
		parent := b.Parent
		b, err = backupOf(c, project, parent)
		if coffer.IsKind(err, coffer.KindNotFound) {
			return nil, coffer.E(coffer.KindCorrupt, op, "backup %s, which %s stands on, is missing", parent, up[len(up)-1].ID).
				WithHint("take a full backup; this chain cannot be restored")
		}
		if err != nil {
			return nil, err
		}
		up = append(up, b)
	}
	for i, j := 0, len(up)-1; i < j; i, j = i+1, j-1 {
		up[i], up[j] = up[j], up[i]
	}
	return up, nil
}

func childrenOf(c conn, id coffer.BackupID) ([]coffer.Backup, error) {
	return many(c, scanBackup, `SELECT `+backupCols+` FROM backups WHERE parent = ? AND deleted = 0 ORDER BY id LIMIT ?`,
		id, coffer.MaxChain+1)
}
