package records

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

const jobCols = `id, kind, project, instance, backup, state, runner, beat, seq, phase, progress,
	cancel, lost, dying, err_kind, error, hint, spec, manifest, created, updated, ended`

func scanJob(r row) (j coffer.Job, err error) {
	var manifest string
	err = r.Scan(&j.ID, &j.Kind, &j.Project, &j.Instance, &j.Backup, &j.State, &j.Runner, &j.Beat, &j.Seq, &j.Phase,
		document{&j.Progress}, &j.Cancel, &j.Lost, &j.Dying, &j.ErrKind, &j.Error, &j.Hint, document{&j.Spec}, &manifest,
		moment{&j.Created}, moment{&j.Updated}, moment{&j.Ended})
	j.Spec.ManifestSHA256 = manifest
	return j, err
}

// Job is one job of a project; a foreign one is KindNotFound.
func (d *DB) Job(ctx context.Context, project coffer.ProjectID, id coffer.JobID) (coffer.Job, error) {
	j, err := jobByID(d.reading(ctx), id)
	if err == nil && j.Project != project {
		j, err = coffer.Job{}, errNoJob(id)
	}
	return j, coffer.Wrap("find the job", err)
}

// JobByID is one job of any project. It is for roles and admins.
func (d *DB) JobByID(ctx context.Context, id coffer.JobID) (coffer.Job, error) {
	j, err := jobByID(d.reading(ctx), id)
	return j, coffer.Wrap("find the job", err)
}

// Jobs lists jobs, the newest first.
func (d *DB) Jobs(ctx context.Context, f JobFilter) ([]coffer.Job, error) {
	where, args := []string{`1 = 1`}, []any{}
	and := func(column string, value any) {
		where, args = append(where, column+` = ?`), append(args, value)
	}
	if !f.All {
		and(`project`, f.Project)
	}
	if f.Instance != "" {
		and(`instance`, f.Instance)
	}
	if f.Backup != "" {
		and(`backup`, f.Backup)
	}
	if f.Kind != "" {
		and(`kind`, f.Kind)
	}
	if f.State != "" {
		and(`state`, f.State)
	}
	args = append(args, page(f.Limit, MaxPage), max(0, f.Offset))
	out, err := many(d.reading(ctx), scanJob, `SELECT `+jobCols+` FROM jobs WHERE `+strings.Join(where, ` AND `)+
		` ORDER BY created DESC, id LIMIT ? OFFSET ?`, args...)
	return out, coffer.Wrap("list jobs", err)
}

// Running lists the jobs that have a runner and have not ended.
func (d *DB) Running(ctx context.Context) ([]coffer.Job, error) {
	out, err := many(d.reading(ctx), scanJob, `SELECT `+jobCols+` FROM jobs WHERE state IN (?, ?) ORDER BY state, id LIMIT ?`,
		coffer.Building, coffer.Saving, MaxAll)
	return out, coffer.Wrap("list running jobs", err)
}

// Horizon is how far ahead of the caller's clock a bell may be set. One that is set
// further was set by a clock that had jumped, and is due.
const Horizon = 2 * time.Minute

// Due lists the jobs whose bell is to be rung now: NEW, without a runner. A delete
// waits until the backups that stand on its own are gone, an import until its parent's
// has ended.
func (d *DB) Due(ctx context.Context, now time.Time, limit int) ([]coffer.Job, error) {
	cols := `j.` + strings.ReplaceAll(strings.Join(strings.Fields(jobCols), ` `), `, `, `, j.`)
	out, err := many(d.reading(ctx), scanJob, `SELECT `+cols+` FROM outbox o JOIN jobs j ON j.id = o.job
		LEFT JOIN backups b ON b.id = j.backup
		LEFT JOIN backups p ON p.id = b.parent
		WHERE (o.due <= ? OR o.due > ?) AND j.state = ? AND j.runner = '' AND (j.kind <> ? OR b.refs = 0)
		AND (j.kind <> ? OR p.id IS NULL OR p.state NOT IN (?, ?))
		ORDER BY o.due, j.created, j.id LIMIT ?`, micros(now), micros(now.Add(Horizon)), coffer.New, coffer.JobDelete,
		coffer.JobImport, coffer.New, coffer.Building, page(limit, MaxPage))
	return out, coffer.Wrap("list due jobs", err)
}

const rang = `UPDATE outbox SET due = ? WHERE job = ? AND (due <= ? OR due > ?)`

// Rang sets when a job's bell is rung next, if nobody has claimed it by then. Of
// several callers that find it due one is answered true: that one rings.
func (d *DB) Rang(ctx context.Context, job coffer.JobID, now, next time.Time) (mine bool, err error) {
	return d.writeOne(ctx, "note that the bell rang", rang, micros(next), job, micros(now), micros(now.Add(Horizon)))
}

// Bell is a job that is rung for, and when that is done next if nobody has claimed it
// by then.
type Bell struct {
	Job  coffer.JobID
	Next time.Time
}

// RangAll is Rang for several jobs, with one answer for each.
func (d *DB) RangAll(ctx context.Context, now time.Time, bells []Bell) ([]bool, error) {
	inOrder := make([]int, len(bells)) // of two callers none waits for what the other has
	for i := range inOrder {
		inOrder[i] = i
	}
	slices.SortFunc(inOrder, func(a, b int) int { return cmp.Compare(bells[a].Job, bells[b].Job) })
	steps := make([]*step, len(bells))
	err := d.bundled(ctx, "note that the bells rang", func(b *bundle) {
		for _, i := range inOrder {
			steps[i] = b.exec(rang, micros(bells[i].Next), bells[i].Job, micros(now), micros(now.Add(Horizon)))
		}
	})
	if err != nil {
		return nil, err
	}
	mine := make([]bool, len(bells))
	for i, s := range steps {
		mine[i] = s.held()
	}
	return mine, nil
}

func jobByID(c conn, id coffer.JobID) (coffer.Job, error) {
	return jobWhere(c, id, "")
}

// jobToMove is jobByID for a transaction that decides by what it reads: nobody
// else moves the job until its end.
func jobToMove(c conn, id coffer.JobID) (coffer.Job, error) {
	return jobWhere(c, id, c.forUpdate)
}

func jobWhere(c conn, id coffer.JobID, how string) (coffer.Job, error) {
	j, found, err := one(c, scanJob, `SELECT `+jobCols+` FROM jobs WHERE id = ?`+how, id)
	if err == nil && !found {
		err = errNoJob(id)
	}
	return j, err
}

func errNoJob(id coffer.JobID) error {
	return coffer.E(coffer.KindNotFound, "find the job", "no job %s", id)
}
