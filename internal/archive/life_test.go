package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

func TestDelete(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	o := small()
	o.MaxObject = 100_000
	commit(t, p, backupA, content(1, 300_000), o)
	s := commit(t, p, backupB, content(2, 1000), small())
	if err := archive.State(t.Context(), p, backupA, archive.StatementVerified, map[string]bool{"ok": true}); err != nil {
		t.Fatal(err)
	}
	// Segments of a store that has them, and an upload that nobody ended.
	if _, err := mem.Put(t.Context(), prefix+string(backupA)+"_00000001", store.Bytes([]byte("x")), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := mem.Begin(t.Context(), prefix+string(backupA)+".tar.zst", nil); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it can be repeated
		if err := archive.Delete(t.Context(), p, backupA); err != nil {
			t.Fatal(err)
		}
		for _, name := range names(t, mem) {
			if strings.HasPrefix(name, string(backupA)) {
				t.Errorf("%s was left", name)
			}
		}
	}
	if n := uploads(t, mem); n != 0 {
		t.Errorf("%d uploads were left", n)
	}
	mustRead(t, p, backupB, want(s.SHA256), content(2, 1000))
}

// A delete that stops at any call has made the backup dead before anything of it
// was gone, and goes on when it is repeated.
func TestDeleteStopsAnywhere(t *testing.T) {
	t.Parallel()
	plain := content(1, 100_000)
	counts := calls(t, func(p archive.Place) {
		if _, err, _ := attempt(t.Context(), p, plain); err != nil {
			t.Fatal(err)
		}
		if err := archive.Delete(t.Context(), p, backupA); err != nil {
			t.Fatal(err)
		}
	})
	before := calls(t, func(p archive.Place) { attempt(t.Context(), p, plain) })
	for _, op := range everyOp {
		for n := 1; n <= counts[op]-before[op]; n++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %d after=%v", op, n, after), func(t *testing.T) {
					t.Parallel()
					p, mem := memory()
					s := commit(t, p, backupA, plain, small())
					whole := names(t, mem)
					f := &storetest.Faulty{Full: mem}
					f.Plan(storetest.Fault{Op: op, N: n, Kind: coffer.KindForbidden, After: after})
					err := archive.Delete(t.Context(), archive.Place{Store: f, Prefix: prefix}, backupA)
					if err == nil && op == storetest.Stat && after {
						return // a look that found nothing has no answer to lose
					}
					if err == nil {
						t.Fatal("the delete went through a refusal")
					}
					if !slices.Equal(whole, names(t, mem)) {
						_, err := archive.Open(t.Context(), p, backupA, want(s.SHA256))
						wantKind(t, "open", err, coffer.KindNotFound)
						left := names(t, mem)
						if len(left) > 0 && !slices.Contains(left, archive.IntentName(backupA)) {
							t.Errorf("without an intent nobody owns %v", left)
						}
						if len(left) > 1 && !slices.Contains(left, archive.TombstoneName(backupA)) {
							t.Errorf("without a tombstone: %v", left)
						}
					}
					if err := archive.Delete(t.Context(), p, backupA); err != nil {
						t.Fatal(err)
					}
					if left := names(t, mem); len(left) > 0 {
						t.Errorf("left: %v", left)
					}
				})
			}
		}
	}
}

// A manifest that is still there after its delete stops everything else.
func TestDeleteWantsToSeeTheManifestGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, mem := memory()
		s := commit(t, p, backupA, content(1, 1000), small())
		p.Store = stubborn{mem, prefix + archive.ManifestName(backupA)}
		err := archive.Delete(t.Context(), p, backupA)
		wantKind(t, "delete", err, coffer.KindUnavailable, archive.ManifestName(backupA))
		for _, v := range s.Manifest.Volumes {
			if _, err := mem.Stat(t.Context(), prefix+v.Name); err != nil {
				t.Errorf("data went before the manifest: %v", err)
			}
		}
	})
}

// stubborn is a store that says it deleted an object and did not.
type stubborn struct {
	*storetest.Memory
	name string
}

func (s stubborn) Delete(ctx context.Context, name string) error {
	if name == s.name {
		return nil
	}
	return s.Memory.Delete(ctx, name)
}

func TestWipe(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	s := commit(t, p, backupA, content(1, 1000), small())
	before := names(t, mem)
	wantKind(t, "wipe a living one", archive.Wipe(t.Context(), p, backupA), coffer.KindConflict, archive.ManifestName(backupA))
	if diff := cmp.Diff(before, names(t, mem)); diff != "" {
		t.Error(diff)
	}
	mustRead(t, p, backupA, want(s.SHA256), content(1, 1000))
	if err := archive.Tombstone(t.Context(), p, backupA); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := archive.Wipe(t.Context(), p, backupA); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{archive.TombstoneName(backupA), archive.IntentName(backupA)}, names(t, mem)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	f, err := archive.Look(t.Context(), p, backupA)
	if err != nil || f.Intent != nil || f.DataPresent || f.Whole() == nil {
		t.Errorf("nothing: %+v, %v", f, err)
	}
	s := commit(t, p, backupA, content(1, 1000), small())
	f, err = archive.Look(t.Context(), p, backupA)
	if err != nil || f.Whole() != nil || f.ManifestSHA256 != s.SHA256 || !f.DataPresent || f.Dead {
		t.Errorf("whole: %+v, %v, %v", f, err, f.Whole())
	}
	volume := prefix + s.Manifest.Volumes[0].Name
	mem.Spoil(volume, func(b []byte) []byte { return b[1:] })
	f, err = archive.Look(t.Context(), p, backupA)
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, "cut", f.Whole(), coffer.KindCorrupt, volume)
	if err := mem.Delete(t.Context(), volume); err != nil {
		t.Fatal(err)
	}
	f, err = archive.Look(t.Context(), p, backupA)
	if err != nil || f.DataPresent {
		t.Errorf("no data: %+v, %v", f, err)
	}
	wantKind(t, "gone", f.Whole(), coffer.KindCorrupt, volume)
	mem.Spoil(prefix+archive.ManifestName(backupA), func([]byte) []byte { return []byte("{") })
	f, err = archive.Look(t.Context(), p, backupA)
	if err != nil || f.Manifest != nil || f.ManifestSHA256 == "" {
		t.Errorf("broken manifest: %+v, %v", f, err)
	}
	wantKind(t, "broken", f.Whole(), coffer.KindCorrupt, archive.ManifestName(backupA))
	if err := archive.Tombstone(t.Context(), p, backupA); err != nil {
		t.Fatal(err)
	}
	f, err = archive.Look(t.Context(), p, backupA)
	if err != nil || !f.Dead {
		t.Errorf("dead: %+v, %v", f, err)
	}
	wantKind(t, "dead", f.Whole(), coffer.KindNotFound)
}

// A store that does not answer is no proof of anything.
func TestLookNeedsAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, mem := memory()
		commit(t, p, backupA, content(1, 1000), small())
		for _, op := range []storetest.Op{storetest.Open, storetest.Stat, storetest.List} {
			f := &storetest.Faulty{Full: mem}
			f.Plan(storetest.Fault{Op: op, Times: -1, Kind: coffer.KindUnavailable})
			_, err := archive.Look(t.Context(), archive.Place{Store: f, Prefix: prefix}, backupA)
			wantKind(t, string(op), err, coffer.KindUnavailable)
		}
	})
}

func TestStatements(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	commit(t, p, backupA, content(1, 1000), small())
	for _, kind := range []string{archive.StatementHold, archive.StatementVerified, archive.StatementRelease} {
		if err := archive.State(t.Context(), p, backupA, kind, map[string]string{"by": kind}); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, "unknown kind", archive.State(t.Context(), p, backupA, "../x", nil), coffer.KindInvalid)
	got, err := archive.Statements(t.Context(), p, backupA)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, s := range got {
		kinds = append(kinds, s.Kind+string(s.Body))
		if s.Backup != backupA || s.At.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	want := []string{`hold{"by":"hold"}`, `verified{"by":"verified"}`, `release{"by":"release"}`}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
	mem.Spoil(prefix+got[0].Name, func(b []byte) []byte {
		return bytes.Replace(b, []byte(backupA), []byte(backupB), 1)
	})
	_, err = archive.Statements(t.Context(), p, backupA)
	wantKind(t, "of another backup", err, coffer.KindCorrupt, got[0].Name)
	mem.Spoil(prefix+got[0].Name, func(b []byte) []byte { return b[:5] })
	_, err = archive.Statements(t.Context(), p, backupA)
	wantKind(t, "a broken hold", err, coffer.KindCorrupt, got[0].Name)
}

func TestSurvey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, survey)
}

func survey(t *testing.T) {
	p, mem := memory()
	commit(t, p, backupA, content(1, 1000), small())
	w, err := fill(t.Context(), p, backupB, content(1, 3<<20), small())
	if err != nil {
		t.Fatal(err)
	}
	in := intentOf("0a100000-0000-4000-8000-00000000000a")
	in.Installation = "another"
	theirs, err := archive.Create(t.Context(), p, in, small())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // the first parts are stored
	strange := []string{
		prefix + "0a200000-0000-4000-8000-00000000000a.xbstream.gz", // Trove's own
		prefix + "0a200000-0000-4000-8000-00000000000a_00000000",
		prefix + "holiday.jpg", prefix + "keys/to the door",
		prefix + "0a300000-0000-4000-8000-00000000000a.intent.json", // broken
	}
	for _, name := range strange {
		if _, err := mem.Put(t.Context(), name, store.Bytes([]byte("?")), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mem.Put(t.Context(), prefix+"keys/0a400000-0000-4000-8000-00000000000a.1.age", store.Bytes(nil), nil); err != nil {
		t.Fatal(err)
	}
	strange = append(strange, prefix+archive.IntentName(in.Backup))
	ours, strangers, err := archive.Survey(t.Context(), p, installation)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(strange)
	slices.Sort(strangers)
	if diff := cmp.Diff(strange, strangers); diff != "" {
		t.Errorf("strangers: %s", diff)
	}
	if len(ours) != 2 || ours[0].ID != backupA || !ours[0].Manifest || ours[0].Dead || len(ours[0].Objects) != 4 ||
		ours[1].ID != backupB || ours[1].Manifest || len(ours[1].Uploads) != 1 || ours[1].Intent.Runner != intentOf(backupB).Runner {
		t.Errorf("ours: %+v", ours)
	}
	for _, w := range []*archive.Writer{w, theirs} {
		if err := w.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// The whole life on a store that neither overwrites nor deletes.
func TestWriteOnceLife(t *testing.T) {
	t.Parallel()
	mem := storetest.NewMemory()
	until := time.Now().Add(24 * time.Hour)
	p := archive.Place{Store: storetest.WriteOnce(mem, until), Prefix: prefix}
	plain := content(1, 300_000)
	s := commit(t, p, backupA, plain, small())
	mustRead(t, p, backupA, want(s.SHA256), plain)
	if err := archive.State(t.Context(), p, backupA, archive.StatementVerified, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := archive.Delete(t.Context(), p, backupA)
		wantKind(t, "delete", err, coffer.KindKept, until.UTC().Format("2006-01-02"))
		_, err = archive.Open(t.Context(), p, backupA, want(s.SHA256))
		wantKind(t, "open", err, coffer.KindNotFound)
	}
	// A failed attempt that had published its data leaves it unreadable.
	w, err := fill(t.Context(), p, backupB, plain, small())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context(), manifest()); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "abort", w.Abort(t.Context()), coffer.KindKept)
	if err := archive.Tombstone(t.Context(), p, backupB); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "wipe", archive.Wipe(t.Context(), p, backupB), coffer.KindKept)
	if n := uploads(t, mem); n != 0 {
		t.Errorf("%d uploads were left", n)
	}
	ours, _, err := archive.Survey(t.Context(), p, installation)
	if err != nil || len(ours) != 2 || !ours[0].Dead || !ours[1].Dead {
		t.Errorf("%+v, %v", ours, err)
	}
	// When the date has come, both go.
	p.Store = storetest.WriteOnce(mem, time.Now().Add(-time.Second))
	if err := errors.Join(archive.Delete(t.Context(), p, backupA), archive.Delete(t.Context(), p, backupB)); err != nil {
		t.Fatal(err)
	}
	if left := names(t, mem); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
