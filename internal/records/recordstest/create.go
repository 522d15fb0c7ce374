package recordstest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

func testCreateBackup(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	about := "before the upgrade"
	now := w.now()
	b, err := db.CreateBackup(w.ctx, records.NewBackup{
		Project: ours, Instance: in, Name: "n", Description: &about, Store: "main", Container: "c", Quota: 1, Now: now,
	})
	w.must(err)
	want := coffer.Backup{
		ID: b.ID, Project: ours, Instance: in, Name: "n", Description: &about, State: coffer.New, Root: b.ID, Type: "full",
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11", VersionID: "v-id"}, Store: "main", Container: "c",
		Created: now, Updated: now,
	}
	if d := cmp.Diff(want, b); d != "" {
		t.Errorf("the backup differs (-want +got):\n%s", d)
	}
	job := coffer.Job{ID: coffer.JobID(b.ID), Kind: coffer.JobBackup, Project: ours, Instance: in, Backup: b.ID, State: coffer.New, Created: now, Updated: now}
	if d := cmp.Diff(job, w.job(job.ID)); d != "" {
		t.Errorf("the job differs (-want +got):\n%s", d)
	}
	due, err := db.Due(w.ctx, now, 10)
	w.must(err)
	if len(due) != 1 || due[0].ID != job.ID {
		t.Errorf("due are %v, want the new job", due)
	}
}

func testCreateRefused(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in, foreign := w.instance(ours), w.instance(theirs)
	n := records.NewBackup{Project: ours, Instance: in, Name: "n", Store: "main", Quota: -1, Now: w.now()}
	with := func(f func(*records.NewBackup)) error {
		m := n
		f(&m)
		_, err := db.CreateBackup(w.ctx, m)
		return err
	}
	w.want(coffer.KindNotFound, with(func(n *records.NewBackup) { n.Instance = "none" }))
	w.want(coffer.KindNotFound, with(func(n *records.NewBackup) { n.Instance = foreign }))
	w.want(coffer.KindNotFound, with(func(n *records.NewBackup) { n.Parent = "none" }))
	w.want(coffer.KindQuota, with(func(n *records.NewBackup) { n.Quota = 0 }))
	w.create(in, "") // no refusal above has occupied the instance
	w.want(coffer.KindUnprocessable, with(func(*records.NewBackup) {}))
}

func testParents(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in, second := w.instance(ours), w.instance(ours)
	full := w.completed(in, "")
	w.counts(full.ID, 0, 0)
	one := w.completed(in, full.ID)
	if one.Parent != full.ID || one.Root != full.ID || one.Depth != 1 || one.Type != "incremental" {
		t.Errorf("the increment is %+v", one)
	}
	w.counts(full.ID, 1, 0)

	try := func(in coffer.InstanceID, parent coffer.BackupID, incremental bool) (coffer.Backup, error) {
		return db.CreateBackup(w.ctx, records.NewBackup{
			Project: ours, Instance: in, Name: "n", Parent: parent, Incremental: incremental, Store: "main", Quota: -1, Now: w.now(),
		})
	}
	_, err := try(second, full.ID, false)
	w.want(coffer.KindConflict, err)
	if coffer.HintOf(err) == "" {
		t.Error("no hint says what to do about the wrong parent")
	}
	two, err := try(in, "", true)
	w.must(err)
	if two.Parent != one.ID || two.Depth != 2 || two.Root != full.ID {
		t.Errorf("the newest COMPLETED was not chosen: parent %s", two.Parent)
	}
	alone, err := try(second, "", true)
	w.must(err)
	if alone.Parent != "" || alone.Type != "full" {
		t.Errorf("without a COMPLETED one it is no full: %+v", alone)
	}
	w.must(db.MarkLost(w.ctx, coffer.JobID(two.ID), w.now())) // NEW is never lost
	w.free(in, false)
	w.yes(db.Fail(w.ctx, coffer.JobID(two.ID), "", records.Ending{Now: w.now()}))
	_, err = try(in, two.ID, false)
	w.want(coffer.KindConflict, err)

	chain, err := db.Chain(w.ctx, ours, one.ID)
	w.must(err)
	if len(chain) != 2 || chain[0].ID != full.ID || chain[1].ID != one.ID {
		t.Errorf("the chain is %v", chain)
	}
	children, err := db.Children(w.ctx, one.ID)
	w.must(err)
	if len(children) != 1 || children[0].ID != two.ID {
		t.Errorf("the children are %v", children)
	}
	testSpentParent(w, in, one.ID)
}

// testSpentParent: once an increment has failed because none can follow its parent,
// the next one that names none is a full. One that failed otherwise changes nothing.
func testSpentParent(w *world, in coffer.InstanceID, newest coffer.BackupID) {
	w.Helper()
	for _, kind := range []coffer.Kind{coffer.KindTool, coffer.KindNeedFull, ""} {
		b, err := w.db.CreateBackup(w.ctx, records.NewBackup{
			Project: ours, Instance: in, Name: "n", Incremental: true, Store: "main", Quota: -1, Now: w.now(),
		})
		w.must(err)
		if kind == "" && (b.Parent != "" || b.Type != "full") {
			w.Fatalf("after it was said that none can follow %s: %s onto %q, want a full", newest, b.Type, b.Parent)
		}
		if kind != "" && b.Parent != newest {
			w.Fatalf("the increment stands on %q, not on %s", b.Parent, newest)
		}
		w.yes(w.db.Fail(w.ctx, coffer.JobID(b.ID), "", records.Ending{Kind: kind, Now: w.now()}))
	}
}

func testContainers(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	where := func(asked string) string {
		b, err := db.CreateBackup(w.ctx, records.NewBackup{
			Project: ours, Instance: in, Name: "n", Container: asked, Store: "main", Quota: -1, Now: w.now(),
		})
		w.must(err)
		_, err = db.Cancel(w.ctx, ours, coffer.JobID(b.ID), w.now())
		w.must(err)
		return b.Container
	}
	got := []string{where("")}
	w.must(db.PutStrategy(w.ctx, coffer.Strategy{Project: ours, Container: "project"}))
	got = append(got, where(""))
	w.must(db.PutStrategy(w.ctx, coffer.Strategy{Project: ours, Instance: in, Container: "instance"}))
	got = append(got, where(""), where("asked"))
	if d := cmp.Diff([]string{records.DefaultContainer, "project", "instance", "asked"}, got); d != "" {
		t.Errorf("containers differ (-want +got):\n%s", d)
	}
	places, err := db.Places(w.ctx)
	w.must(err)
	if len(places) != 4 {
		t.Errorf("places are %v, want four", places)
	}
}

func testIdempotency(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in, foreign := w.instance(ours), w.instance(theirs)
	n := records.NewBackup{Project: ours, Instance: in, Name: "n", Store: "main", Key: "k", Quota: 1, Now: w.now()}
	first, err := db.CreateBackup(w.ctx, n)
	w.must(err)
	again, err := db.CreateBackup(w.ctx, n)
	w.must(err)
	if again.ID != first.ID {
		t.Errorf("the repeated request made %s, want %s", again.ID, first.ID)
	}
	changed := n
	changed.Name = "another"
	_, err = db.CreateBackup(w.ctx, changed)
	w.want(coffer.KindConflict, err)
	n.Project, n.Instance = theirs, foreign
	b, err := db.CreateBackup(w.ctx, n)
	w.must(err)
	if b.ID == first.ID {
		t.Error("a key reached into another project")
	}
}

func testWalls(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	b := w.completed(in, "")
	id := coffer.JobID(b.ID)
	_, err := db.Backup(w.ctx, theirs, b.ID)
	w.want(coffer.KindNotFound, err)
	_, err = db.Chain(w.ctx, theirs, b.ID)
	w.want(coffer.KindNotFound, err)
	_, err = db.Job(w.ctx, theirs, id)
	w.want(coffer.KindNotFound, err)
	_, err = db.Events(w.ctx, theirs, id, 0, 10)
	w.want(coffer.KindNotFound, err)
	_, err = db.Cancel(w.ctx, theirs, id, w.now())
	w.want(coffer.KindNotFound, err)
	_, err = db.Instance(w.ctx, theirs, in)
	w.want(coffer.KindNotFound, err)
	w.want(coffer.KindNotFound, db.DeleteInstance(w.ctx, theirs, in))
	for _, kind := range []coffer.JobKind{coffer.JobDelete, coffer.JobVerify, coffer.JobRestore} {
		_, err = db.CreateJob(w.ctx, records.NewJob{
			Kind: kind, Project: theirs, Backup: b.ID, Spec: coffer.Spec{Force: true, Target: &coffer.Target{}}, Now: w.now(),
		})
		w.want(coffer.KindNotFound, err)
	}
	list, err := db.Backups(w.ctx, records.BackupFilter{Project: theirs, Instance: in})
	w.must(err)
	jobs, err := db.Jobs(w.ctx, records.JobFilter{Project: theirs})
	w.must(err)
	if len(list)+len(jobs) != 0 {
		t.Errorf("a foreign project sees %v and %v", list, jobs)
	}
	w.counts(b.ID, 0, 0)
}

func testListing(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in, second := w.instance(ours), w.instance(ours)
	var all []coffer.BackupID
	for range 3 {
		all = append(all, w.completed(in, "").ID)
	}
	all = append(all, w.completed(second, "").ID)
	gone := w.completed(second, "")
	w.start(coffer.JobDelete, gone.ID, coffer.Spec{})
	w.must(db.Deleted(w.ctx, gone.ID, w.now()))

	list := func(f records.BackupFilter) (ids []coffer.BackupID) {
		t.Helper()
		got, err := db.Backups(w.ctx, f)
		w.must(err)
		for _, b := range got {
			ids = append(ids, b.ID)
		}
		return ids
	}
	for _, c := range []struct {
		name string
		f    records.BackupFilter
		want []coffer.BackupID
	}{
		{"of the project", records.BackupFilter{Project: ours}, []coffer.BackupID{all[3], all[2], all[1], all[0]}},
		{"of all", records.BackupFilter{All: true, Limit: 2}, []coffer.BackupID{all[3], all[2]}},
		{"a later page", records.BackupFilter{Project: ours, Offset: 2, Limit: 2}, []coffer.BackupID{all[1], all[0]}},
		{"past the end", records.BackupFilter{Project: ours, Offset: 4}, nil},
		{"of an instance", records.BackupFilter{Project: ours, Instance: second}, []coffer.BackupID{all[3]}},
		{"of a datastore", records.BackupFilter{Project: ours, Datastore: "mariadb", Limit: 1}, []coffer.BackupID{all[3]}},
		{"of a version", records.BackupFilter{Project: ours, Datastore: "v-id", Limit: 1}, []coffer.BackupID{all[3]}},
		{"of another datastore", records.BackupFilter{Project: ours, Datastore: "mysql"}, nil},
		{"of no project", records.BackupFilter{}, nil},
	} {
		if d := cmp.Diff(c.want, list(c.f)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

func testBell(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	b := w.create(w.instance(ours), "")
	id, now := coffer.JobID(b.ID), w.now()
	due := func(at time.Time) int {
		t.Helper()
		jobs, err := db.Due(w.ctx, at, 10)
		w.must(err)
		return len(jobs)
	}
	if due(now) != 1 || due(now.Add(-time.Minute)) != 0 {
		t.Error("a new job is due from its making on")
	}
	if due(now.Add(-time.Hour)) != 1 {
		t.Error("a bell that a clock has set which had jumped is not due")
	}
	for i, want := range []bool{true, false} { // of two who find it due, one rings
		if mine, err := db.Rang(w.ctx, id, now, now.Add(time.Minute)); mine != want || err != nil {
			t.Errorf("ring %d is %v, %v", i, mine, err)
		}
	}
	if due(now) != 0 || due(now.Add(time.Minute)) != 1 {
		t.Error("a rung bell is due at its next time, not before")
	}
	_, err := db.Claim(w.ctx, id, alice, w.now())
	w.must(err)
	if due(now.Add(time.Hour)) != 0 {
		t.Error("a claimed job is still due")
	}
	running, err := db.Running(w.ctx)
	w.must(err)
	if len(running) != 1 || running[0].ID != id {
		t.Errorf("running are %v", running)
	}
}
