package taskmanager

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
	"github.com/cofferdb/coffer/internal/records"
)

const ps = 16 << 10

// link makes a COMPLETED backup with an index.
func (d *desk) link(parent coffer.BackupID, pos coffer.Position, stream []byte, entries ...engine.Entry) coffer.BackupID {
	d.t.Helper()
	ctx := d.t.Context()
	b, err := d.db.CreateBackup(ctx, records.NewBackup{Project: project, Instance: d.in, Name: "b", Store: "s", Parent: parent, Quota: -1})
	d.must(err)
	j, err := d.db.Claim(ctx, coffer.JobID(b.ID), runner, time.Now())
	d.must(err)
	m := archive.Manifest{Runner: j.Runner, Root: b.Root, Depth: b.Depth, Position: pos}
	if parent != "" {
		p, err := d.db.BackupByID(ctx, parent)
		d.must(err)
		m.Parent = &archive.Parent{ID: parent, ManifestSHA256: p.Manifest}
	}
	w, err := archive.Create(ctx, d.place(), archive.Intent{
		Installation: d.db.Installation(), Backup: j.Backup, Project: project, Instance: d.in, Runner: j.Runner,
	}, archive.Options{Workers: 1, SpoolDir: d.t.TempDir()})
	d.must(err)
	_, err = w.Write(stream)
	d.must(err)
	for _, e := range entries {
		d.must(w.Index(e))
	}
	s, err := w.Finish(ctx, m)
	d.must(err)
	if ok, why, err := d.db.Grant(ctx, j.ID, runner, s.SHA256, time.Now()); !ok || err != nil {
		d.t.Fatal(why, err)
	}
	if out, err := w.Commit(ctx); out != archive.Done {
		d.t.Fatal(out, err)
	}
	if done, why, err := d.tm.Settler.Complete(ctx, d.job(j.ID)); !done || err != nil {
		d.t.Fatal(why, err)
	}
	return b.ID
}

// table is an increment's stream and index with a table of two pages, made since the
// full, of which so many are in use.
func table(used int) ([]byte, []engine.Entry) {
	zero, id := uint32(0), uint32(9)
	stream := make([]byte, 4*ps) // an empty delta of ibdata1; a list, page 0 and page 1 of the table
	page := stream[2*ps : 3*ps]
	binary.BigEndian.PutUint64(page[16:], 50)
	binary.BigEndian.PutUint16(page[24:], 8)
	binary.BigEndian.PutUint32(page[150+20:], 2)
	for p := range 64 {
		if p >= used {
			page[150+24+p/4] |= 1 << (p % 4 * 2)
		}
	}
	var runs layers.Runs
	runs.Add(0)
	runs.Add(1)
	return stream, []engine.Entry{
		{Name: "ibdata1.meta", Kind: engine.KindMeta, Space: &zero, PageSize: ps},
		{Name: "ibdata1.delta", Kind: engine.KindDelta, PageSize: ps, Size: ps, Chunks: []engine.Chunk{{Len: ps}}},
		{Name: "d/n.ibd.meta", Kind: engine.KindMeta, Space: &id, PageSize: ps},
		{Name: "d/n.ibd.delta", Kind: engine.KindPages, Runs: runs.Take(true)},
		{
			Name: "d/n.ibd.delta", Kind: engine.KindDelta, PageSize: ps, Pages: 2, Page0: true, FSPSize: 3, Size: 3 * ps,
			Chunks: []engine.Chunk{{Len: 3 * ps, Plain: ps}},
		},
	}
}

// TestVerifyLooksOverTheChain: the bytes of an increment are what was written, and yet
// it is no good if a page that is in use is in no backup of its chain. Where less is
// known, the bytes alone count.
func TestVerifyLooksOverTheChain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	zero := uint32(0)
	at := coffer.Position{To: 100, RedoStart: 90, PageLists: true, PageSize: ps, DataFilePath: "ibdata1:12M:autoextend"}
	full := d.link("", at, make([]byte, ps), engine.Entry{
		Name: "ibdata1", Kind: engine.KindSpace, Space: &zero, PageSize: ps, Page0: true, FSPSize: 1, Size: ps, Chunks: []engine.Chunk{{Len: ps}},
	})
	at.From, at.To, at.RedoStart = 90, 200, 190
	verify := func(b coffer.BackupID) (coffer.Verdict, error) {
		j, err := d.db.CreateJob(t.Context(), records.NewJob{Kind: coffer.JobVerify, Project: project, Backup: b, Now: time.Now()})
		d.must(err)
		verr := d.tm.verify(t.Context(), j, &progress{})
		row, err := d.db.BackupByID(t.Context(), b)
		d.must(err)
		return row.Verified, verr
	}
	stream, entries := table(2)
	good := d.link(full, at, stream, entries...)
	if v, err := verify(good); err != nil || !v.OK {
		t.Errorf("nothing lacks: %v, %+v", err, v)
	}
	stream, entries = table(3)
	bad := d.link(full, at, stream, entries...)
	v, err := verify(bad)
	if !coffer.IsKind(err, coffer.KindCorrupt) || v.OK || !strings.Contains(v.Text, "d/n") || !strings.Contains(v.Text, "page 2") {
		t.Errorf("a page lacks: %v, %+v", err, v)
	}
	at.PageLists = false
	old := d.link(full, at, stream, entries...)
	if v, err := verify(old); err != nil || !v.OK {
		t.Errorf("a chain of which less is known: %v, %+v", err, v)
	}
}
