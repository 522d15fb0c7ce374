package catalogue_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/catalogue"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func open(t testing.TB) *records.DB {
	t.Helper()
	db, err := records.Open(t.Context(), filepath.Join(t.TempDir(), "r.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// backup commits an archive of project p; parent is nil for a full.
func backup(t testing.TB, st store.Full, p coffer.ProjectID, container string, parent *archive.Sealed) archive.Sealed {
	t.Helper()
	id := coffer.BackupID(coffer.NewUUID())
	w, err := archive.Create(t.Context(), archive.Place{Store: st, Prefix: coffer.Prefix(p, container)}, archive.Intent{
		Installation: "i", Backup: id, Project: p, Instance: "6a1f0000-0000-4000-8000-000000000001", Runner: coffer.NewRunner("a", "b"),
	}, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("bytes of " + id)); err != nil {
		t.Fatal(err)
	}
	m := archive.Manifest{
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Tool: "t", Method: "mariabackup",
		Position: coffer.Position{To: 9}, Sizes: coffer.Sizes{Data: 7}, Started: began, Finished: began.Add(time.Minute),
	}
	if parent != nil {
		m.Parent = &archive.Parent{ID: parent.Manifest.Backup, ManifestSHA256: parent.SHA256}
		m.Root, m.Depth = parent.Manifest.Root, parent.Manifest.Depth+1
	}
	s, err := w.Finish(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := w.Commit(t.Context()); out != archive.Done || err != nil {
		t.Fatalf("commit: %v, %v", out, err)
	}
	return s
}

func rebuild(t testing.TB, db *records.DB, st store.Full, p coffer.ProjectID) catalogue.Report {
	t.Helper()
	r, err := catalogue.Rebuild(t.Context(), catalogue.Options{
		Name: "main", Store: st, URL: func(o string) string { return "x://" + o }, Records: db, Project: p,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// From the store alone: whole ones come back as chains that can be restored, what is
// dead does not, what misses data is FAILED, and nobody gets another's. Again it is
// the same.
func TestRebuild(t *testing.T) {
	t.Parallel()
	ctx, st, db := t.Context(), storetest.NewMemory(), open(t)
	full := backup(t, st, "p1", "a.b/c", nil)
	inc := backup(t, st, "p1", "", &full)
	dead := backup(t, st, "p1", "", nil)
	torn := backup(t, st, "p2", "", nil)
	at := archive.Place{Store: st, Prefix: coffer.Prefix("p1", "")}
	must(t, archive.Tombstone(ctx, at, dead.Manifest.Backup))
	must(t, st.Delete(ctx, coffer.Prefix("p2", "")+torn.Manifest.Volumes[0].Name))
	must(t, archive.State(ctx, at, inc.Manifest.Backup, archive.StatementVerified, coffer.Verdict{At: began, OK: true, Text: "read"}))
	must(t, archive.State(ctx, at, inc.Manifest.Backup, archive.StatementHold, nil))
	moved(t, st, full, "p2")
	put(t, st, "a stranger's/thing", "x")
	put(t, st, at.Prefix+"keys/6a1f0000-0000-4000-8000-000000000000.2.age", "wrapped")

	got := rebuild(t, db, st, "")
	want := catalogue.Report{Manifests: 5, Made: 3, Failed: 1, Dead: 1, Held: 1, Keys: 1}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(catalogue.Report{}, "Problems")); diff != "" || len(got.Problems) != 2 {
		t.Errorf("%s%q", diff, got.Problems)
	}
	same(t, db, full, inc, torn)
	again := rebuild(t, db, st, "")
	if again.Made != 0 || again.Known != 3 || again.Keys != 0 {
		t.Errorf("again: %+v", again)
	}
	same(t, db, full, inc, torn)
}

// moved lays a backup's objects under another project.
func moved(t *testing.T, st store.Full, s archive.Sealed, to coffer.ProjectID) {
	t.Helper()
	from := coffer.Prefix(s.Manifest.Project, "a.b/c")
	for o, err := range st.List(t.Context(), from) {
		must(t, err)
		r, err := st.Open(t.Context(), o.Name, 0, -1)
		must(t, err)
		b := make([]byte, o.Size)
		_, err = r.Read(b)
		must(t, err)
		r.Close()
		put(t, st, coffer.Prefix(to, "")+strings.TrimPrefix(o.Name, from), string(b))
	}
}

func put(t *testing.T, st store.Full, name, text string) {
	t.Helper()
	_, err := st.Put(t.Context(), name, store.Bytes([]byte(text)), nil)
	must(t, err)
}

func same(t *testing.T, db *records.DB, full, inc, torn archive.Sealed) {
	t.Helper()
	chain, err := db.Chain(t.Context(), "p1", inc.Manifest.Backup)
	must(t, err)
	must(t, coffer.CheckChain(chain))
	f, i := chain[0], chain[1]
	if f.Refs != 1 || f.Container != "a.b/c" || f.Location != "x://p1/a.b%2Fc/"+full.Manifest.Volumes[0].Name || f.Manifest != full.SHA256 {
		t.Errorf("the full: %+v", f)
	}
	if !i.Verified.OK || !i.Verified.At.Equal(began) || i.Type != "incremental" || i.Sizes != inc.Manifest.Sizes || i.Position != inc.Manifest.Position || !i.Ended.Equal(inc.Manifest.Finished) {
		t.Errorf("the increment: %+v", i)
	}
	b, err := db.Backup(t.Context(), "p2", torn.Manifest.Backup)
	if err != nil || b.State != coffer.Failed || !strings.Contains(b.Error, "missing") {
		t.Errorf("without its data: %+v, %v", b, err)
	}
	all, err := db.Backups(t.Context(), records.BackupFilter{Project: "p2"})
	if err != nil || len(all) != 1 {
		t.Errorf("project p2 has %d backups, %v", len(all), err)
	}
}

// What is known is not undone: a deleted backup whose manifest a store gave back
// stays deleted; and a parent that comes later is held by its child.
func TestRebuildOrder(t *testing.T) {
	t.Parallel()
	st, db := storetest.NewMemory(), open(t)
	full := backup(t, st, "p", "z", nil) // listed after its child
	inc := backup(t, st, "p", "a", &full)
	rebuild(t, db, st, "other")
	if _, err := db.BackupByID(t.Context(), full.Manifest.Backup); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("a row of another project: %v", err)
	}
	child := row(inc)
	if _, err := db.Recover(t.Context(), []coffer.Backup{child}); err != nil {
		t.Fatal(err)
	}
	rebuild(t, db, st, "p")
	b, err := db.BackupByID(t.Context(), full.Manifest.Backup)
	if err != nil || b.Refs != 1 {
		t.Errorf("the parent has %d children, %v", b.Refs, err)
	}
	if _, err := db.CreateJob(t.Context(), records.NewJob{Kind: coffer.JobDelete, Project: "p", Backup: b.ID}); !coffer.IsKind(err, coffer.KindConflict, coffer.KindBusy) {
		t.Errorf("a delete of what another stands on: %v", err)
	}
}

func row(s archive.Sealed) coffer.Backup {
	m := s.Manifest
	return coffer.Backup{
		ID: m.Backup, Project: m.Project, Instance: m.Instance, State: coffer.Completed, Parent: m.Parent.ID, Root: m.Root, Depth: m.Depth,
		Type: "incremental", Store: "main", Container: "a", Created: began, Ended: began,
	}
}

// BenchmarkRebuild reads 10,000 manifests out of files: one operation is all of them.
func BenchmarkRebuild(b *testing.B) {
	const count = 10_000
	dir := b.TempDir()
	st, err := file.New(dir, file.Options{Create: true})
	must(b, err)
	s := backup(b, st, "p", "", nil)
	id, at := string(s.Manifest.Backup), filepath.Join(dir, coffer.Prefix("p", ""))
	text, err := os.ReadFile(filepath.Join(at, id+".manifest.json"))
	must(b, err)
	volume, err := os.ReadFile(filepath.Join(at, s.Manifest.Volumes[0].Name))
	must(b, err)
	for range count - 1 {
		next := coffer.NewUUID()
		must(b, os.WriteFile(filepath.Join(at, next+".manifest.json"), []byte(strings.ReplaceAll(string(text), id, next)), 0o600))
		must(b, os.WriteFile(filepath.Join(at, strings.ReplaceAll(s.Manifest.Volumes[0].Name, id, next)), volume, 0o600))
	}
	for b.Loop() {
		db := open(b)
		r, err := catalogue.Rebuild(context.Background(), catalogue.Options{Name: "main", Store: st, URL: func(o string) string { return o }, Records: db})
		if err != nil || r.Made != count || r.Failed != 0 {
			b.Fatalf("%+v, %v", r, err)
		}
	}
}
