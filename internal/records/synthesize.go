package records

import (
	"cmp"
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

// NewSynthesis is what CreateSynthesis needs to know.
type NewSynthesis struct {
	Project coffer.ProjectID
	Backup  coffer.BackupID // the link whose chain is joined
	Name    string          // "" is the link's
	Key     string          // the Idempotency-Key; "" is none
	Quota   int             // backups of the project; below 0 is no limit
	Events  []coffer.Event  // the first of its diary
	Now     time.Time
}

// JustBehind is how far a full that was joined stands behind the link that it was
// made of.
const JustBehind = time.Microsecond

// CreateSynthesis makes a full backup that is joined from a chain, its job (with the
// same id) and its bell in one transaction, and holds the chain for the job. The full
// is the link's instance at that time: it takes the link's place in time, just behind
// it, and not that of a newer backup, so that increments and retention go on with
// whatever is the newest of the database. It occupies the instance as a backup does.
func (d *DB) CreateSynthesis(ctx context.Context, n NewSynthesis) (coffer.Backup, error) {
	n.Now = orNow(n.Now)
	id := coffer.BackupID(coffer.NewUUID())
	asked := NewBackup{Project: n.Project, Name: n.Name, Parent: n.Backup, Method: "synthesize", Key: n.Key, Now: n.Now}
	var out coffer.Backup
	err := d.write(ctx, "create the full backup", func(c conn) error {
		made, err := repeated(c, asked)
		if err == nil && made == "" {
			if made, err = id, rememberKey(c, id, asked); err == nil {
				err = insertSynthesis(c, id, n)
			}
		}
		if err != nil {
			return err
		}
		out, err = backupOf(c, n.Project, made)
		return err
	})
	return out, err
}

func insertSynthesis(c conn, id coffer.BackupID, n NewSynthesis) error {
	chain, err := pinChain(c, coffer.JobID(id), NewJob{Project: n.Project, Backup: n.Backup})
	if err != nil {
		return err
	}
	if err := joinable(chain); err != nil {
		return err
	}
	b := chain[len(chain)-1]
	if _, err := instanceOf(c, n.Project, b.Instance); err != nil {
		return err
	}
	if err := occupy(c, b.Instance, coffer.JobID(id)); err != nil {
		return err
	}
	if err := countBackup(c, n.Project, n.Quota); err != nil {
		return err
	}
	if _, err := c.exec(`INSERT INTO backups (id, project, instance, name, description, state, root, type,
		ds_type, ds_version, ds_version_id, store, container, created, updated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		id, b.Project, b.Instance, cmp.Or(n.Name, b.Name), b.Description, coffer.New, id, "full",
		b.Datastore.Type, b.Datastore.Version, b.Datastore.VersionID, b.Store, b.Container,
		micros(b.Created.Add(JustBehind)), micros(n.Now)); err != nil {
		return err
	}
	job := coffer.JobID(id)
	if err := insertJob(c, coffer.Job{
		ID: job, Kind: coffer.JobBackup, Project: b.Project, Instance: b.Instance, Backup: id, Created: n.Now,
		Spec: coffer.Spec{Synthesize: b.ID},
	}); err != nil || len(n.Events) == 0 {
		return err
	}
	rows := &bundle{}
	last := lastEvent(rows, job, c)
	if err := c.together(rows); err != nil {
		return err
	}
	rows = &bundle{}
	if err := addEvents(rows, job, last, n.Events, n.Now); err != nil {
		return err
	}
	return c.together(rows)
}

// LongChains lists, by id from after on, the newest backups of their instances whose
// chains have links backups or more: those that the next increment would stand on.
func (d *DB) LongChains(ctx context.Context, links int, after coffer.BackupID, limit int) ([]coffer.Backup, error) {
	out, err := many(d.reading(ctx), scanBackup, `SELECT `+backupCols+` FROM backups
		WHERE depth >= ? AND parent <> '' AND state = ? AND deleted = 0 AND deleting = 0 AND id > ?
		AND NOT EXISTS (SELECT 1 FROM backups AS later WHERE later.instance = backups.instance AND later.state = ?
			AND later.ended > backups.ended AND later.deleted = 0 AND later.deleting = 0 AND later.origin = '' AND later.method <> ?)
		ORDER BY id LIMIT ?`, links-1, coffer.Completed, after, coffer.Completed, coffer.MySQLDump, page(limit, MaxPage))
	return out, coffer.Wrap("list long chains", err)
}

// joinable refuses a chain that no full can be made of, before anybody begins.
func joinable(chain []coffer.Backup) error {
	const op = "look at the chain"
	if len(chain) == 1 {
		return coffer.E(coffer.KindConflict, op, "backup %s is a full already", chain[0].ID)
	}
	positions := make([]coffer.Position, len(chain))
	for i, b := range chain {
		if b.Verified.Damaged() {
			return coffer.E(coffer.KindConflict, op, "backup %s was found damaged: %s", b.ID, b.Verified.Text).
				WithHint("take a full backup of this instance")
		}
		positions[i] = b.Position
	}
	if err := coffer.Mergeable(positions); err != nil {
		return coffer.E(coffer.KindConflict, op, "%w", err).WithHint("take a full backup of this instance")
	}
	return nil
}
