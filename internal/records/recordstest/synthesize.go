package recordstest

import (
	"slices"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// mergeable completes a backup that joins its parent.
func (w *world) mergeable(in coffer.InstanceID, parent coffer.BackupID) coffer.Backup {
	w.Helper()
	b := w.saving(in, parent)
	w.yes(w.db.Complete(w.ctx, coffer.JobID(b.ID), records.Completion{
		Manifest: sum, Position: coffer.Position{To: 9, RedoStart: 9, PageSize: 16384, PageLists: true}, Now: w.now(),
	}))
	return w.backup(b.ID)
}

// testSynthesis: a full that is joined holds its chain, occupies the instance, is no
// child of anybody, and stands just behind the link that it was made of.
func testSynthesis(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := w.instance(ours)
	ask := func(b coffer.BackupID, key string) (coffer.Backup, error) {
		return db.CreateSynthesis(w.ctx, records.NewSynthesis{Project: ours, Backup: b, Key: key, Quota: -1, Now: w.now()})
	}
	full := w.mergeable(in, "")
	one := w.mergeable(in, full.ID)
	plain := w.completed(w.instance(ours), "")
	for _, b := range []coffer.BackupID{full.ID, w.completed(plain.Instance, plain.ID).ID} { // a full; not mergeable
		_, err := ask(b, "")
		w.want(coffer.KindConflict, err)
		w.counts(b, 0+len(mustChildren(w, b)), 0)
	}
	_, err := ask("none", "")
	w.want(coffer.KindNotFound, err)
	_, err = db.CreateSynthesis(w.ctx, records.NewSynthesis{Project: ours, Backup: one.ID, Quota: 1, Now: w.now()})
	w.want(coffer.KindQuota, err)
	w.counts(one.ID, 0, 0)

	b, err := ask(one.ID, "key")
	w.must(err)
	again, err := ask(one.ID, "key")
	w.must(err)
	if again.ID != b.ID || b.Parent != "" || b.Root != b.ID || b.Depth != 0 || b.Type != "full" || b.Instance != in ||
		b.Name != one.Name || b.Store != one.Store || b.Container != one.Container {
		t.Errorf("made %+v, asked again %s", b, again.ID)
	}
	if j := w.job(coffer.JobID(b.ID)); j.Kind != coffer.JobBackup || j.Spec.Synthesize != one.ID || !j.Created.After(one.Created) {
		t.Errorf("its job is %+v", j)
	}
	w.counts(full.ID, 1, 1)
	w.counts(one.ID, 0, 1)
	w.free(in, false)
	_, err = ask(one.ID, "")
	w.want(coffer.KindUnprocessable, err) // occupied
	w.end(b.ID, one)
	w.free(in, true)
	w.counts(full.ID, 1, 0)
	w.counts(one.ID, 0, 0)

	next := w.mergeable(in, w.nextParent(in))
	if next.Parent != b.ID {
		t.Errorf("the next increment stands on %s, want the new full", next.Parent)
	}
	late, err := ask(one.ID, "")
	w.must(err)
	w.end(late.ID, one)
	if got := w.nextParent(in); got != next.ID {
		t.Errorf("a full of an older link is taken for the newest: %s", got)
	}
}

// testLongChains: listed are the backups that the next increment would make longer,
// and no longer once a full stands behind them.
func testLongChains(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	long := func(links int, after coffer.BackupID, limit int) (ids []coffer.BackupID) {
		t.Helper()
		list, err := db.LongChains(w.ctx, links, after, limit)
		w.must(err)
		for _, b := range list {
			ids = append(ids, b.ID)
		}
		return ids
	}
	in, other := w.instance(ours), w.instance(ours)
	full := w.mergeable(in, "")
	one := w.mergeable(in, full.ID)
	two := w.mergeable(in, one.ID)
	short := w.mergeable(other, w.mergeable(other, "").ID)
	if got := long(3, "", 9); !slices.Equal(got, []coffer.BackupID{two.ID}) {
		t.Errorf("chains of three: %q, want %s", got, two.ID)
	}
	all := []coffer.BackupID{two.ID, short.ID}
	slices.Sort(all)
	if got := long(2, "", 9); !slices.Equal(got, all) {
		t.Errorf("chains of two and more: %q, want %q", got, all)
	}
	if got := append(long(2, "", 1), long(2, all[0], 1)...); !slices.Equal(got, all) {
		t.Errorf("the same by pages: %q, want %q", got, all)
	}
	b, err := db.CreateSynthesis(w.ctx, records.NewSynthesis{Project: ours, Backup: two.ID, Quota: -1, Now: w.now()})
	w.must(err)
	w.end(b.ID, two)
	if got := long(2, "", 9); !slices.Equal(got, []coffer.BackupID{short.ID}) {
		t.Errorf("after one was joined: %q, want %s", got, short.ID)
	}
	w.mergeable(in, b.ID)
	if got := long(3, "", 9); len(got) != 0 {
		t.Errorf("a chain that begins anew is long: %q", got)
	}
}

// end completes a joined full as the control plane does.
func (w *world) end(id coffer.BackupID, src coffer.Backup) {
	w.Helper()
	job := coffer.JobID(id)
	_, err := w.db.Claim(w.ctx, job, alice, w.now())
	w.must(err)
	_, _, err = w.db.Grant(w.ctx, job, alice, sum, w.now())
	w.must(err)
	w.yes(w.db.Complete(w.ctx, job, records.Completion{Manifest: sum, Now: w.now(), Ended: src.Ended.Add(records.JustBehind)}))
	b := w.backup(id)
	if !b.Ended.Equal(src.Ended.Add(records.JustBehind)) || !b.Created.Equal(src.Created.Add(records.JustBehind)) || !b.Updated.After(src.Ended) {
		w.Fatalf("it stands from %v to %v, its source %v to %v", b.Created, b.Ended, src.Created, src.Ended)
	}
}

// nextParent is what an increment would stand on.
func (w *world) nextParent(in coffer.InstanceID) coffer.BackupID {
	w.Helper()
	b, err := w.db.CreateBackup(w.ctx, records.NewBackup{Project: ours, Instance: in, Name: "n", Incremental: true, Store: "main", Quota: -1, Now: w.now()})
	w.must(err)
	_, err = w.db.Cancel(w.ctx, ours, coffer.JobID(b.ID), w.now())
	w.must(err)
	return b.Parent
}

func mustChildren(w *world, id coffer.BackupID) []coffer.Backup {
	w.Helper()
	list, err := w.db.Children(w.ctx, id)
	w.must(err)
	return list
}
