package trovedb

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// Records is what taking over writes.
type Records interface {
	CreateImport(context.Context, records.NewImport) (b coffer.Backup, made bool, err error)
	BackupByID(context.Context, coffer.BackupID) (coffer.Backup, error)
	Strategies(context.Context, coffer.ProjectID, *coffer.InstanceID) ([]coffer.Strategy, error)
	PutStrategy(context.Context, coffer.Strategy) error
	Quota(context.Context, coffer.ProjectID) (int, error)
	PutQuota(context.Context, coffer.ProjectID, int) error
}

var _ Records = (*records.DB)(nil)

// Report is what was taken, or would be.
type Report struct {
	Backups    int    `json:"backups"`    // imports made, or made again after they had FAILED
	Known      int    `json:"known"`      // backups that were there
	Strategies int    `json:"strategies"` // set
	Quotas     int    `json:"quotas"`     // set
	Same       int    `json:"same"`       // strategies and quotas that were there
	Left       []Left `json:"left"`
}

// Take writes a plan into the records; with dry it only says what it would. What is there
// already, by Trove or by somebody's later choice, stays.
func Take(ctx context.Context, db Records, p Plan, now time.Time, dry bool) (Report, error) {
	r := Report{Left: append([]Left{}, p.Left...)}
	for _, n := range p.Backups {
		n.Now = now
		if err := r.backup(ctx, db, n, dry); err != nil {
			return r, coffer.Wrap("take over backup "+string(n.ID), err)
		}
	}
	for _, s := range p.Strategies {
		if err := r.strategy(ctx, db, s, dry); err != nil {
			return r, coffer.Wrap("take over the strategies of "+string(s.Project), err)
		}
	}
	for _, q := range p.Quotas {
		if err := r.quota(ctx, db, q, dry); err != nil {
			return r, coffer.Wrap("take over the quota of "+string(q.Project), err)
		}
	}
	return r, nil
}

func (r *Report) backup(ctx context.Context, db Records, n records.NewImport, dry bool) error {
	made := true
	if dry {
		b, err := db.BackupByID(ctx, n.ID)
		if err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
			return err
		}
		if err == nil {
			made = b.State == coffer.Failed && !b.Deleted
		}
	} else {
		var err error
		_, made, err = db.CreateImport(ctx, n)
		if coffer.IsKind(err, coffer.KindExists) {
			r.Left = append(r.Left, Left{"backup", string(n.ID), err.Error()})
			return nil
		}
		if coffer.IsKind(err, coffer.KindQuota) {
			r.Left = append(r.Left, Left{"backup", string(n.ID), "the project's quota is used up"})
			return nil
		}
		if err != nil {
			return err
		}
	}
	if made {
		r.Backups++
	} else {
		r.Known++
	}
	return nil
}

func (r *Report) strategy(ctx context.Context, db Records, s coffer.Strategy, dry bool) error {
	have, err := db.Strategies(ctx, s.Project, &s.Instance)
	if err != nil {
		return err
	}
	switch {
	case len(have) > 0 && have[0].Container == s.Container:
		r.Same++
	case len(have) > 0:
		r.Left = append(r.Left, Left{"strategy", string(s.Project) + "/" + string(s.Instance), fmt.Sprintf("here it is %q, in Trove %q", have[0].Container, s.Container)})
	default:
		r.Strategies++
		if !dry {
			return db.PutStrategy(ctx, s)
		}
	}
	return nil
}

func (r *Report) quota(ctx context.Context, db Records, q Quota, dry bool) error {
	have, err := db.Quota(ctx, q.Project)
	if err != nil {
		return err
	}
	switch {
	case have == q.Backups:
		r.Same++
	case have != records.NoQuota:
		r.Left = append(r.Left, Left{"quota", string(q.Project), fmt.Sprintf("here it is %d, in Trove %d", have, q.Backups)})
	default:
		r.Quotas++
		if !dry {
			return db.PutQuota(ctx, q.Project, q.Backups)
		}
	}
	return nil
}
