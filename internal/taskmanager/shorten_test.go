package taskmanager

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// grown makes a chain of n backups that can be joined, and gives the last.
func (d *desk) grown(n int) coffer.BackupID {
	d.t.Helper()
	at := coffer.Position{To: 100, RedoStart: 90, PageLists: true, PageSize: ps, DataFilePath: "ibdata1:12M:autoextend"}
	last := d.link("", at, make([]byte, ps))
	for range n - 1 {
		at.From, at.To, at.RedoStart = at.RedoStart, at.To+100, at.RedoStart+100
		last = d.link(last, at, make([]byte, ps))
	}
	return last
}

// joins are the fulls that were asked for of a link, the oldest first.
func (d *desk) joins(of coffer.BackupID) []coffer.Backup {
	d.t.Helper()
	list, err := d.db.Backups(d.t.Context(), records.BackupFilter{Project: project, Limit: records.MaxPage})
	d.must(err)
	list = slices.DeleteFunc(list, func(b coffer.Backup) bool { return d.job(coffer.JobID(b.ID)).Spec.Synthesize != of })
	slices.SortFunc(list, func(a, b coffer.Backup) int {
		return d.job(coffer.JobID(a.ID)).Created.Compare(d.job(coffer.JobID(b.ID)).Created)
	})
	return list
}

// ends ends a full that was asked for.
func (d *desk) ends(b coffer.Backup, good bool) {
	d.t.Helper()
	ctx, job := d.t.Context(), coffer.JobID(b.ID)
	j, err := d.db.Claim(ctx, job, runner, time.Now())
	d.must(err)
	if !good {
		ok, err := d.db.Fail(ctx, job, j.Runner, records.Ending{Kind: coffer.KindUnavailable, Error: "the store is away", Now: time.Now()})
		d.must(err)
		if !ok {
			d.t.Fatal("it did not fail")
		}
		return
	}
	const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	_, _, err = d.db.Grant(ctx, job, runner, sum, time.Now())
	d.must(err)
	src, err := d.db.BackupByID(ctx, j.Spec.Synthesize)
	d.must(err)
	ok, err := d.db.Complete(ctx, job, records.Completion{Manifest: sum, Now: time.Now(), Position: src.Position, Ended: src.Ended.Add(records.JustBehind)})
	d.must(err)
	if !ok {
		d.t.Fatal("it did not complete")
	}
}

// TestLongChainsAreJoined: a chain of as many backups as may be is joined, once for all
// passes and all task managers, under a name and with an event that say so; a shorter
// one, and one of which a full was made, is not.
func TestLongChainsAreJoined(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	d.tm.init()
	other := &TaskManager{ID: "other", Boot: "b", Records: d.db, Bus: d.tm.Bus, Stores: d, Log: d.tm.Log, Now: time.Now, Settler: d.tm.Settler}
	other.init()
	last := d.grown(3)
	pass := func(links int) {
		for _, tm := range []*TaskManager{d.tm, other, d.tm} {
			tm.Chains = Chains{MaxLinks: links, Quota: -1}
			d.must(tm.shorten(t.Context()))
		}
	}
	for _, links := range []int{0, 1, 4} {
		if pass(links); len(d.joins(last)) != 0 {
			t.Errorf("with max_links %d a chain of 3 is joined", links)
		}
	}
	pass(3)
	made := d.joins(last)
	if len(made) != 1 || made[0].Type != "full" || made[0].State != coffer.New || made[0].Name != "b (joined from 3 backups)" {
		t.Fatalf("made %+v", made)
	}
	events, err := d.db.Events(t.Context(), project, coffer.JobID(made[0].ID), 0, 10)
	d.must(err)
	if len(events) != 1 || events[0].Code != "chain.joined" || !strings.Contains(events[0].Text, string(last)) {
		t.Errorf("its diary: %+v", events)
	}
	d.ends(made[0], true)
	if pass(3); len(d.joins(last)) != 1 {
		t.Error("it is joined once more")
	}
}

// TestChainThatCannotBeJoined: a failure is tried again after pauses that grow, so often
// and no more; what can be joined by nobody, or has no room in the quota, is left alone.
func TestChainThatCannotBeJoined(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	d.tm.init()
	last := d.grown(2)
	d.tm.Chains = Chains{MaxLinks: 2, Quota: 2}
	if d.must(d.tm.shorten(t.Context())); len(d.joins(last)) != 0 {
		t.Error("it is joined beyond the quota")
	}
	d.tm.Chains.Quota = -1
	for try := 1; try <= joinTries; try++ {
		d.tm.forgetJoins()
		d.must(d.tm.shorten(t.Context()))
		d.must(d.tm.shorten(t.Context()))
		made := d.joins(last)
		if len(made) != try {
			t.Fatalf("%d tries after %d failures", len(made), try-1)
		}
		d.ends(made[try-1], false)
		d.must(d.tm.shorten(t.Context()))
		if n := len(d.joins(last)); n != try {
			t.Fatalf("tried again without a pause: %d", n)
		}
	}
	d.tm.forgetJoins()
	if d.must(d.tm.shorten(t.Context())); len(d.joins(last)) != joinTries {
		t.Error("it is tried for ever")
	}
	plain := d.link(last, coffer.Position{From: 190, To: 300, RedoStart: 290}, make([]byte, ps)) // no page lists
	d.tm.forgetJoins()
	if d.must(d.tm.shorten(t.Context())); len(d.joins(plain)) != 0 {
		t.Error("a chain is joined that cannot be")
	}
}

// forgetJoins ends all pauses.
func (t *TaskManager) forgetJoins() {
	t.joining.Lock()
	defer t.joining.Unlock()
	for _, f := range t.failing {
		f.since = time.Time{}
	}
}

// TestPausesGrow: they are of one chain, whichever link has failed.
func TestPausesGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tm := &TaskManager{}
		tm.init()
		var pauses []time.Duration
		for _, full := range []coffer.BackupID{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
			tm.joinFailed("root", full)
			tm.joinFailed("root", full)
			from := time.Now()
			for !tm.mayJoin("root") {
				time.Sleep(time.Minute)
			}
			pauses = append(pauses, time.Since(from))
		}
		const m, h = time.Minute, time.Hour
		if want := []time.Duration{5 * m, 20 * m, 80 * m, 320 * m, 1280 * m, 24 * h, 24 * h, 24 * h, 24 * h}; !slices.Equal(pauses, want) {
			t.Errorf("pauses of %v", pauses)
		}
		if !tm.mayJoin("another") {
			t.Error("another chain waits too")
		}
	})
}
