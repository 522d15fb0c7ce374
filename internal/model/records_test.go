package model

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/taskmanager"
)

// gatedDB is the records as one life sees them: a gate before and after each move.
type gatedDB struct {
	*records.DB
	l *life
}

var (
	_ conductor.Records   = gatedDB{}
	_ taskmanager.Records = gatedDB{}
)

func gated[T any](l *life, gate string, f func() (T, error)) (out T, err error) {
	err = l.through(gate, func() (err error) { out, err = f(); return err })
	return out, err
}

func (g gatedDB) Claim(ctx context.Context, j coffer.JobID, r coffer.Runner, now time.Time) (coffer.Job, error) {
	return gated(g.l, "Claim", func() (coffer.Job, error) { return g.DB.Claim(ctx, j, r, now) })
}

func (g gatedDB) Grant(ctx context.Context, j coffer.JobID, r coffer.Runner, sum string, now time.Time) (ok bool, why string, err error) {
	err = g.l.through("Grant", func() (err error) { ok, why, err = g.DB.Grant(ctx, j, r, sum, now); return err })
	return ok, why, err
}

func (g gatedDB) Report(ctx context.Context, r records.Report) (bool, error) {
	return gated(g.l, "Report", func() (bool, error) { return g.DB.Report(ctx, r) })
}

func (g gatedDB) Fail(ctx context.Context, j coffer.JobID, r coffer.Runner, e records.Ending) (bool, error) {
	return gated(g.l, "Fail", func() (bool, error) { return g.DB.Fail(ctx, j, r, e) })
}

func (g gatedDB) Finish(ctx context.Context, j coffer.JobID, now time.Time) (bool, error) {
	return gated(g.l, "Finish", func() (bool, error) { return g.DB.Finish(ctx, j, now) })
}

func (g gatedDB) Complete(ctx context.Context, j coffer.JobID, c records.Completion) (bool, error) {
	return gated(g.l, "Complete", func() (bool, error) { return g.DB.Complete(ctx, j, c) })
}

func (g gatedDB) Doom(ctx context.Context, j coffer.JobID, now time.Time) (bool, error) {
	return gated(g.l, "Doom", func() (bool, error) { return g.DB.Doom(ctx, j, now) })
}

func (g gatedDB) FailDoomed(ctx context.Context, j coffer.JobID, e records.Ending) (bool, error) {
	return gated(g.l, "FailDoomed", func() (bool, error) { return g.DB.FailDoomed(ctx, j, e) })
}

func (g gatedDB) MarkLost(ctx context.Context, j coffer.JobID, now time.Time) error {
	return g.l.through("MarkLost", func() error { return g.DB.MarkLost(ctx, j, now) })
}

func (g gatedDB) Deleted(ctx context.Context, b coffer.BackupID, now time.Time) error {
	return g.l.through("Deleted", func() error { return g.DB.Deleted(ctx, b, now) })
}

func (g gatedDB) DeleteFailed(ctx context.Context, b coffer.BackupID, e records.Ending) error {
	return g.l.through("DeleteFailed", func() error { return g.DB.DeleteFailed(ctx, b, e) })
}

func (g gatedDB) SetVerdict(ctx context.Context, b coffer.BackupID, v coffer.Verdict) error {
	return g.l.through("SetVerdict", func() error { return g.DB.SetVerdict(ctx, b, v) })
}

func (g gatedDB) CreateJob(ctx context.Context, n records.NewJob) (coffer.Job, error) {
	return gated(g.l, "CreateJob", func() (coffer.Job, error) { return g.DB.CreateJob(ctx, n) })
}

func (g gatedDB) Rang(ctx context.Context, j coffer.JobID, now, next time.Time) (bool, error) {
	return gated(g.l, "Rang", func() (bool, error) { return g.DB.Rang(ctx, j, now, next) })
}

func (g gatedDB) RangAll(ctx context.Context, now time.Time, bells []records.Bell) ([]bool, error) {
	return gated(g.l, "RangAll", func() ([]bool, error) { return g.DB.RangAll(ctx, now, bells) })
}

func (g gatedDB) Due(ctx context.Context, now time.Time, n int) ([]coffer.Job, error) {
	return gated(g.l, "Due", func() ([]coffer.Job, error) { return g.DB.Due(ctx, now, n) })
}

func (g gatedDB) Running(ctx context.Context) ([]coffer.Job, error) {
	return gated(g.l, "Running", func() ([]coffer.Job, error) { return g.DB.Running(ctx) })
}

func (g gatedDB) Heartbeat(ctx context.Context, a coffer.Agent) error {
	return g.l.through("Heartbeat", func() error { return g.DB.Heartbeat(ctx, a) })
}

func (g gatedDB) RaiseCounter(ctx context.Context, name string) (uint64, error) {
	return gated(g.l, "RaiseCounter", func() (uint64, error) { return g.DB.RaiseCounter(ctx, name) })
}

func (g gatedDB) Swept(ctx context.Context, b coffer.BackupID) error {
	return g.l.through("Swept", func() error { return g.DB.Swept(ctx, b) })
}

func (g gatedDB) Places(ctx context.Context) ([]records.Place, error) {
	return gated(g.l, "Places", func() ([]records.Place, error) { return g.DB.Places(ctx) })
}

func (g gatedDB) BackupByID(ctx context.Context, b coffer.BackupID) (coffer.Backup, error) {
	return gated(g.l, "BackupByID", func() (coffer.Backup, error) { return g.DB.BackupByID(ctx, b) })
}
