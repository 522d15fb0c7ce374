package survive

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/keyring"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// TestLifeOnAWriteOnceStore: the whole life of backups where nothing can be deleted
// before a date.
func TestLifeOnAWriteOnceStore(t *testing.T) {
	t.Parallel()
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	w := newWorld(t, src, settings{})
	until := time.Now().Add(48 * time.Hour)
	w.use(storetest.WriteOnce(w.file, until))
	w.good("")
	src.change(t)
	inc := w.good("last")
	w.restores(inc)
	if j := w.verify(inc.ID); !ok(j) {
		t.Errorf("verify: %s", j.Error)
	}
	for range 2 { // a refused delete can be asked for again
		w.keptFrom(inc.ID, until)
	}
	dead := w.failsAfterItsData(until)
	before := w.objects(dead.ID)
	if len(before) < 2 {
		t.Errorf("of the failed backup there is only %q", before)
	}
	w.use(storetest.WriteOnce(w.file, until))
	if r := w.sweep(); len(r.Kept) == 0 || !strings.Contains(strings.Join(r.Kept, " "), "kept until "+until.UTC().Format(time.DateOnly)) {
		t.Errorf("the sweep reports %+v", r)
	}
	if a, err := archive.Open(t.Context(), w.place(), dead.ID, archive.Want{Retry: retry.Policy{Tries: 1}}); err == nil {
		a.Close()
		t.Error("the failed backup can be opened")
	}
	w.use(w.file) // the date has come
	if j := w.runJob(coffer.JobDelete, inc.ID, coffer.Spec{}); !ok(j) || !w.row(inc.ID).Deleted {
		t.Errorf("delete after the date: %s", j.Error)
	}
	w.gone(dead.ID)
	if got := w.objects(inc.ID); len(got) > 0 {
		t.Errorf("of the deleted backup there is still %q", got)
	}
	src.change(t)
	w.restores(w.good("last"))
}

// keptFrom deletes a backup and wants to be told until when it is kept.
func (w *world) keptFrom(id coffer.BackupID, until time.Time) {
	w.t.Helper()
	j := w.runJob(coffer.JobDelete, id, coffer.Spec{})
	b := w.row(id)
	if j.State != coffer.Failed || b.State != coffer.DeleteFailed || b.Deleted || j.ErrKind != coffer.KindKept ||
		!strings.Contains(b.Error, "kept until "+until.UTC().Format(time.DateOnly)) || b.Hint == "" {
		w.t.Errorf("delete of what is kept: job %s %s, backup %s: %s (hint %q)", j.State, j.ErrKind, b.State, b.Error, b.Hint)
	}
}

// failsAfterItsData takes a backup whose index is refused when its data are stored.
func (w *world) failsAfterItsData(until time.Time) coffer.Backup {
	w.t.Helper()
	f := &storetest.Faulty{Full: w.file}
	f.Plan(storetest.Fault{Op: storetest.Put, Name: ".index", Kind: coffer.KindForbidden, Times: -1})
	w.use(storetest.WriteOnce(f, until))
	b := w.backup("")
	f.VerifyAllHit(w.t)
	if b.State != coffer.Failed {
		w.t.Errorf("the backup is %s: %s", b.State, b.Error)
	}
	return b
}

// content is every object that is stored, with its bytes' sum.
func (w *world) content() map[string]string {
	w.t.Helper()
	sums := map[string]string{}
	for _, name := range w.objects("") {
		if !strings.HasSuffix(name, "(not ended)") {
			sums[name] = store.Bytes(w.read(name)).SHA256()
		}
	}
	return sums
}

// TestStrangersAreNeverTouched: a backup in Trove's layout and unknown objects, and
// after the records were lost everything of the former installation, outlive every
// sweep and every delete.
func TestStrangersAreNeverTouched(t *testing.T) {
	t.Parallel()
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	w := newWorld(t, src, settings{})
	full := w.good("")
	strangers := w.strangers()
	w.faulty(storetest.Fault{Op: storetest.Part, N: 2, Kind: coffer.KindForbidden},
		storetest.Fault{Op: storetest.Abort, Kind: coffer.KindForbidden, Times: -1})
	dead := w.backup("")
	w.use(w.file)
	if dead.State != coffer.Failed {
		t.Errorf("the backup is %s: %s", dead.State, dead.Error)
	}
	left := w.objects(dead.ID)
	w.gone(dead.ID)
	w.sweep()
	if len(left) < 2 {
		t.Errorf("the failed backup left only %q: the sweep had nothing to do", left)
	}
	w.there(strangers)
	if r := w.sweep(); len(r.Strangers) < len(strangers) {
		t.Errorf("the sweep reports %d strangers of %d: %q", len(r.Strangers), len(strangers), r.Strangers)
	}

	w.faulty(storetest.Fault{Op: storetest.Part, N: 2, Kind: coffer.KindForbidden},
		storetest.Fault{Op: storetest.Abort, Kind: coffer.KindForbidden, Times: -1})
	w.backup("") // leaves an intent and an upload of this installation
	w.use(w.file)
	w.loseRecords()
	former := w.content()
	own := w.good("")
	for range 3 {
		wait(t.Context(), 5*time.Millisecond)
		w.sweep()
	}
	w.there(former)
	if j := w.runJob(coffer.JobDelete, own.ID, coffer.Spec{}); !ok(j) {
		t.Errorf("delete: %s", j.Error)
	}
	if got := w.content(); !maps.Equal(former, got) {
		t.Errorf("after the new installation's own backup is gone there is\n%q\nwant\n%q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(former)))
	}
	a, err := archive.Open(t.Context(), w.place(), full.ID, archive.Want{ManifestSHA256: full.Manifest})
	w.must(err)
	if _, err := a.Verify(t.Context(), nil); err != nil {
		t.Errorf("the former installation's backup: %v", err)
	}
	w.must(a.Close())
}

// strangers lays other people's objects into the container.
func (w *world) strangers() map[string]string {
	w.t.Helper()
	theirs := coffer.NewUUID()
	for _, name := range []string{
		theirs + ".xbstream.gz", theirs + "_00000000", theirs + "_00000001", theirs + ".xbstream.gz.enc",
		coffer.NewUUID() + ".tar.gz", coffer.NewUUID() + ".manifest.json", coffer.NewUUID() + ".intent.json",
		"notes.txt", "a folder/of things", coffer.NewUUID(),
	} {
		_, err := w.file.Put(w.t.Context(), w.place().Prefix+name, store.Bytes([]byte(name)), nil)
		w.must(err)
	}
	all := w.content()
	for name := range all {
		if strings.Contains(name, string(w.seen[0])) {
			delete(all, name)
		}
	}
	return all
}

// there wants objects as they were.
func (w *world) there(want map[string]string) {
	w.t.Helper()
	got := w.content()
	for name, sum := range want {
		if got[name] != sum {
			w.t.Errorf("object %s was changed or removed", name)
		}
	}
}

// loseRecords begins a new installation on the same store.
func (w *world) loseRecords() {
	w.t.Helper()
	old := w.db.Installation()
	w.stop()
	for _, f := range []string{"records.db", "records.db-wal", "records.db-shm"} {
		if err := os.Remove(filepath.Join(w.set.stateDir, f)); err != nil && !os.IsNotExist(err) {
			w.t.Fatal(err)
		}
	}
	w.start()
	w.instance = coffer.InstanceID(coffer.NewUUID())
	w.register()
	if w.db.Installation() == old {
		w.t.Error("the new records have the old installation's id")
	}
}

// TestEncryptedLife: full and increment under a data key. Without the identity they
// can be checked and not read; with it they restore, by age alone too.
func TestEncryptedLife(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "age")
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	id, err := codec.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	keys := &keyring.Ring{Recipients: []age.Recipient{id.Recipient()}}
	w := newWorld(t, src, settings{keys: keys})
	chain := []coffer.Backup{w.good("")}
	src.change(t)
	chain = append(chain, w.good("last"))
	inc := chain[1]
	w.isSecret()

	dir, j := w.restore(inc.ID)
	if ok(j) || !strings.Contains(j.Error+j.Hint, "identity") {
		t.Errorf("restore without the identity: %s %s (hint %q)", j.State, j.Error, j.Hint)
	}
	empty(t, dir)
	if n := w.ran("--prepare"); n > 0 {
		t.Error("the tool was run on what could not be read")
	}
	if j := w.verify(inc.ID); !ok(j) || !strings.Contains(w.row(inc.ID).Verified.Text, "identity") {
		t.Errorf("verify without the identity: %s %s: %q", j.State, j.Error, w.row(inc.ID).Verified.Text)
	}
	if r := w.sweep(); len(r.Strangers) > 0 {
		t.Errorf("the sweep takes %q for strangers", r.Strangers)
	}

	keys.IdentityFile = filepath.Join(w.dir, "identity.txt")
	w.must(codec.WriteIdentity(keys.IdentityFile, id))
	w.stop()
	w.start()
	if j := w.verify(inc.ID); !ok(j) || strings.Contains(w.row(inc.ID).Verified.Text, "not opened") {
		t.Errorf("verify with the identity: %s %s: %q", j.State, j.Error, w.row(inc.ID).Verified.Text)
	}
	w.restores(inc)
	before, after := span(inc)
	src.holds(t, w.stock(chain, w.dataKey(inc.Key, keys.IdentityFile)), before, after)
}

// isSecret wants nothing that only the database knows in any object.
func (w *world) isSecret() {
	w.t.Helper()
	for _, name := range w.objects("") {
		b := w.read(name)
		for _, secret := range []string{"customers", "documents", testenv.BackupPassword, "AGE-SECRET-KEY"} {
			if bytes.Contains(bytes.ToLower(b), []byte(strings.ToLower(secret))) {
				w.t.Errorf("object %s holds the word %q", name, secret)
			}
		}
	}
}

// dataKey unwraps a data key by age alone and gives its file.
func (w *world) dataKey(key coffer.KeyID, identity string) string {
	w.t.Helper()
	out := filepath.Join(w.dir, "data.key")
	cmd := exec.CommandContext(w.t.Context(), "age", "-d", "-i", identity, "-o", out, w.path(keyring.Name(key, 1)))
	if said, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("age: %v: %s", err, said)
	}
	return out
}
