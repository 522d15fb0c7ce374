package records

import (
	"context"

	"github.com/cofferdb/coffer"
)

// Quotas that are no number of backups.
const (
	NoQuota  = -2 // the project has none of its own: the configured one counts
	countAll = -3 // count, and refuse nothing
)

// PutQuota gives a project a quota of its own, in backups: -1 is no limit, NoQuota the
// configured one.
func (d *DB) PutQuota(ctx context.Context, project coffer.ProjectID, backups int) error {
	if backups < NoQuota {
		return coffer.E(coffer.KindInvalid, "keep the quota", "%d is no quota", backups)
	}
	return d.write(ctx, "keep the quota", func(c conn) error {
		_, found, err := one(c, scanInt, `SELECT quota FROM projects WHERE id = ?`, project)
		if err != nil {
			return err
		}
		if found {
			_, err = c.exec(`UPDATE projects SET quota = ? WHERE id = ?`, backups, project)
			return err
		}
		_, err = c.exec(`INSERT INTO projects (id, backups, quota) VALUES (?, 0, ?)`, project, backups)
		return err
	})
}

// Quota is the project's own, or NoQuota.
func (d *DB) Quota(ctx context.Context, project coffer.ProjectID) (int, error) {
	own, found, err := one(d.reading(ctx), scanInt, `SELECT quota FROM projects WHERE id = ?`, project)
	if !found {
		own = NoQuota
	}
	return int(own), coffer.Wrap("read the quota", err)
}
