package records

import (
	"context"

	"github.com/cofferdb/coffer"
)

// FailedBackups lists, by id from after on, the backups that failed and of which
// something may still be in their store. Deleted rows are among them: a runner that
// was stopped may yet wake up.
func (d *DB) FailedBackups(ctx context.Context, after coffer.BackupID, limit int) ([]coffer.Backup, error) {
	out, err := many(d.reading(ctx), scanBackup, `SELECT `+backupCols+` FROM backups WHERE sweep = 1 AND id > ? ORDER BY id LIMIT ?`,
		after, page(limit, MaxPage))
	return out, coffer.Wrap("list failed backups", err)
}

// Swept says that nothing of a failed backup is left, and nothing can come.
func (d *DB) Swept(ctx context.Context, backup coffer.BackupID) error {
	return d.write(ctx, "note that the backup is swept", func(c conn) error {
		_, err := c.exec(`UPDATE backups SET sweep = 0 WHERE id = ?`, backup)
		return err
	})
}

// SetVerdict keeps the latest statement about a backup's stored bytes.
func (d *DB) SetVerdict(ctx context.Context, backup coffer.BackupID, v coffer.Verdict) error {
	return d.write(ctx, "keep the verdict", func(c conn) error {
		ok, err := c.changed(`UPDATE backups SET verified_at = ?, verified_ok = ?, verified_text = ? WHERE id = ? AND deleted = 0`,
			micros(orNow(v.At)), flag(v.OK), clip(v.Text, maxText), backup)
		if err == nil && !ok {
			err = errNoBackup(backup)
		}
		return err
	})
}

// Places lists where backups have ever been written, also those since deleted.
func (d *DB) Places(ctx context.Context) ([]Place, error) {
	out, err := many(d.reading(ctx), func(r row) (p Place, err error) {
		return p, r.Scan(&p.Project, &p.Store, &p.Container)
	}, `SELECT project, store, container FROM places ORDER BY project, store, container LIMIT ?`, MaxAll)
	return out, coffer.Wrap("list places", err)
}

func recordPlace(c conn, p Place) error {
	b := &bundle{}
	placeRow(b, p)
	return c.together(b)
}

// placeRow adds what recordPlace writes, for a project that has a row.
func placeRow(b *bundle, p Place) {
	b.exec(`INSERT INTO places (project, store, container) SELECT id, ?, ? FROM projects WHERE id = ?
		AND NOT EXISTS (SELECT 1 FROM places WHERE project = ? AND store = ? AND container = ?)`,
		p.Store, p.Container, p.Project, p.Project, p.Store, p.Container)
}

// RaiseCounter adds one to a named counter and gives the new value.
func (d *DB) RaiseCounter(ctx context.Context, name string) (uint64, error) {
	var out uint64
	err := d.write(ctx, "raise the counter", func(c conn) error {
		known, err := c.changed(`UPDATE counters SET value = value + 1 WHERE name = ?`, name)
		if err != nil {
			return err
		}
		if !known {
			if _, err := c.exec(`INSERT INTO counters (name, value) VALUES (?, 1)`, name); err != nil {
				return err
			}
		}
		out, err = readCounter(c, name)
		return err
	})
	return out, err
}

// Counter is the value of a named counter; one never raised is 0.
func (d *DB) Counter(ctx context.Context, name string) (uint64, error) {
	n, err := readCounter(d.reading(ctx), name)
	return n, coffer.Wrap("read the counter", err)
}

func readCounter(c conn, name string) (uint64, error) {
	n, _, err := one(c, scanInt, `SELECT value FROM counters WHERE name = ?`, name)
	return uint64(n), err
}
