package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/keyring"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/stored"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

// TestRunKeepsChainsShort: with --max-links no chain has more backups, each run stands
// on the one before or on a full that was joined of it, and what is kept restores. What
// cannot be read is not joined: a full is taken.
func TestRunKeepsChainsShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 4<<20, false))
	id, err := codec.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	file := w.dir + "/identity.txt"
	if err := codec.WriteIdentity(file, id); err != nil {
		t.Fatal(err)
	}
	c := newCron(w, "b")
	args := []string{"--recipient", id.Recipient().String(), "--incremental", "--max-links", "2", "--keep", "3"}
	var types []string
	var depths []int
	for range 3 {
		b := c.good(append(args, "--identity", file)...)
		types, depths = append(types, b.Type), append(depths, b.Depth)
	}
	if !slices.Equal(types, []string{"full", "incremental", "incremental"}) || !slices.Equal(depths, []int{0, 1, 1}) {
		t.Errorf("the runs made %q of depths %d", types, depths)
	}
	if whole, _ := c.backups(); len(whole) != 4 { // full, increment, the full of both, increment
		t.Errorf("%d backups are there, want 4", len(whole))
	}
	if b := c.good(args...); b.Type != "full" {
		t.Errorf("without the identity the run made an %s", b.Type)
	}
	if whole, other := c.backups(); len(whole) != 3 || len(other) != 0 { // the old chain has gone by --keep
		t.Errorf("%d backups are there, want 3; of others %q", len(whole), other)
	}
	p, _ := c.start("", "--incremental", "--max-links", "1")
	c.ends(p, 2)
}

// TestServerKeepsChainsShort: with max_links = 3 the second increment's chain, of
// encrypted backups, becomes a full by itself, once, under a name and with an event that
// say so; the next increment stands on it. The chain itself restores merged, and of its
// full nothing is read that an increment has anew: not even if it is spoiled.
func TestServerKeepsChainsShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 4<<20, false))
	w.timings += ",shorten=200ms"
	w.env = append(w.env, "COFFER_TASKMANAGER_MAX_LINKS=3")
	const rows = "SELECT seq, SHA2(RAND(seq), 512), SHA2(RAND(seq+1), 512), SHA2(RAND(seq+2), 512) FROM seq_1_to_20000"
	w.db.Exec(t, "CREATE DATABASE aside", "USE aside", "CREATE TABLE aside.anew (id INT PRIMARY KEY, a CHAR(128), b CHAR(128), c CHAR(128))",
		"INSERT INTO aside.anew "+rows)
	if w.cli(nil, "keys", "init") != 0 {
		t.Fatal("no keys")
	}
	w.begin(false)
	chain := []coffer.BackupID{w.asks(trove.BackupCreate{Name: "full"})}
	for range 2 {
		w.db.Exec(t, "UPDATE aside.anew SET a = SHA2(RAND(), 512)")
		chain = append(chain, w.asks(trove.BackupCreate{Name: "next", ParentID: string(chain[len(chain)-1])}))
	}
	full := w.joined(chain[2])
	if full.State != coffer.Completed || full.Type != "full" || full.Name != "next (joined from 3 backups)" {
		t.Errorf("joined into %s %s %q: %s", full.State, full.Type, full.Name, reason(full.Error))
	}
	events, err := w.cl.Events(t.Context(), coffer.JobID(full.ID), 0, 0)
	if err != nil || !slices.ContainsFunc(events.Events, func(e coffer.Event) bool { return e.Code == "chain.joined" }) {
		t.Errorf("its events: %+v, %v", events, err)
	}
	next := w.asks(trove.BackupCreate{Name: "next", Incremental: 1})
	if b := w.show(next); b.Parent != full.ID || b.Depth != 1 {
		t.Errorf("the next increment stands on %s", b.Parent)
	}
	w.restored(next)
	w.spoilsSuperseded(chain, "aside/anew.ibd")
	w.restored(chain[2])
	if code := w.cli(nil, "restore", string(chain[2]), "--to", w.dir+"/stepwise", "--method", string(engine.Stepwise)); code == 0 {
		t.Error("step by step restores what is spoiled")
	}
	if list := w.fulls(); len(list) != 2 {
		t.Errorf("%d fulls, want the first and one that was joined", len(list))
	}
}

// fulls are all full backups.
func (w *world) fulls() (out []rest.Backup) {
	w.t.Helper()
	all, _, err := w.cl.Backups(w.t.Context(), client.BackupQuery{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range all {
		if full := w.show(coffer.BackupID(b.ID)); full.Type == "full" {
			out = append(out, full)
		}
	}
	return out
}

// joined waits for the full that is joined from a link by itself.
func (w *world) joined(link coffer.BackupID) (full rest.Backup) {
	w.t.Helper()
	within(w.t, time.Minute, "the chain is joined", func() bool {
		for _, b := range w.fulls() {
			if full = b; b.Synthesized == link && !b.State.Running() {
				return true
			}
		}
		return false
	})
	return full
}

// spoilsSuperseded changes bytes of the full in the midst of a table's file, of which all
// pages are in the increments too.
func (w *world) spoilsSuperseded(chain []coffer.BackupID, table string) {
	w.t.Helper()
	b := w.show(chain[0])
	path, _ := strings.CutPrefix(b.Location, "file://")
	root := w.state + "/store"
	s, err := file.New(root, file.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	rel, err := filepath.Rel(root, filepath.Dir(path))
	if err != nil {
		w.t.Fatal(err)
	}
	place := archive.Place{Store: s, Prefix: filepath.ToSlash(rel) + "/"}
	ids, err := (&keyring.Ring{IdentityFile: w.state + "/keys/identity.txt"}).Identities(w.t.Context(), place, b.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := archive.Open(w.t.Context(), place, b.ID, archive.Want{Identities: ids, SpoolDir: w.t.TempDir()})
	if err != nil {
		w.t.Fatal(err)
	}
	defer a.Close()
	l := stored.Layer{Archive: a}
	for e, err := range l.Entries(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Name != table {
			continue
		}
		from, to, err := l.Stored(w.t.Context(), e.Chunks[0].Plain+e.Size/2, 1)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		text[(from+to)/2] ^= 1 // age's own bytes before it are fewer than half a frame
		if err := os.WriteFile(path, text, 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.t.Logf("of the %d bytes of %s those from %d are spoiled", len(text), path, from)
		return
	}
	w.t.Fatalf("no %s in the full", table)
}
