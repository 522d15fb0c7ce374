package taskmanager

import (
	"context"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
)

// SweepReport says what one pass found and did.
type SweepReport struct {
	Places    int      `json:"places"`    // containers looked at
	Wiped     int      `json:"wiped"`     // dead backups whose data was removed
	Forgotten int      `json:"forgotten"` // dead backups of which nothing is left now
	Waiting   int      `json:"waiting"`   // orphans that wait for their second listing
	Kept      []string `json:"kept"`      // dead objects that the store refuses to delete
	Strangers []string `json:"strangers"` // objects that are not ours: never touched
}

// maxStrangers bounds how many foreign names a report lists.
const maxStrangers = 100

// sweepsCounter is raised by whoever begins a sweep of its own accord.
const sweepsCounter = "sweeps"

// sweepInTurn sweeps, unless another task manager has begun to since this one last
// looked: of many one sweeps, and when it is gone, the next. Two that do so at once
// only do the work twice.
func (t *TaskManager) sweepInTurn(ctx context.Context) error {
	n, err := t.Records.Counter(ctx, sweepsCounter)
	if err != nil {
		return coffer.Wrap("read the sweeps' counter", err)
	}
	t.sweeping.Lock()
	others := n != t.turns
	t.turns = n
	t.sweeping.Unlock()
	if others {
		return nil
	}
	if n, err = t.Records.RaiseCounter(ctx, sweepsCounter); err != nil {
		return err
	}
	t.sweeping.Lock()
	t.turns = n
	t.sweeping.Unlock()
	_, err = t.Sweep(ctx)
	return err
}

// Sweep removes what is proven ours and dead: FAILED backups, and backups of
// this installation's intents that have neither row nor manifest, in two listings
// of this process that are a deadline and a grace apart on its own clock. A name
// whose id has a manifest and no tombstone is never swept. Strangers are reported
// only.
func (t *TaskManager) Sweep(ctx context.Context) (SweepReport, error) {
	t.init()
	t.sweeping.Lock()
	if len(t.gone) > maxGone {
		clear(t.gone)
	}
	t.sweeping.Unlock()
	var rep SweepReport
	places, err := t.Records.Places(ctx)
	if err != nil {
		return rep, coffer.Wrap("list the containers", err)
	}
	var first error
	for _, p := range places {
		if err := t.sweepPlace(ctx, p, &rep); err != nil && first == nil {
			first = err
		}
	}
	if err := t.sweepFailed(ctx, &rep); err != nil && first == nil {
		first = err
	}
	return rep, first
}

// sweepFailed looks for every FAILED backup, in every pass: its row proves that it
// is ours and dead, whatever became of its intent.
func (t *TaskManager) sweepFailed(ctx context.Context, rep *SweepReport) error {
	var first error
	for after := coffer.BackupID(""); ; {
		page, err := t.Records.FailedBackups(ctx, after, records.MaxPage)
		if err != nil {
			return coffer.Wrap("list failed backups", err)
		}
		for _, b := range page {
			after = b.ID
			if err := t.sweepRow(ctx, b, rep); err != nil && first == nil {
				first = err
			}
		}
		if len(page) < records.MaxPage {
			return first
		}
	}
}

func (t *TaskManager) sweepRow(ctx context.Context, b coffer.Backup, rep *SweepReport) error {
	if b.Deleting && !b.Deleted {
		return nil // a delete job's business
	}
	j, err := t.Records.JobByID(ctx, coffer.JobID(b.ID))
	if err != nil {
		return coffer.Wrap("read the backup's job", err)
	}
	place, err := settle.Place(ctx, t.Stores, b.Store, b.Project, b.Container)
	if err != nil {
		return err
	}
	if j.Runner == "" {
		return t.sweepUnbegun(ctx, place, b.ID, rep)
	}
	return t.wipe(ctx, place, b.ID, j.Runner, true, rep)
}

// sweepUnbegun is for a backup that FAILED before these records gave it a runner. If
// they are older ones that were put back, it may have had one all the same, who may
// even have brought it to a good end: then it is kept, and said.
func (t *TaskManager) sweepUnbegun(ctx context.Context, place archive.Place, id coffer.BackupID, rep *SweepReport) error {
	f, err := archive.Look(ctx, place, id)
	switch {
	case err != nil:
		return err
	case f.Manifest != nil && !f.Dead:
		rep.Kept = append(rep.Kept, "backup "+string(id)+" is FAILED in these records and has a manifest in its store: older records were put back")
		return nil
	case f.Intent != nil:
		return t.wipe(ctx, place, id, f.Intent.Runner, true, rep)
	case f.DataPresent || f.Dead || !t.longGone(id):
		return nil // or not yet: its runner may only now begin to write
	}
	t.forgetGone(id)
	return t.Records.Swept(ctx, id)
}

func (t *TaskManager) sweepPlace(ctx context.Context, p records.Place, rep *SweepReport) error {
	place, err := settle.Place(ctx, t.Stores, p.Store, p.Project, p.Container)
	if err != nil {
		return err
	}
	ours, strangers, err := archive.Survey(ctx, place, t.Records.Installation())
	if err != nil {
		return coffer.Wrap("list "+p.Store+"/"+place.Prefix, err)
	}
	rep.Places++
	for _, s := range strangers {
		if len(rep.Strangers) < maxStrangers {
			rep.Strangers = append(rep.Strangers, s)
		}
	}
	key := string(p.Project) + "\x00" + p.Store + "\x00" + p.Container + "\x00"
	t.vanished(key, ours)
	var first error
	for _, o := range ours {
		if o.Intent.Project != p.Project {
			continue
		}
		if err := t.sweepOrphan(ctx, place, key, o, rep); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// endUploads ends what a good backup has begun and does not know of: the answer to
// the beginning was lost, and another upload took its place.
func endUploads(ctx context.Context, place archive.Place, o archive.Owned) error {
	for _, u := range o.Uploads {
		if err := place.Store.Abort(ctx, u); err != nil {
			return coffer.Wrap("end the forgotten upload of "+u.Name, err)
		}
	}
	return nil
}

// sweepOrphan wipes a backup of our intent that has no row.
func (t *TaskManager) sweepOrphan(ctx context.Context, place archive.Place, key string, o archive.Owned, rep *SweepReport) error {
	b, err := t.Records.BackupByID(ctx, o.ID)
	if o.Manifest && !o.Dead && (coffer.IsKind(err, coffer.KindNotFound) || err == nil && b.State == coffer.Completed) {
		return endUploads(ctx, place, o)
	}
	if !coffer.IsKind(err, coffer.KindNotFound) {
		return coffer.Wrap("read the backup's row", err) // what has a row is judged by it
	}
	if o.Manifest && !o.Dead || !t.orphan(key+string(o.ID), rep) {
		return nil
	}
	return t.wipe(ctx, place, o.ID, o.Intent.Runner, false, rep)
}

// wipe removes what is left of a dead backup; intent and tombstone go once its
// runner has been proven replaced for a grace: what it had asked of the store may
// still be on its way. A manifest without a tombstone is never touched.
func (t *TaskManager) wipe(ctx context.Context, place archive.Place, id coffer.BackupID, r coffer.Runner, row bool, rep *SweepReport) error {
	err := archive.Wipe(ctx, place, id)
	switch {
	case coffer.IsKind(err, coffer.KindConflict):
		return nil // there is a manifest, and nobody has said that it is dead
	case coffer.IsKind(err, coffer.KindKept):
		rep.Kept = append(rep.Kept, err.Error())
		return nil
	case err != nil:
		return coffer.Wrap("wipe the dead backup "+string(id), err)
	}
	rep.Wiped++
	gone, err := t.replaced(ctx, r)
	if err != nil || !gone || !t.provenDead(r) && !t.longGone(id) {
		return err
	}
	return t.forget(ctx, place, id, row, rep)
}

// longGone reports whether the runner of a dead backup was found replaced a grace
// ago already, by this process's own clock.
func (t *TaskManager) longGone(id coffer.BackupID) bool {
	t.sweeping.Lock()
	defer t.sweeping.Unlock()
	at, ok := t.gone[id]
	if !ok {
		at = time.Now()
		t.gone[id] = at
	}
	return ok && time.Since(at) >= t.Timings.Grace
}

func (t *TaskManager) forgetGone(id coffer.BackupID) {
	t.sweeping.Lock()
	defer t.sweeping.Unlock()
	delete(t.gone, id)
}

// maxGone bounds how many are remembered; beyond it the graces begin anew.
const maxGone = 100_000

// orphan reports whether an id without a row was already an orphan a deadline and a
// grace ago: what its intent says of its age is by another machine's clock.
func (t *TaskManager) orphan(key string, rep *SweepReport) bool {
	t.sweeping.Lock()
	defer t.sweeping.Unlock()
	at, ok := t.seen[key]
	if !ok {
		at = time.Now()
		t.seen[key] = at
	}
	if time.Since(at) < t.Timings.Deadline+t.Timings.Grace {
		rep.Waiting++
		return false
	}
	return true
}

// vanished forgets the orphans of one place that its listing does not show any more.
func (t *TaskManager) vanished(prefix string, ours []archive.Owned) {
	there := map[string]bool{}
	for _, o := range ours {
		there[prefix+string(o.ID)] = true
	}
	t.sweeping.Lock()
	defer t.sweeping.Unlock()
	for key := range t.seen {
		if strings.HasPrefix(key, prefix) && !there[key] {
			delete(t.seen, key)
		}
	}
}

// replaced reports whether the life of a process that wrote something is proven
// to be over: its agent has been seen in another life since.
func (t *TaskManager) replaced(ctx context.Context, r coffer.Runner) (bool, error) {
	if t.provenDead(r) {
		return true, nil
	}
	a, err := t.Records.Agent(ctx, r.Agent())
	if coffer.IsKind(err, coffer.KindNotFound) {
		return false, nil
	}
	if err != nil {
		return false, coffer.Wrap("read the agent", err)
	}
	return a.Boot != "" && a.Boot != r.Boot(), nil
}

// forget removes the intent and the tombstone too: nobody can write there again.
func (t *TaskManager) forget(ctx context.Context, place archive.Place, id coffer.BackupID, row bool, rep *SweepReport) error {
	if err := archive.Delete(ctx, place, id); err != nil {
		if coffer.IsKind(err, coffer.KindKept) {
			rep.Kept = append(rep.Kept, err.Error())
			return nil
		}
		return coffer.Wrap("forget the dead backup "+string(id), err)
	}
	rep.Forgotten++
	t.forgetGone(id)
	if !row {
		return nil
	}
	return coffer.Wrap("note that nothing is left", t.Records.Swept(ctx, id))
}
