package records

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/cofferdb/coffer"
)

// CreateBackup makes a backup, its job (with the same id) and its bell in one
// transaction, after every rule about it has held: the instance exists and is not
// occupied, the parent can be stood on, the quota is not used up. The same
// Idempotency-Key gives the same backup again.
func (d *DB) CreateBackup(ctx context.Context, n NewBackup) (coffer.Backup, error) {
	n.Now = orNow(n.Now)
	id := coffer.BackupID(coffer.NewUUID())
	var out coffer.Backup
	err := d.write(ctx, "create the backup", func(c conn) error {
		made, err := repeated(c, n)
		if err != nil {
			return err
		}
		if made != "" {
			out, err = backupOf(c, n.Project, made)
			return err
		}
		if err := rememberKey(c, id, n); err != nil { // before any rule: of two such requests one waits here, and starts again
			return err
		}
		out, err = insertBackup(c, id, n)
		return err
	})
	return out, err
}

// repeated gives the backup that the request's key has already made, or "".
func repeated(c conn, n NewBackup) (coffer.BackupID, error) {
	if n.Key == "" {
		return "", nil
	}
	type seen struct {
		digest string
		backup coffer.BackupID
	}
	s, found, err := one(c, func(r row) (s seen, err error) { return s, r.Scan(&s.digest, &s.backup) },
		`SELECT digest, backup FROM idempotency WHERE project = ? AND idem_key = ?`, n.Project, n.Key)
	if err != nil || !found {
		return "", err
	}
	digest, err := n.digest()
	if err != nil {
		return "", err
	}
	if s.digest != digest {
		return "", coffer.E(coffer.KindConflict, "compare the repeated request",
			"this Idempotency-Key made backup %s from another request", s.backup).
			WithHint("use a new key for a new request")
	}
	return s.backup, nil
}

// asked is what makes a request the one it is.
func (n NewBackup) asked() []any {
	asked := []any{n.Instance, n.Name, n.Description, n.Parent, n.Incremental, n.Container}
	if n.Method != "" {
		asked = append(asked, n.Method)
	}
	return asked
}

// digest tells one request from another under the same key.
func (n NewBackup) digest() (string, error) {
	b, err := json.Marshal(n.asked())
	if err != nil {
		return "", coffer.E(coffer.KindInvalid, "read the request", "%w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// rememberKey ties the request's key to the backup that it makes.
func rememberKey(c conn, id coffer.BackupID, n NewBackup) error {
	if n.Key == "" {
		return nil
	}
	digest, err := n.digest()
	if err != nil {
		return err
	}
	_, err = c.exec(`INSERT INTO idempotency (project, idem_key, digest, backup, created) VALUES (?, ?, ?, ?, ?)`,
		n.Project, n.Key, digest, id, micros(n.Now))
	return err
}

// insertBackup makes the backup, in two round trips where the database takes several
// statements at once: its instance is taken, and what it depends on is read; then all
// is written.
func insertBackup(c conn, id coffer.BackupID, n NewBackup) (coffer.Backup, error) {
	b, own, err := takeInstance(c, id, n)
	if err != nil {
		return b, err
	}
	parent, err := holdParent(c, n)
	if err != nil {
		return b, err
	}
	if parent != nil {
		b.Parent, b.Root, b.Depth, b.Type = parent.ID, parent.Root, parent.Depth+1, "incremental"
	}
	quota, err := quotaOf(c, n.Project, own, n.Quota)
	if err != nil {
		return b, err
	}
	rows := &bundle{}
	if err := backupRows(rows, b, n); err != nil {
		return b, err
	}
	placeRow(rows, Place{n.Project, n.Store, b.Container})
	counted := countOne(rows, n.Project, quota) // many wait for this row: last
	made := ask(rows, scanBackup, `SELECT `+backupCols+` FROM backups WHERE id = ?`, id)
	if quota < 0 {
		err = c.last(rows)
	} else if err = c.together(rows); err == nil && !counted.held() {
		err = errQuota(quota)
	}
	if err != nil {
		return b, err
	}
	b, _ = made.first()
	return b, nil
}

// takeInstance occupies the instance and begins the backup's row; own is the quota of
// the project's row, if there is one.
func takeInstance(c conn, id coffer.BackupID, n NewBackup) (b coffer.Backup, own *answer[int64], err error) {
	first := &bundle{}
	found := ask(first, scanInstance, `SELECT `+instanceCols+` FROM instances WHERE id = ? AND project = ? AND deleted = 0`, n.Instance, n.Project)
	taken := first.exec(`UPDATE instances SET running = ? WHERE id = ? AND project = ? AND running = '' AND deleted = 0`, id, n.Instance, n.Project)
	own = ask(first, scanInt, `SELECT quota FROM projects WHERE id = ?`, n.Project)
	chosen := &answer[strategy]{}
	if n.Container == "" {
		chosen = ask(first, scanStrategy, `SELECT instance, container FROM strategies WHERE project = ? AND instance IN (?, '')
			ORDER BY instance DESC`, n.Project, n.Instance)
	}
	if err := c.together(first); err != nil {
		return b, nil, err
	}
	in, known := found.first()
	if !known {
		return b, nil, errNoInstance(n.Instance)
	}
	if !taken.held() {
		return b, nil, occupied(c, in.ID)
	}
	return coffer.Backup{
		ID: id, Project: n.Project, Instance: in.ID, Name: n.Name, Description: n.Description,
		Root: id, Type: "full", Datastore: in.Datastore, Store: n.Store, Container: n.container(chosen),
	}, own, nil
}

// backupRows adds the backup, its job and its bell.
func backupRows(rows *bundle, b coffer.Backup, n NewBackup) error {
	now := micros(n.Now)
	rows.exec(`INSERT INTO backups (id, project, instance, name, description, state, parent, root, depth, type,
		ds_type, ds_version, ds_version_id, store, container, holds, created, updated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		b.ID, b.Project, b.Instance, b.Name, b.Description, coffer.New, b.Parent, b.Root, b.Depth, b.Type,
		b.Datastore.Type, b.Datastore.Version, b.Datastore.VersionID, b.Store, b.Container, flag(b.Parent != ""), now, now)
	return jobRows(rows, coffer.Job{
		ID: coffer.JobID(b.ID), Kind: coffer.JobBackup, Project: b.Project, Instance: b.Instance, Backup: b.ID, Created: n.Now,
		Spec: coffer.Spec{Method: n.Method, Wanted: n.Wanted},
	})
}

// strategy is the container that an instance's backups go to, or with instance "" a
// project's.
type strategy struct{ instance, container string }

func scanStrategy(r row) (s strategy, err error) { return s, r.Scan(&s.instance, &s.container) }

// container is the request's, else the instance's strategy's, else the project's, else
// the default.
func (n NewBackup) container(strategies *answer[strategy]) string {
	if n.Container != "" {
		return n.Container
	}
	if s, found := strategies.first(); found { // the instance's comes before ""
		return s.container
	}
	return cmp.Or(n.Default, DefaultContainer)
}

// holdParent chooses the parent and counts the new backup among its children. A
// parent that was not named, and that is deleted meanwhile, is chosen anew.
func holdParent(c conn, n NewBackup) (*coffer.Backup, error) {
	for try := 1; ; try++ {
		parent, err := chooseParent(c, n)
		if err != nil || parent == nil {
			return nil, err
		}
		held, err := raiseRefs(c, *parent)
		if err != nil {
			return nil, err
		}
		if held {
			return parent, nil
		}
		if n.Parent != "" || try == coffer.MaxChain {
			return nil, coffer.E(coffer.KindConflict, "hold the parent", "backup %s is being deleted", parent.ID).WithHint("name another parent")
		}
	}
}

// chooseParent is the parent that was named, or for an increment without one the
// newest COMPLETED of the instance; nil is a full, as it is once an increment onto
// that one has failed because none can follow it.
func chooseParent(c conn, n NewBackup) (*coffer.Backup, error) {
	const op = "choose the parent"
	if n.Parent == "" {
		if !n.Incremental {
			return nil, nil
		}
		b, found, err := one(c, scanBackup, `SELECT `+backupCols+` FROM backups
			WHERE instance = ? AND state = ? AND project = ? AND deleted = 0 AND deleting = 0 AND method <> ? AND origin = ''
			ORDER BY ended DESC, id LIMIT 1`, n.Instance, coffer.Completed, n.Project, coffer.MySQLDump)
		if err != nil || !found {
			return nil, err
		}
		_, spent, err := one(c, scanInt, `SELECT 1 FROM backups JOIN jobs ON jobs.id = backups.id
			WHERE backups.parent = ? AND jobs.state = ? AND jobs.err_kind = ? LIMIT 1`, b.ID, coffer.Failed, coffer.KindNeedFull)
		if err != nil || spent {
			return nil, err
		}
		return &b, nil
	}
	b, err := backupOf(c, n.Project, n.Parent)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	switch {
	case b.Origin != coffer.OriginOwn:
		return nil, coffer.E(coffer.KindConflict, op, "backup %s was made by %s: nothing proves that an increment would fit onto it", b.ID, b.Origin).
			WithHint("take a full backup")
	case !coffer.Method(b.Method).Increments():
		return nil, coffer.NoIncrement(coffer.Method(b.Method))
	case b.Instance != n.Instance:
		return nil, coffer.E(coffer.KindConflict, op, "backup %s is of another instance", b.ID).
			WithHint("name a backup of this instance, or take a full backup")
	case !b.State.Usable():
		return nil, coffer.E(coffer.KindConflict, op, "backup %s is %s", b.ID, b.State).
			WithHint("wait for it, or name another parent")
	case b.Deleting:
		return nil, coffer.E(coffer.KindConflict, op, "backup %s is being deleted", b.ID).WithHint("name another parent")
	}
	return &b, nil
}

// raiseRefs counts one more child, if the parent can still be stood on.
func raiseRefs(c conn, parent coffer.Backup) (bool, error) {
	if parent.Depth+2 > coffer.MaxChain {
		return false, coffer.E(coffer.KindConflict, "hold the parent", "the chain has %d links already", parent.Depth+1).WithHint("take a full backup")
	}
	return c.changed(`UPDATE backups SET refs = refs + 1 WHERE id = ? AND state IN (?, ?) AND deleting = 0 AND deleted = 0`,
		parent.ID, coffer.Completed, coffer.Restored)
}

// dropRefs stops counting a backup among its parent's children; again is no change.
func dropRefs(c conn, id coffer.BackupID) error {
	held, err := c.changed(`UPDATE backups SET holds = 0 WHERE id = ? AND holds = 1`, id)
	if err != nil || !held {
		return err
	}
	parent, _, err := one(c, scanString, `SELECT parent FROM backups WHERE id = ?`, id)
	if err != nil {
		return err
	}
	_, err = c.exec(`UPDATE backups SET refs = refs - 1 WHERE id = ?`, parent)
	return err
}

// countBackup takes one of the project's quota: its own, else the configured one. A
// configured quota of countAll counts and refuses nothing.
func countBackup(c conn, project coffer.ProjectID, quota int) error {
	b := &bundle{}
	own := ask(b, scanInt, `SELECT quota FROM projects WHERE id = ?`, project)
	if err := c.together(b); err != nil {
		return err
	}
	quota, err := quotaOf(c, project, own, quota)
	if err != nil {
		return err
	}
	b = &bundle{}
	counted := countOne(b, project, quota)
	if err := c.together(b); err != nil || counted.held() {
		return err
	}
	return errQuota(quota)
}

// quotaOf is the quota that counts, by the project's row: its own, else the configured
// one. A project without a row gets one.
func quotaOf(c conn, project coffer.ProjectID, row *answer[int64], quota int) (int, error) {
	own, found := row.first()
	if !found {
		_, err := c.exec(`INSERT INTO projects (id, backups) VALUES (?, 0)`, project)
		return quota, err
	}
	if own != NoQuota && quota != countAll {
		quota = int(own)
	}
	return quota, nil
}

// countOne adds what counts one more backup, if the quota has room.
func countOne(b *bundle, project coffer.ProjectID, quota int) *step {
	query, args := `UPDATE projects SET backups = backups + 1 WHERE id = ?`, []any{project}
	if quota >= 0 {
		query, args = query+` AND backups < ?`, append(args, quota)
	}
	return b.exec(query, args...)
}

func errQuota(quota int) error {
	return coffer.E(coffer.KindQuota, "take of the quota", "the project has its %d backups", quota).
		WithHint("delete backups that are not needed, or ask for a higher quota")
}

func uncountBackup(c conn, project coffer.ProjectID) error {
	_, err := c.exec(`UPDATE projects SET backups = backups - 1 WHERE id = ? AND backups > 0`, project)
	return err
}
