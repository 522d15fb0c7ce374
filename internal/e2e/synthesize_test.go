package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

// increments makes a full and n increments, each onto the one before.
func (w *world) increments(n int) []coffer.BackupID {
	w.t.Helper()
	chain := []coffer.BackupID{w.asks(trove.BackupCreate{Name: "full"})}
	for range n {
		chain = append(chain, w.asks(trove.BackupCreate{Name: "next", ParentID: string(chain[len(chain)-1])}))
	}
	return chain
}

// joins starts a full of the chain that ends in a backup.
func (w *world) joins(src coffer.BackupID) coffer.BackupID {
	w.t.Helper()
	s, err := w.cl.Synthesize(w.t.Context(), src, rest.Synthesize{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.made = append(w.made, s.Job.Backup)
	w.begun[s.Job.Backup] = w.begun[src]
	return s.Job.Backup
}

// flips changes one byte of a backup's data in the store; undo puts it back.
func (w *world) flips(id coffer.BackupID) (path string, undo func()) {
	w.t.Helper()
	path, _ = strings.CutPrefix(w.show(id).Location, "file://")
	b, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	write := func() {
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	write()
	return path, write
}

// TestSynthesize joins an encrypted chain of a busy database into a full. A flipped
// byte and a kill in the middle make it FAILED, and nothing of it stays; with neither
// it is what its last link is: restored by us and by the stock tools alone, verified,
// stood on by the next increment. The chain stays, and the database is not asked.
func TestSynthesize(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 12<<20, true))
	if w.cli(nil, "keys", "init") != 0 {
		t.Fatal("no keys")
	}
	w.begin(false)
	chain := w.increments(3)
	last := chain[3]
	if code := w.cli(nil, "backup", "synthesize", string(chain[0])); code != 4 {
		t.Errorf("a full is joined: exit %d", code)
	}
	path, undo := w.flips(last)
	spoilt := w.settled(w.joins(last), time.Minute)
	if object := path[strings.LastIndexByte(path, '/')+1:]; spoilt.State != coffer.Failed || !strings.Contains(reason(spoilt.Error), object) {
		t.Errorf("with a flipped byte in %s it is %s %s", object, spoilt.State, reason(spoilt.Error))
	}
	undo()
	w.server.end(t, syscall.SIGTERM)
	w.startServer("tool ended=kill")
	killed := w.joins(last)
	w.dies(killed)
	w.startServer("")
	w.became(killed, "killed in the middle", coffer.Failed)

	var full rest.Backup
	if code := w.cli(&full, "backup", "synthesize", string(last), "--name", "joined"); code != 0 {
		t.Fatalf("synthesize: exit %d", code)
	}
	w.made, w.begun[full.ID] = append(w.made, full.ID), w.begun[last]
	src := w.show(last)
	if full.State != coffer.Completed || full.Type != "full" || full.Parent != "" || full.Name != "joined" || full.Key == "" ||
		full.Synthesized != last || full.Position.To != src.Position.To || full.Position.Lineage != src.Position.Lineage {
		t.Errorf("made %+v", full)
	}
	w.restored(full.ID)
	w.cooks(full.ID)
	next := w.asks(trove.BackupCreate{Name: "next", Incremental: 1})
	if b := w.show(next); b.Parent != full.ID || b.Root != full.ID {
		t.Errorf("the next increment stands on %s", b.Parent)
	}
	w.restored(next)
	w.withoutDatabase(last, next)
	for _, id := range chain {
		if b := w.show(id); b.State != coffer.Completed || b.Pins != 0 {
			t.Errorf("link %s of the old chain is %s with %d pins", id, b.State, b.Pins)
		}
	}
	w.verified(full.ID)
	within(t, 10*time.Second, "nothing is left of what FAILED", func() bool {
		w.sweep()
		return len(w.objects(spoilt.ID)) == 0 && len(w.objects(killed)) == 0
	})
	w.noOrphans()
}

// withoutDatabase joins while the database is down, also of an older link: the next
// increment goes on with what is the newest of the database.
func (w *world) withoutDatabase(older, newest coffer.BackupID) {
	w.t.Helper()
	w.db.writer.Stop()
	w.db.Kill()
	late := w.settled(w.joins(older), time.Minute)
	if late.State != coffer.Completed {
		w.t.Errorf("without its database it is %s %s", late.State, reason(late.Error))
	}
	full := w.settled(w.joins(newest), time.Minute)
	if full.State != coffer.Completed || full.EndedAt == nil || late.EndedAt == nil || !full.EndedAt.After(*late.EndedAt) {
		w.t.Errorf("of the newest it is %s %s", full.State, reason(full.Error))
	}
	w.restored(full.ID)
}
