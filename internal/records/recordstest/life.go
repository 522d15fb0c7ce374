package recordstest

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// life is a model of the job life cycle: what has been made, how each backup was
// last seen, and which children still hold their parents.
type life struct {
	*world
	t         *rapid.T
	project   coffer.ProjectID
	instances []coffer.InstanceID
	ids       []coffer.BackupID
	jobs      []coffer.JobID
	seen      map[coffer.BackupID]coffer.Backup
	let       map[coffer.BackupID]bool // no longer holds its parent
}

// testLife draws random histories and looks at every row after every move.
func testLife(t *testing.T, db *records.DB) {
	shared := newWorld(t, db)
	rapid.Check(t, func(rt *rapid.T) {
		w := *shared
		w.failer = rt
		l := &life{
			world: &w, t: rt, project: coffer.ProjectID(coffer.NewNonce()),
			seen: map[coffer.BackupID]coffer.Backup{}, let: map[coffer.BackupID]bool{},
		}
		for range 2 {
			l.instances = append(l.instances, w.instance(l.project))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create":  func(*rapid.T) { l.create() },
			"claim":   func(*rapid.T) { l.onJob(l.claim) },
			"grant":   func(*rapid.T) { l.onJob(l.grant) },
			"settle":  func(*rapid.T) { l.onJob(l.settle) },
			"fail":    func(*rapid.T) { l.onJob(l.fail) },
			"lost":    func(*rapid.T) { l.onJob(func(j coffer.JobID) { w.must(db.MarkLost(w.ctx, j, w.now())) }) },
			"cancel":  func(*rapid.T) { l.onJob(l.cancel) },
			"read":    func(*rapid.T) { l.read() },
			"delete":  func(*rapid.T) { l.delete() },
			"deleted": func(*rapid.T) { l.deleted() },
			"":        func(*rapid.T) { l.check() },
		})
		l.endAll()
	})
}

// pick draws one by its place, so that a history can be run again though ids are
// random.
func pick[T any](t *rapid.T, of []T, label string) T {
	return of[rapid.IntRange(0, len(of)-1).Draw(t, label)]
}

func (l *life) create() {
	n := records.NewBackup{
		Project: l.project, Instance: pick(l.t, l.instances, "instance"), Name: "n", Store: "main",
		Incremental: rapid.Bool().Draw(l.t, "incremental"), Quota: -1, Now: l.now(),
	}
	if len(l.ids) > 0 && rapid.Bool().Draw(l.t, "named") {
		n.Parent = pick(l.t, l.ids, "parent")
	}
	b, err := l.db.CreateBackup(l.ctx, n)
	l.allow(err, coffer.KindConflict, coffer.KindUnprocessable, coffer.KindNotFound)
	if err == nil {
		l.ids, l.jobs = append(l.ids, b.ID), append(l.jobs, coffer.JobID(b.ID))
	}
}

// allow fails the property unless err is nil or of a kind that a refusal has.
func (l *life) allow(err error, kinds ...coffer.Kind) {
	if err != nil && !coffer.IsKind(err, kinds...) {
		l.Fatalf("refused with %q: %v", coffer.KindOf(err), err)
	}
}

func (l *life) onJob(f func(coffer.JobID)) {
	if len(l.jobs) > 0 {
		f(pick(l.t, l.jobs, "job"))
	}
}

func (l *life) runner() coffer.Runner {
	return rapid.SampledFrom([]coffer.Runner{alice, bob}).Draw(l.t, "runner")
}

func (l *life) claim(j coffer.JobID) {
	_, err := l.db.Claim(l.ctx, j, l.runner(), l.now())
	l.allow(err, coffer.KindConflict)
}

func (l *life) grant(j coffer.JobID) {
	before := l.job(j)
	ok, _, err := l.db.Grant(l.ctx, j, l.runner(), rapid.SampledFrom([]string{sum, other}).Draw(l.t, "manifest"), l.now())
	l.must(err)
	if ok && before.Cancel {
		l.Fatalf("granted though cancelled: %+v", before)
	}
}

// settle makes one of the moves that only the control plane makes.
func (l *life) settle(j coffer.JobID) {
	before := l.job(j)
	e := records.Ending{Now: l.now()}
	switch rapid.SampledFrom([]string{"complete", "doom", "bury", "finish"}).Draw(l.t, "verdict") {
	case "complete":
		ok, err := l.db.Complete(l.ctx, j, records.Completion{Manifest: sum, Now: l.now()})
		l.allow(err, coffer.KindCorrupt)
		if ok && (before.Dying || before.State == coffer.Failed) {
			l.Fatalf("a false success: %+v", before)
		}
	case "doom":
		_, err := l.db.Doom(l.ctx, j, l.now())
		l.must(err)
	case "bury":
		ok, err := l.db.FailDoomed(l.ctx, j, e)
		l.must(err)
		if ok && !before.Dying {
			l.Fatalf("buried before the verdict: %+v", before)
		}
	case "finish":
		ok, err := l.db.Finish(l.ctx, j, l.now())
		l.must(err)
		if ok && before.Kind == coffer.JobBackup {
			l.Fatalf("a false success: %+v", before)
		}
		if before.Kind == coffer.JobDelete && ok && before.State == coffer.Building {
			l.must(l.db.Deleted(l.ctx, before.Backup, l.now()))
		}
	}
}

func (l *life) fail(j coffer.JobID) {
	before := l.job(j)
	who := rapid.SampledFrom([]coffer.Runner{"", alice, bob}).Draw(l.t, "who")
	ok, err := l.db.Fail(l.ctx, j, who, records.Ending{Now: l.now()})
	l.must(err)
	if ok && before.State == coffer.Saving {
		l.Fatalf("SAVING was failed by %q: %+v", who, before)
	}
}

func (l *life) cancel(j coffer.JobID) {
	_, err := l.db.Cancel(l.ctx, l.project, j, l.now())
	l.allow(err, coffer.KindConflict)
}

func (l *life) read() {
	kind := rapid.SampledFrom([]coffer.JobKind{coffer.JobVerify, coffer.JobRestore}).Draw(l.t, "kind")
	l.ask(kind, coffer.Spec{Target: &coffer.Target{Agent: "host"}})
}

func (l *life) delete() {
	l.ask(coffer.JobDelete, coffer.Spec{Force: rapid.Bool().Draw(l.t, "force")})
}

func (l *life) ask(kind coffer.JobKind, spec coffer.Spec) {
	if len(l.ids) == 0 {
		return
	}
	_, err := l.db.CreateJob(l.ctx, records.NewJob{
		Kind: kind, Project: l.project, Backup: pick(l.t, l.ids, "backup"), Spec: spec, Now: l.now(),
	})
	l.allow(err, coffer.KindConflict, coffer.KindNotFound, coffer.KindUnprocessable)
	l.jobs = nil
	all, err := l.db.Jobs(l.ctx, records.JobFilter{Project: l.project}) // a forced delete makes many
	l.must(err)
	for _, j := range all {
		l.jobs = append(l.jobs, j.ID)
	}
}

// deleted ends the delete of a backup without increments, well or badly.
func (l *life) deleted() {
	for _, id := range l.ids {
		b := l.backup(id)
		if !b.Deleting || b.Deleted || b.Refs > 0 {
			continue
		}
		if rapid.Bool().Draw(l.t, "refused") {
			l.must(l.db.DeleteFailed(l.ctx, id, records.Ending{Now: l.now()}))
		} else {
			l.must(l.db.Deleted(l.ctx, id, l.now()))
		}
		return
	}
}
