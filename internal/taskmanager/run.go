package taskmanager

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
)

// errAsked is the cause of a job's end that somebody asked for.
var errAsked = coffer.E(coffer.KindCanceled, "run the job", "it was cancelled")

// progress is what a job that runs here says of itself; the beat reads it.
type progress struct{ done, total atomic.Int64 }

type work func(context.Context, coffer.Job, *progress) error

// start claims a job for this process and runs it beside the others. A job that
// somebody else has claimed is left alone.
func (t *TaskManager) start(ctx context.Context, g *errgroup.Group, j coffer.Job, f work) {
	jctx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(errAsked) }
	t.mu.Lock()
	if _, runs := t.own[j.ID]; runs {
		t.mu.Unlock()
		stop()
		return
	}
	t.own[j.ID] = stop
	t.mu.Unlock()
	g.Go(func() error {
		defer func() {
			stop()
			t.mu.Lock()
			delete(t.own, j.ID)
			t.mu.Unlock()
		}()
		job, err := t.Records.Claim(jctx, j.ID, t.runner(), t.Now())
		if err != nil {
			if !coffer.IsKind(err, coffer.KindConflict) && ctx.Err() == nil {
				t.Log.Warn("could not claim a job; will try again", "job", j.ID, "err", err)
			}
			return nil
		}
		t.run(jctx, job, f)
		return nil
	})
}

// run does one job under a beat and writes how it ended.
func (t *TaskManager) run(ctx context.Context, job coffer.Job, f work) {
	var p progress
	bctx, stop := context.WithCancel(ctx)
	var beats errgroup.Group
	beats.Go(func() error { t.beat(bctx, job, &p); return nil })
	err := f(ctx, job, &p)
	stop()
	_ = beats.Wait() // beat has no error to give
	if errors.Is(err, errHandedBack) {
		return
	}
	if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errAsked) {
		return // this process stops: the next one takes the job for lost and settles it
	}
	end := context.WithoutCancel(ctx)
	if err == nil {
		_, err = t.Records.Finish(end, job.ID, t.Now())
		if err != nil {
			t.Log.Warn("could not write a job's end; the rescuer will", "job", job.ID, "err", err)
		}
		return
	}
	if _, err := t.Records.Fail(end, job.ID, job.Runner, ending(err, t.Now())); err != nil {
		t.Log.Warn("could not write a job's failure; the rescuer will", "job", job.ID, "err", err)
	}
}

func ending(err error, now time.Time) records.Ending {
	return records.Ending{Kind: coffer.KindOf(err), Error: err.Error(), Hint: coffer.HintOf(err), Now: now}
}

func (t *TaskManager) beat(ctx context.Context, job coffer.Job, p *progress) {
	tick := time.NewTicker(min(coffer.BeatEvery, t.Timings.Lease/6))
	defer tick.Stop()
	begun, started := time.Now(), t.Now()
	for n := uint64(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pr := coffer.Progress{Done: p.done.Load(), Total: p.total.Load(), Started: started.UnixMilli()}
		if s := time.Since(begun).Seconds(); s > 0 {
			pr.Rate = float64(pr.Done) / s
		}
		_, err := t.Records.Report(ctx, records.Report{
			Job: job.ID, Runner: job.Runner, Seq: n, Beat: n, Phase: string(job.Kind), Progress: pr, Now: t.Now(),
		})
		if err != nil && ctx.Err() == nil {
			t.Log.Warn("could not beat; the lease may run out", "job", job.ID, "err", err)
		}
	}
}

// verify reads every part and frame of a backup and leaves the result beside the
// archive and on the row.
func (t *TaskManager) verify(ctx context.Context, job coffer.Job, p *progress) error {
	b, err := t.Records.BackupByID(ctx, job.Backup)
	if err != nil {
		return coffer.Wrap("read the backup", err)
	}
	if b.Origin == coffer.OriginTrove {
		return t.verifyTrove(ctx, b, p)
	}
	place, err := settle.Place(ctx, t.Stores, b.Store, b.Project, b.Container)
	if err != nil {
		return err
	}
	ids, err := t.identities(ctx, place, b.Key)
	if err != nil {
		return err
	}
	rep, verr := t.readAll(ctx, place, b, ids, p)
	if verr == nil {
		verr = t.lookAtChain(ctx, b)
	}
	if verr != nil && !coffer.IsKind(verr, coffer.KindCorrupt, coffer.KindNotFound) {
		return coffer.Wrap("verify the backup", verr) // nobody can tell now: no verdict
	}
	v := coffer.Verdict{At: t.Now().UTC(), OK: verr == nil, Text: verdictText(rep, verr)}
	if err := t.Records.SetVerdict(ctx, b.ID, v); err != nil {
		return coffer.Wrap("keep the verdict", err)
	}
	laid := coffer.Wrap("lay the statement beside the archive", archive.State(ctx, place, b.ID, "verified", v))
	if verr != nil && laid != nil { // what was found counts for more than where it is written
		return coffer.E(coffer.KindOf(verr), "verify the backup", "%w; and: %w", verr, laid).WithHint("%s", coffer.HintOf(verr))
	}
	return cmp.Or(verr, laid)
}

func (t *TaskManager) identities(ctx context.Context, p archive.Place, k coffer.KeyID) ([]age.Identity, error) {
	if k == "" || t.Keys == nil {
		return nil, nil
	}
	return t.Keys.Identities(ctx, p, k)
}

func (t *TaskManager) readAll(ctx context.Context, place archive.Place, b coffer.Backup, ids []age.Identity, p *progress) (archive.VerifyReport, error) {
	a, err := archive.Open(ctx, place, b.ID, archive.Want{ManifestSHA256: b.Manifest, Identities: ids})
	if err != nil {
		return archive.VerifyReport{}, err
	}
	defer a.Close()
	return a.Verify(ctx, func(done, total int64) { p.done.Store(done); p.total.Store(total) })
}

func verdictText(r archive.VerifyReport, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case !r.FramesChecked:
		return "every part has its sum; the frames are encrypted and were not opened: give the control plane an identity"
	}
	return "every part and every frame has its sum"
}

// remove removes a backup's objects. Of one that failed, intent and tombstone stay
// while its runner may wake up: the sweep goes on looking and takes them later.
func (t *TaskManager) remove(ctx context.Context, place archive.Place, b coffer.Backup) error {
	j, err := t.Records.JobByID(ctx, coffer.JobID(b.ID))
	if err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
		return coffer.Wrap("read the backup's job", err)
	}
	if j.State == coffer.Failed && j.Runner != "" {
		gone, err := t.replaced(ctx, j.Runner)
		if err != nil {
			return err
		}
		if !gone {
			if err := archive.Tombstone(ctx, place, b.ID); err != nil {
				return err
			}
			return archive.Wipe(ctx, place, b.ID)
		}
	}
	return archive.Delete(ctx, place, b.ID)
}

// delete removes a backup's objects, each step repeatable. Trove's own stay where they
// are: the row alone goes.
func (t *TaskManager) delete(ctx context.Context, job coffer.Job, _ *progress) error {
	b, err := t.Records.BackupByID(ctx, job.Backup)
	if err != nil {
		return coffer.Wrap("read the backup", err)
	}
	if b.Deleted { // by another, which took this job again meanwhile
		return nil
	}
	if b.Origin == coffer.OriginTrove {
		t.note(ctx, job.ID, "kept", "the objects stay: Trove has written them")
		return coffer.Wrap("write that the backup is gone", t.Records.Deleted(context.WithoutCancel(ctx), b.ID, t.Now()))
	}
	place, err := settle.Place(ctx, t.Stores, b.Store, b.Project, b.Container)
	if err == nil {
		err = t.remove(ctx, place, b)
	}
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		err = coffer.Wrap("delete the backup's objects", err)
		end := ending(err, t.Now())
		if end.Hint == "" {
			end.Hint = "mend the cause and delete the backup again"
		}
		if rerr := t.Records.DeleteFailed(context.WithoutCancel(ctx), b.ID, end); rerr != nil {
			return coffer.Wrap("write DELETE_FAILED", rerr)
		}
		return err
	}
	return coffer.Wrap("write that the backup is gone", t.Records.Deleted(context.WithoutCancel(ctx), b.ID, t.Now()))
}
