package survive

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// damage is one thing done to what is stored; object is what the error must name.
type damage struct {
	name, object string
	do           func(w *world, full, inc coffer.BackupID)
	unread       bool // verify reads one backup, not its parents: this one is of the parent's
}

func data(id coffer.BackupID) string     { return string(id) + ".xbstream.zst" }
func manifest(id coffer.BackupID) string { return archive.ManifestName(id) }

// rewrite changes an object's bytes in place.
func (w *world) rewrite(name string, change func([]byte) []byte) {
	w.t.Helper()
	b, err := os.ReadFile(w.path(name))
	w.must(err)
	changed := change(bytes.Clone(b))
	if bytes.Equal(b, changed) {
		w.t.Fatalf("%s is as it was", name)
	}
	w.must(os.WriteFile(w.path(name), changed, 0o600))
}

// edited is a manifest of the same backup that says something else.
func edited(change func(m map[string]any)) func([]byte) []byte {
	return func(b []byte) []byte {
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			return b
		}
		change(m)
		b, _ = json.Marshal(m) // what came from JSON goes back
		return b
	}
}

func damages(full, inc coffer.BackupID) []damage {
	return []damage{
		{"flipped bytes", data(full), func(w *world, full, _ coffer.BackupID) {
			w.rewrite(data(full), func(b []byte) []byte { // everywhere: what the increment has anew is not read
				for i := 20; i < len(b); i += 64 << 10 {
					b[i] ^= 1
				}
				return b
			})
		}, true},
		{"flipped byte in the increment", data(inc), func(w *world, _, inc coffer.BackupID) {
			w.rewrite(data(inc), func(b []byte) []byte { b[len(b)/3] ^= 0x80; return b })
		}, false},
		{"cut tail", data(full), func(w *world, full, _ coffer.BackupID) {
			w.rewrite(data(full), func(b []byte) []byte { return b[:len(b)-1] })
		}, true},
		{"swapped parts", data(full), func(w *world, full, _ coffer.BackupID) {
			w.rewrite(data(full), func(b []byte) []byte {
				const part = 1 << 20
				return append(append(append([]byte(nil), b[part:2*part]...), b[:part]...), b[2*part:]...)
			})
		}, true},
		{"missing data", data(inc), func(w *world, _, inc coffer.BackupID) { w.must(os.Remove(w.path(data(inc)))) }, false},
		{"another backup's data", data(inc), func(w *world, full, inc coffer.BackupID) {
			w.rewrite(data(inc), func([]byte) []byte { b, _ := os.ReadFile(w.path(data(full))); return b })
		}, false},
		{"missing manifest", manifest(inc), func(w *world, _, inc coffer.BackupID) { w.must(os.Remove(w.path(manifest(inc)))) }, false},
		{"another backup's manifest", manifest(inc), func(w *world, full, inc coffer.BackupID) {
			w.rewrite(manifest(inc), func([]byte) []byte { b, _ := os.ReadFile(w.path(manifest(full))); return b })
		}, false},
		{"older manifest", manifest(full), func(w *world, full, _ coffer.BackupID) {
			w.rewrite(manifest(full), edited(func(m map[string]any) { m["finished"] = time.Now().Add(-time.Hour).UTC() }))
		}, true},
		{"edited manifest", manifest(inc), func(w *world, _, inc coffer.BackupID) {
			w.rewrite(manifest(inc), edited(func(m map[string]any) { m["parent"] = nil; m["depth"] = 0 }))
		}, false},
		{"garbled manifest", manifest(inc), func(w *world, _, inc coffer.BackupID) {
			w.rewrite(manifest(inc), func(b []byte) []byte { return b[:len(b)/2] })
		}, false},
		{"a dead backup's manifest", archive.TombstoneName(inc), func(w *world, _, inc coffer.BackupID) {
			w.must(archive.Tombstone(w.t.Context(), w.place(), inc))
		}, false},
	}
}

// TestDamageIsRefusedBeforeAnyDatabaseStarts spoils what is stored. Restore and
// verify say which object it is, the tool is not run on it, and nothing is left in
// the target.
func TestDamageIsRefusedBeforeAnyDatabaseStarts(t *testing.T) {
	t.Parallel()
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	w := newWorld(t, src, settings{})
	full := w.good("")
	src.change(t)
	inc := w.good("last")
	kept := filepath.Join(w.dir, "kept")
	w.copyTree(w.path(""), kept)
	for _, d := range damages(full.ID, inc.ID) {
		d.do(w, full.ID, inc.ID)
		if !w.refusesToRestore(d, inc.ID) {
			t.Logf("that was: %s", d.name)
		}
		of := inc.ID
		if d.unread {
			of = full.ID
		}
		if j := w.verify(of); ok(j) || !strings.Contains(j.Error, d.object) || w.row(of).Verified.OK {
			t.Errorf("%s: verify is %s and says %q; want the name of %s", d.name, j.State, j.Error, d.object)
		}
		w.must(os.RemoveAll(w.path("")))
		w.copyTree(kept, w.path(""))
	}
	// Only of the increment with a flipped byte the sound full was prepared, twice.
	if n, m := w.ran("--prepare"), w.ran("--incremental-dir"); n > 2 || m > 0 {
		t.Errorf("the tool was run on damaged backups: %d times, %d of them with the increment", n, m)
	}
	w.faulty(storetest.Fault{Op: storetest.Put, Name: ".s.verified.", Kind: coffer.KindForbidden}, storetest.Fault{Op: storetest.Open, Name: data(inc.ID), Times: -1, Flip: true, FlipAt: 9})
	if j := w.verify(inc.ID); j.ErrKind != coffer.KindCorrupt || !strings.Contains(j.Error, data(inc.ID)) || w.row(inc.ID).Verified.At.IsZero() {
		t.Errorf("verify that cannot lay its statement: %s %s", j.ErrKind, j.Error)
	}
	w.use(w.file)
	w.restores(inc)
	if j := w.verify(inc.ID); !ok(j) || !w.row(inc.ID).Verified.OK {
		t.Errorf("verify of the whole backup: %s", j.Error)
	}
}

// refusesToRestore wants both kinds of restore to be refused.
func (w *world) refusesToRestore(d damage, id coffer.BackupID) bool {
	w.t.Helper()
	dir, j := w.restore(id)
	good := !ok(j) && strings.Contains(j.Error, d.object)
	if !good {
		w.t.Errorf("%s: the restore is %s and says %q; want the name of %s", d.name, j.State, j.Error, d.object)
	}
	empty(w.t, dir)
	j = w.runJob(coffer.JobRestore, id, coffer.Spec{Target: &coffer.Target{Agent: w.agentID, Name: "copy"}})
	if ok(j) || !strings.Contains(j.Error, d.object) || len(w.host.Running()) > 0 {
		w.t.Errorf("%s: the restore into a server is %s and says %q", d.name, j.State, j.Error)
		good = false
	}
	if slots, _ := filepath.Glob(w.host.Dir() + "/*-*"); len(slots) > 0 {
		w.t.Errorf("%s: there is still %q", d.name, slots)
	}
	return good
}

func (w *world) copyTree(from, to string) {
	w.t.Helper()
	w.must(os.CopyFS(to, os.DirFS(from)))
}

// TestIndexIsNotNeeded: without an index, or with a spoiled one, a backup restores.
func TestIndexIsNotNeeded(t *testing.T) {
	t.Parallel()
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	w := newWorld(t, src, settings{})
	b := w.good("")
	index := archive.IndexName(b.ID, false)
	w.rewrite(index, func(x []byte) []byte { x[len(x)/2] ^= 1; return x })
	if _, j := w.restore(b.ID); !ok(j) {
		t.Errorf("restore with a spoiled index: %s", j.Error)
	}
	w.must(os.Remove(w.path(index)))
	w.restores(b)
	src.change(t)
	w.restores(w.good("last"))
}
