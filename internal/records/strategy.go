package records

import (
	"context"

	"github.com/cofferdb/coffer"
)

// PutStrategy sets the container of future backups of an instance, or (with
// Instance "") of the project.
func (d *DB) PutStrategy(ctx context.Context, s coffer.Strategy) error {
	if s.Backend == "" {
		s.Backend = "swift"
	}
	return d.write(ctx, "keep the strategy", func(c conn) error {
		args := []any{s.Backend, s.Container, s.Project, s.Instance}
		known, err := c.changed(`UPDATE strategies SET backend = ?, container = ? WHERE project = ? AND instance = ?`, args...)
		if err != nil || known {
			return err
		}
		_, err = c.exec(`INSERT INTO strategies (backend, container, project, instance) VALUES (?, ?, ?, ?)`, args...)
		return err
	})
}

// Strategies lists a project's strategies, or (instance not nil) the one of that
// instance; a pointer to "" is the project's own.
func (d *DB) Strategies(ctx context.Context, project coffer.ProjectID, instance *coffer.InstanceID) ([]coffer.Strategy, error) {
	query, args := `SELECT project, instance, backend, container FROM strategies WHERE project = ?`, []any{project}
	if instance != nil {
		query, args = query+` AND instance = ?`, append(args, *instance)
	}
	out, err := many(d.reading(ctx), func(r row) (s coffer.Strategy, err error) {
		return s, r.Scan(&s.Project, &s.Instance, &s.Backend, &s.Container)
	}, query+` ORDER BY instance LIMIT ?`, append(args, MaxAll)...)
	return out, coffer.Wrap("list strategies", err)
}

// DeleteStrategy removes one strategy; an absent one is no error.
func (d *DB) DeleteStrategy(ctx context.Context, project coffer.ProjectID, instance coffer.InstanceID) error {
	return d.write(ctx, "remove the strategy", func(c conn) error {
		_, err := c.exec(`DELETE FROM strategies WHERE project = ? AND instance = ?`, project, instance)
		return err
	})
}
