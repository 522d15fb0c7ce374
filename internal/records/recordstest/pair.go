package recordstest

import (
	"sync/atomic"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// pair is one set of records, opened by two processes.
type pair struct {
	*world
	other *records.DB
	share int // rounds are divided by it
}

func (p *pair) rounds(n int) int { return n / p.share }

// handle is the one or the other.
func (p *pair) handle(i int) *records.DB {
	if i%2 == 0 {
		return p.db
	}
	return p.other
}

// both runs a through one handle and b through the other, at once; which comes
// first, and through which, changes with the round.
func (p *pair) both(round int, a, b func(*records.DB)) {
	fs := []func(){func() { a(p.handle(round)) }, func() { b(p.handle(round + 1)) }}
	if round%4 > 1 {
		fs[0], fs[1] = fs[1], fs[0]
	}
	together(fs...)
}

func testPairQuota(t *testing.T, p *pair) {
	var made, refused atomic.Int32
	var fs []func()
	for i := range 50 {
		n := records.NewBackup{Project: ours, Instance: p.instance(ours), Name: "n", Store: "main", Quota: 10, Now: p.now()}
		fs = append(fs, func() {
			switch _, err := p.handle(i).CreateBackup(p.ctx, n); coffer.KindOf(err) {
			case "":
				made.Add(1)
			case coffer.KindQuota:
				refused.Add(1)
			default:
				t.Errorf("create: %v", err)
			}
		})
	}
	together(fs...)
	rows, err := p.other.Backups(p.ctx, records.BackupFilter{Project: ours})
	p.must(err)
	if made.Load() != 10 || refused.Load() != 40 || len(rows) != 10 {
		t.Errorf("%d were made, %d refused and %d are there, want 10, 40 and 10", made.Load(), refused.Load(), len(rows))
	}
}

// testPairParent deletes the parent while a child is made.
func testPairParent(t *testing.T, p *pair) {
	in := p.instance(ours)
	var deletes int
	for i := range p.rounds(200) {
		full := p.completed(in, "")
		var child coffer.Backup
		var cerr, derr error
		n := records.NewBackup{Project: ours, Instance: in, Name: "n", Parent: full.ID, Store: "main", Quota: -1, Now: p.now()}
		d := records.NewJob{Kind: coffer.JobDelete, Project: ours, Backup: full.ID, Now: p.now()}
		p.both(i,
			func(db *records.DB) { child, cerr = db.CreateBackup(p.ctx, n) },
			func(db *records.DB) { _, derr = db.CreateJob(p.ctx, d) })
		if (cerr == nil) == (derr == nil) {
			t.Fatalf("round %d: create said %v and delete said %v, want exactly one", i, cerr, derr)
		}
		p.counts(full.ID, map[bool]int{true: 1}[cerr == nil], 0)
		if cerr == nil {
			p.want(coffer.KindConflict, derr)
			p.yes(p.db.Fail(p.ctx, coffer.JobID(child.ID), "", records.Ending{Now: p.now()}))
			continue
		}
		p.want(coffer.KindConflict, cerr)
		deletes++
	}
	t.Logf("of %d races the delete won %d", p.rounds(200), deletes)
}

// testPairNewest deletes the newest backup while an increment onto "the newest" is
// made: it stands on another one, or is a full, and is never refused.
func testPairNewest(t *testing.T, p *pair) {
	in := p.instance(ours)
	for i := range p.rounds(40) {
		newest := p.completed(in, "")
		var child coffer.Backup
		var cerr, derr error
		n := records.NewBackup{Project: ours, Instance: in, Name: "n", Incremental: true, Store: "main", Quota: -1, Now: p.now()}
		d := records.NewJob{Kind: coffer.JobDelete, Project: ours, Backup: newest.ID, Now: p.now()}
		p.both(i,
			func(db *records.DB) { child, cerr = db.CreateBackup(p.ctx, n) },
			func(db *records.DB) { _, derr = db.CreateJob(p.ctx, d) })
		p.must(cerr)
		if (child.Parent == newest.ID) == (derr == nil) {
			t.Fatalf("round %d: the parent is %q and delete said %v", i, child.Parent, derr)
		}
		if child.Parent != "" {
			p.counts(child.Parent, 1, 0)
		}
		p.yes(p.db.Fail(p.ctx, coffer.JobID(child.ID), "", records.Ending{Now: p.now()}))
	}
}

// testPairForced deletes a chain by force while a link is added: the link is
// refused, or keeps the delete from being made.
func testPairForced(t *testing.T, p *pair) {
	in := p.instance(ours)
	for i := range p.rounds(40) {
		chain := p.chain(in, 1)
		var child coffer.Backup
		var cerr, derr error
		n := records.NewBackup{Project: ours, Instance: in, Name: "n", Parent: chain[1].ID, Store: "main", Quota: -1, Now: p.now()}
		d := records.NewJob{Kind: coffer.JobDelete, Project: ours, Backup: chain[0].ID, Spec: coffer.Spec{Force: true}, Now: p.now()}
		p.both(i,
			func(db *records.DB) { child, cerr = db.CreateBackup(p.ctx, n) },
			func(db *records.DB) { _, derr = db.CreateJob(p.ctx, d) })
		if (cerr == nil) == (derr == nil) {
			t.Fatalf("round %d: create said %v and delete said %v, want exactly one", i, cerr, derr)
		}
		for _, b := range chain {
			if got := p.backup(b.ID).Deleting; got != (derr == nil) {
				t.Fatalf("round %d: backup %s is being deleted: %v, but delete said %v", i, b.ID, got, derr)
			}
		}
		if cerr == nil {
			p.yes(p.db.Fail(p.ctx, coffer.JobID(child.ID), "", records.Ending{Now: p.now()}))
		}
	}
}

// testPairPins verifies a chain while its last link is deleted.
func testPairPins(t *testing.T, p *pair) {
	in := p.instance(ours)
	for i := range p.rounds(40) {
		chain := p.chain(in, 1)
		var verify coffer.Job
		var verr, derr error
		v := records.NewJob{Kind: coffer.JobVerify, Project: ours, Backup: chain[1].ID, Now: p.now()}
		d := records.NewJob{Kind: coffer.JobDelete, Project: ours, Backup: chain[1].ID, Now: p.now()}
		p.both(i,
			func(db *records.DB) { verify, verr = db.CreateJob(p.ctx, v) },
			func(db *records.DB) { _, derr = db.CreateJob(p.ctx, d) })
		if (verr == nil) == (derr == nil) {
			t.Fatalf("round %d: verify said %v and delete said %v, want exactly one", i, verr, derr)
		}
		pins := map[bool]int{true: 1}[verr == nil]
		p.counts(chain[0].ID, 1, pins)
		p.counts(chain[1].ID, 0, pins)
		if verr == nil {
			var gone [2]bool
			p.both(i, // both say that it ended; the pins go once
				func(db *records.DB) {
					gone[0], _ = db.Fail(p.ctx, verify.ID, "", records.Ending{Now: p.at})
				},
				func(db *records.DB) {
					gone[1], _ = db.Fail(p.ctx, verify.ID, "", records.Ending{Now: p.at})
				})
			if !gone[0] || !gone[1] {
				t.Fatalf("round %d: the same end was answered %v", i, gone)
			}
			p.counts(chain[0].ID, 1, 0)
		}
	}
}
