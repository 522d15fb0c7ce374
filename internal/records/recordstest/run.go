package recordstest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

func testClaim(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	b := w.create(w.instance(ours), "")
	id := coffer.JobID(b.ID)
	_, err := db.Claim(w.ctx, id, "", w.now())
	w.want(coffer.KindInvalid, err)
	first, err := db.Claim(w.ctx, id, alice, w.now())
	w.must(err)
	if first.State != coffer.Building || first.Runner != alice {
		t.Fatalf("claimed is %+v", first)
	}
	again, err := db.Claim(w.ctx, id, alice, w.now())
	w.must(err)
	if d := cmp.Diff(first, again); d != "" {
		t.Errorf("the same claim answers differently (-first +again):\n%s", d)
	}
	_, err = db.Claim(w.ctx, id, bob, w.now())
	w.want(coffer.KindConflict, err)
	_, err = db.Claim(w.ctx, "none", bob, w.now())
	w.want(coffer.KindNotFound, err)
	w.state(b.ID, coffer.Building)
	w.yes(db.Fail(w.ctx, id, alice, records.Ending{Now: w.now()}))
	_, err = db.Claim(w.ctx, id, alice, w.now())
	w.want(coffer.KindConflict, err)
}

func testGrant(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	b := w.create(in, "")
	id := coffer.JobID(b.ID)
	grant := func(want bool, r coffer.Runner, manifest string) {
		t.Helper()
		ok, why, err := db.Grant(w.ctx, id, r, manifest, w.now())
		w.must(err)
		if ok != want || ok == (why != "") {
			t.Fatalf("granted %v (%q), want %v", ok, why, want)
		}
	}
	_, _, err := db.Grant(w.ctx, "none", alice, sum, w.now())
	w.want(coffer.KindNotFound, err) // no refusal: the runner must not delete
	grant(false, alice, sum)         // NEW
	_, err = db.Claim(w.ctx, id, alice, w.now())
	w.must(err)
	grant(false, bob, sum)
	w.state(b.ID, coffer.Building)
	grant(true, alice, sum)
	w.state(b.ID, coffer.Saving)
	updated := w.job(id).Updated
	grant(true, alice, sum)
	grant(false, alice, other)
	grant(false, bob, sum)
	if got := w.job(id); got.Updated != updated || got.Spec.ManifestSHA256 != sum || w.backup(b.ID).Manifest != sum {
		t.Errorf("a repeated grant changed the row: %+v", got)
	}
	w.yes(db.Complete(w.ctx, id, records.Completion{Manifest: sum, Now: w.now()}))
	grant(true, alice, sum) // a late repeat of what was granted

	b = w.building(in, "")
	id = coffer.JobID(b.ID)
	_, err = db.Cancel(w.ctx, ours, id, w.now())
	w.must(err)
	grant(false, alice, sum)
	w.state(b.ID, coffer.Building)
	w.yes(db.Fail(w.ctx, id, alice, records.Ending{Now: w.now()}))
	grant(false, alice, sum)
}

func testReport(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	b := w.create(w.instance(ours), "")
	id := coffer.JobID(b.ID)
	r := records.Report{
		Job: id, Runner: alice, Seq: 5, Beat: 7, Phase: "copy", Progress: coffer.Progress{Done: 10, Total: 20},
		Data: 1 << 30, Events: []coffer.Event{{Code: "hold", Text: "held"}}, Now: w.now(),
	}
	w.no(db.Report(w.ctx, r)) // NEW
	_, err := db.Claim(w.ctx, id, alice, w.now())
	w.must(err)
	before, beforeB := w.job(id), w.backup(b.ID)
	w.yes(db.Report(w.ctx, r))
	want := before
	want.Seq, want.Beat, want.Phase, want.Progress = 5, 7, "copy", r.Progress
	if d := cmp.Diff(want, w.job(id)); d != "" {
		t.Errorf("a report changes more or less than it may (-want +got):\n%s", d)
	}
	beforeB.Sizes.Data = 1 << 30
	if d := cmp.Diff(beforeB, w.backup(b.ID)); d != "" {
		t.Errorf("a report changes more of the backup than its first size (-want +got):\n%s", d)
	}

	old := r
	old.Phase = "old"
	w.no(db.Report(w.ctx, old)) // the same seq
	foreign := r
	foreign.Runner, foreign.Seq = bob, 9
	w.no(db.Report(w.ctx, foreign))
	foreign.Runner = ""
	w.no(db.Report(w.ctx, foreign))
	r.Seq, r.Phase, r.Data, r.Beat = 6, "", 2<<30, 3
	w.yes(db.Report(w.ctx, r))
	if j := w.job(id); j.Phase != "copy" || j.Beat != 7 || w.backup(b.ID).Sizes.Data != 1<<30 {
		t.Errorf("a phase or size was lost, or the beat fell: %+v", j)
	}
	ev, err := db.Events(w.ctx, ours, id, 0, 10)
	w.must(err)
	if len(ev) != 2 {
		t.Errorf("a dropped report left events: %v", ev)
	}
	r.Seq, r.Phase, r.Progress.Detail = 7, strings.Repeat("x\x00\xff", 1<<20), strings.Repeat("y", 1<<20)
	w.yes(db.Report(w.ctx, r))
	if j := w.job(id); len(j.Phase) > 1024 || len(j.Progress.Detail) > 8192 {
		t.Errorf("a report of %d and %d bytes went into the row", len(j.Phase), len(j.Progress.Detail))
	}
	w.yes(db.Fail(w.ctx, id, alice, records.Ending{Now: w.now()}))
	r.Seq = 8
	w.no(db.Report(w.ctx, r))
}

func testComplete(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	b := w.saving(in, "")
	id := coffer.JobID(b.ID)
	c := records.Completion{
		Sizes: coffer.Sizes{Data: 1, Plain: 2, Stored: 3}, Position: coffer.Position{To: 9, Lineage: coffer.Lineage{Nonce: "n"}},
		Manifest: sum, Location: "file:///x", Checksum: "c", Type: "full", Method: "mariabackup", Store: "main", Key: "k",
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11.19", VersionID: "v2"}, Now: w.now(),
	}
	wrong := c
	wrong.Manifest = other
	_, err := db.Complete(w.ctx, id, wrong)
	w.want(coffer.KindCorrupt, err)
	w.state(b.ID, coffer.Saving)
	w.yes(db.Complete(w.ctx, id, c))
	want := b
	want.State, want.Sizes, want.Position, want.Manifest, want.Location = coffer.Completed, c.Sizes, c.Position, sum, c.Location
	want.Checksum, want.Method, want.Key, want.Datastore, want.Updated, want.Ended = "c", "mariabackup", "k", c.Datastore, c.Now, c.Now
	if d := cmp.Diff(want, w.backup(b.ID)); d != "" {
		t.Errorf("the completed backup differs (-want +got):\n%s", d)
	}
	w.state(b.ID, coffer.Completed)
	c.Now = w.now()
	w.yes(db.Complete(w.ctx, id, c))
	if w.backup(b.ID).Updated != want.Updated {
		t.Error("a repeated completion changed the row")
	}
	w.no(db.Fail(w.ctx, id, "", records.Ending{Now: w.now()}))
	w.no(db.Doom(w.ctx, id, w.now()))
	w.no(db.FailDoomed(w.ctx, id, records.Ending{Now: w.now()}))
	w.state(b.ID, coffer.Completed)
	w.free(in, true)

	lost := w.building(in, "") // the rescuer found a whole manifest
	w.yes(db.Complete(w.ctx, coffer.JobID(lost.ID), records.Completion{Manifest: other, Now: w.now()}))
	w.state(lost.ID, coffer.Completed)
	fresh := w.create(in, "")
	w.no(db.Complete(w.ctx, coffer.JobID(fresh.ID), records.Completion{Manifest: other, Now: w.now()}))
	w.state(fresh.ID, coffer.New)
}

func testVerdict(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	full := w.completed(in, "")
	b := w.building(in, full.ID)
	id := coffer.JobID(b.ID)
	end := records.Ending{Kind: coffer.KindUnavailable, Error: "no manifest", Hint: "again", Now: w.now()}
	w.no(db.Doom(w.ctx, id, w.now())) // BUILDING
	_, _, err := db.Grant(w.ctx, id, alice, sum, w.now())
	w.must(err)
	w.no(db.Fail(w.ctx, id, "", end))
	w.no(db.Fail(w.ctx, id, alice, end))
	w.no(db.FailDoomed(w.ctx, id, end))
	w.state(b.ID, coffer.Saving)
	w.yes(db.Doom(w.ctx, id, w.now()))
	w.yes(db.Doom(w.ctx, id, w.now()))
	w.no(db.Complete(w.ctx, id, records.Completion{Manifest: sum, Now: w.now()}))
	if ok, why, err := db.Grant(w.ctx, id, alice, sum, w.now()); ok || why == "" || err != nil {
		t.Errorf("a dying backup was granted: %v %q %v", ok, why, err)
	}
	w.state(b.ID, coffer.Saving)
	w.counts(full.ID, 1, 0)
	w.yes(db.FailDoomed(w.ctx, id, end))
	w.yes(db.FailDoomed(w.ctx, id, end))
	w.state(b.ID, coffer.Failed)
	w.counts(full.ID, 0, 0)
	w.no(db.Complete(w.ctx, id, records.Completion{Manifest: sum, Now: w.now()}))
	got := w.backup(b.ID)
	if !got.Dying || got.Error != "no manifest" || got.Hint != "again" || w.job(id).ErrKind != coffer.KindUnavailable {
		t.Errorf("the failed backup is %+v", got)
	}
}

func testFailBackup(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	full := w.completed(in, "")
	b := w.building(in, full.ID)
	id := coffer.JobID(b.ID)
	end := records.Ending{Error: strings.Repeat("x", 1<<20), Now: w.now()}
	w.no(db.Fail(w.ctx, id, bob, end))
	w.counts(full.ID, 1, 0)
	w.yes(db.Fail(w.ctx, id, alice, end))
	w.yes(db.Fail(w.ctx, id, alice, end)) // repeated
	w.state(b.ID, coffer.Failed)
	w.counts(full.ID, 0, 0)
	if j := w.job(id); j.ErrKind != coffer.KindInternal || len(j.Error) > 8192 || j.Ended.IsZero() {
		t.Errorf("the failed job is %+v", j)
	}
	w.free(in, true)
	_, err := db.Fail(w.ctx, "none", "", end)
	w.want(coffer.KindNotFound, err)
}

func testLost(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	b := w.building(in, "")
	id := coffer.JobID(b.ID)
	w.free(in, false)
	updated := w.job(id).Updated
	w.must(db.MarkLost(w.ctx, id, w.now()))
	w.free(in, true)
	if j := w.job(id); !j.Lost || j.State != coffer.Building || j.Updated != updated {
		t.Errorf("the lost job is %+v", j)
	}
	next := w.create(in, "") // occupies the instance anew
	w.yes(db.Fail(w.ctx, id, "", records.Ending{Now: w.now()}))
	w.free(in, false) // the lost job's end has not freed it under the new one
	w.state(next.ID, coffer.New)
}

func testCancel(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	full := w.completed(in, "")
	b := w.create(in, full.ID)
	j, err := db.Cancel(w.ctx, ours, coffer.JobID(b.ID), w.now())
	w.must(err)
	if j.State != coffer.Failed || j.ErrKind != coffer.KindCanceled {
		t.Errorf("an unclaimed job is cancelled to %+v", j)
	}
	w.state(b.ID, coffer.Failed)
	w.counts(full.ID, 0, 0)
	_, err = db.Cancel(w.ctx, ours, coffer.JobID(b.ID), w.now())
	w.want(coffer.KindConflict, err)

	b = w.building(in, full.ID)
	for range 2 {
		j, err = db.Cancel(w.ctx, ours, coffer.JobID(b.ID), w.now())
		w.must(err)
		if j.State != coffer.Building || !j.Cancel {
			t.Errorf("a claimed job is cancelled to %+v", j)
		}
	}
	w.yes(db.Fail(w.ctx, coffer.JobID(b.ID), alice, records.Ending{Kind: coffer.KindCanceled, Now: w.now()}))
	b = w.saving(in, "")
	_, err = db.Cancel(w.ctx, ours, coffer.JobID(b.ID), w.now())
	w.want(coffer.KindConflict, err)
	if w.job(coffer.JobID(b.ID)).Cancel {
		t.Error("a refused cancel left its flag")
	}
}

func testRestore(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	chain := w.chain(w.instance(ours), 2)
	last := chain[2].ID
	_, err := w.newJob(coffer.JobRestore, last, coffer.Spec{})
	w.want(coffer.KindInvalid, err)
	j := w.start(coffer.JobRestore, last, coffer.Spec{Target: &coffer.Target{Agent: "host", Name: "copy"}})
	for i, refs := range []int{1, 1, 0} {
		w.counts(chain[i].ID, refs, 1)
	}
	in, err := db.Instance(w.ctx, ours, j.Instance)
	w.must(err)
	if in.Kind != coffer.Hosted || in.Status != "BUILD" || in.Name != "copy" || in.Agent != "host" || in.Datastore != chain[0].Datastore {
		t.Errorf("the new instance is %+v", in)
	}
	w.free(in.ID, false)
	w.want(coffer.KindUnprocessable, db.DeleteInstance(w.ctx, ours, in.ID))
	if j.Spec.Target == nil || j.Spec.Target.Name != "copy" {
		t.Errorf("the target was lost: %+v", j.Spec)
	}
	w.yes(db.Finish(w.ctx, j.ID, w.now()))
	w.yes(db.Finish(w.ctx, j.ID, w.now()))
	for i, refs := range []int{1, 1, 0} {
		w.counts(chain[i].ID, refs, 0)
	}
	in, err = db.Instance(w.ctx, ours, j.Instance)
	w.must(err)
	if in.Status != "ACTIVE" {
		t.Errorf("after the restore the instance is %s", in.Status)
	}
	w.free(in.ID, true)

	j = w.start(coffer.JobRestore, last, coffer.Spec{Target: &coffer.Target{Agent: "host"}})
	w.yes(db.Fail(w.ctx, j.ID, bob, records.Ending{Now: w.now()}))
	w.counts(last, 0, 0)
	in, err = db.Instance(w.ctx, ours, j.Instance)
	w.must(err)
	if in.Status != "ERROR" {
		t.Errorf("after a failed restore the instance is %s", in.Status)
	}
	w.no(db.Finish(w.ctx, j.ID, w.now()))

	files := w.start(coffer.JobRestore, last, coffer.Spec{Target: &coffer.Target{Dir: "/x"}})
	if files.Instance != "" {
		t.Errorf("a restore of files made instance %s", files.Instance)
	}
	w.yes(db.Finish(w.ctx, files.ID, w.now()))
}

func testVerify(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	chain := w.chain(in, 1)
	j := w.start(coffer.JobVerify, chain[1].ID, coffer.Spec{})
	w.counts(chain[0].ID, 1, 1)
	w.counts(chain[1].ID, 0, 1)
	w.free(in, true) // reading does not occupy
	if j.Instance != in {
		t.Errorf("the verify is of instance %q", j.Instance)
	}
	_, err := w.newJob(coffer.JobDelete, chain[1].ID, coffer.Spec{})
	w.want(coffer.KindConflict, err)
	_, err = w.newJob(coffer.JobDelete, chain[0].ID, coffer.Spec{Force: true})
	w.want(coffer.KindConflict, err)
	w.yes(db.Finish(w.ctx, j.ID, w.now()))
	w.counts(chain[0].ID, 1, 0)
	b := w.saving(in, "")
	_, err = w.newJob(coffer.JobVerify, b.ID, coffer.Spec{})
	w.want(coffer.KindConflict, err)
	w.yes(db.Complete(w.ctx, coffer.JobID(b.ID), records.Completion{Manifest: sum, Now: w.now()}))
	failed := w.create(in, b.ID)
	w.yes(db.Fail(w.ctx, coffer.JobID(failed.ID), "", records.Ending{Now: w.now()}))
	w.start(coffer.JobDelete, b.ID, coffer.Spec{})
	w.must(db.Deleted(w.ctx, b.ID, w.now()))
	_, err = w.newJob(coffer.JobVerify, failed.ID, coffer.Spec{})
	w.want(coffer.KindConflict, err) // the backup is at fault, not the records
	v := coffer.Verdict{At: w.now(), OK: true, Text: "all sums are right"}
	before := w.backup(chain[1].ID)
	w.must(db.SetVerdict(w.ctx, chain[1].ID, v))
	before.Verified = v
	if d := cmp.Diff(before, w.backup(chain[1].ID)); d != "" {
		t.Errorf("a verdict changes more than itself (-want +got):\n%s", d)
	}
	w.want(coffer.KindNotFound, db.SetVerdict(w.ctx, "none", v))
}

func testEvents(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	b := w.create(w.instance(ours), "")
	id := coffer.JobID(b.ID)
	at := w.now()
	w.must(db.AddEvents(w.ctx, id, []coffer.Event{
		{At: at, Code: "a", Text: "one\x00", Facts: map[string]string{"k": "v"}},
		{At: at, Level: coffer.Warn, Code: "b", Text: strings.Repeat("é", 1<<20), Facts: map[string]string{"big": strings.Repeat("x", 1<<20)}},
		{At: at, Code: "c"},
	}))
	got, err := db.Events(w.ctx, ours, id, 0, 2)
	w.must(err)
	if len(got) != 2 || got[0].Text != "one" || got[0].Level != coffer.Info || got[0].Facts["k"] != "v" || !got[0].At.Equal(at) {
		t.Fatalf("the first events are %+v", got)
	}
	if len(got[1].Text) > 8192 || len(got[1].Facts["big"]) > 0 {
		t.Error("an event of a megabyte went into the row")
	}
	rest, err := db.Events(w.ctx, ours, id, got[1].ID, 2)
	w.must(err)
	if len(rest) != 1 || rest[0].Code != "c" || rest[0].ID <= got[1].ID {
		t.Errorf("the next page is %+v", rest)
	}
	w.want(coffer.KindNotFound, db.AddEvents(w.ctx, "none", got))
	many := make([]coffer.Event, records.MaxEvents)
	for i := range many {
		many[i] = coffer.Event{Code: "n", At: time.Unix(1, 0)}
	}
	w.must(db.AddEvents(w.ctx, id, many[:records.MaxEvents-4])) // one short of full
	w.yes(db.Fail(w.ctx, id, "", records.Ending{Error: "x", Now: w.now(), Events: many[:2]}))
	w.must(db.AddEvents(w.ctx, id, many[:2]))
	last, err := db.Events(w.ctx, ours, id, records.MaxEvents-1, 10)
	w.must(err)
	if len(last) != 1 || last[0].Code != "events.full" {
		t.Errorf("the diary's end is %+v", last)
	}
}
