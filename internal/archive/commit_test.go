package archive_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// The answer to the manifest's write is lost and the store then does not answer
// either: unknown, and abort refuses. When the store is back, commit settles it.
func TestCommitUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := storetest.NewMemory()
		f := &storetest.Faulty{Full: mem}
		p := archive.Place{Store: f, Prefix: prefix}
		plain := content(3, 100_000)
		w := sealed(t, p, plain, small())
		f.Plan(
			storetest.Fault{Op: storetest.Put, Kind: coffer.KindUnknown, After: true},
			storetest.Fault{Op: storetest.Put, Times: 3, Kind: coffer.KindUnavailable},
			storetest.Fault{Op: storetest.Stat, Times: 4, Kind: coffer.KindUnavailable},
		)
		out, err := w.Commit(t.Context())
		if out != archive.Unknown {
			t.Fatalf("%v, %v", out, err)
		}
		wantKind(t, "commit", err, coffer.KindUnknown)
		before := names(t, mem)
		wantKind(t, "abort", w.Abort(t.Context()), coffer.KindUnknown)
		if diff := cmp.Diff(before, names(t, mem)); diff != "" {
			t.Errorf("abort deleted: %s", diff)
		}
		if out, err := w.Commit(t.Context()); out != archive.Done {
			t.Fatalf("%v, %v", out, err)
		}
		mustRead(t, p, backupA, want(""), plain)
	})
}

func sealed(t *testing.T, p archive.Place, plain []byte, o archive.Options) *archive.Writer {
	t.Helper()
	w, err := fill(t.Context(), p, backupA, plain, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context(), manifest()); err != nil {
		t.Fatal(err)
	}
	return w
}

// No manifest is written after the deadline, and none was asked for: the attempt
// can be undone.
func TestCommitTooLate(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	o := small()
	o.MayCommit = func() error { return coffer.E(coffer.KindConflict, "look at the clock", "the grant is too old") }
	w := sealed(t, p, content(1, 1000), o)
	out, err := w.Commit(t.Context())
	if out != archive.NotDone {
		t.Fatalf("%v, %v", out, err)
	}
	wantKind(t, "commit", err, coffer.KindConflict, "too old")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := w.Commit(ended); out != archive.NotDone || err == nil {
		t.Fatalf("%v, %v", out, err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantWholeOrNothing(t, p, mem, archive.NotDone, nil)
}

// A commit whose time is over before it began writes nothing.
func TestCommitAfterItsContext(t *testing.T) {
	t.Parallel()
	f := &storetest.Faulty{Full: storetest.NewMemory()}
	w := sealed(t, archive.Place{Store: f, Prefix: prefix}, content(1, 1000), small())
	before := f.Calls(storetest.Put)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := w.Commit(ctx)
	if out != archive.NotDone {
		t.Fatalf("%v, %v", out, err)
	}
	wantKind(t, "commit", err, coffer.KindCanceled)
	if n := f.Calls(storetest.Put); n != before {
		t.Error("it was written all the same")
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A clear refusal after a write in doubt proves nothing: the first may still land.
func TestCommitRefusedAfterADoubt(t *testing.T) {
	t.Parallel()
	mem := storetest.NewMemory()
	f := &storetest.Faulty{Full: mem}
	w := sealed(t, archive.Place{Store: f, Prefix: prefix}, content(1, 1000), small())
	f.Plan(storetest.Fault{Op: storetest.Put, Kind: coffer.KindUnavailable},
		storetest.Fault{Op: storetest.Put, Times: -1, Kind: coffer.KindForbidden})
	out, err := w.Commit(t.Context())
	if out != archive.Unknown {
		t.Fatalf("%v, %v", out, err)
	}
	f.VerifyAllHit(t)
	wantKind(t, "abort", w.Abort(t.Context()), coffer.KindUnknown)
}

// The context ends while the manifest is on its way, which lands all the same.
func TestCommitCutShort(t *testing.T) {
	t.Parallel()
	mem := storetest.NewMemory()
	f := &storetest.Faulty{Full: mem}
	p := archive.Place{Store: f, Prefix: prefix}
	w := sealed(t, p, content(1, 1000), small())
	ctx, cancel := context.WithCancel(t.Context())
	f.Plan(storetest.Fault{Op: storetest.Stat, Do: func(context.Context) { cancel() }},
		storetest.Fault{Op: storetest.Put, Kind: coffer.KindCanceled, After: true})
	if out, err := w.Commit(ctx); out != archive.Done {
		t.Fatalf("%v, %v", out, err)
	}
	f.VerifyAllHit(t)
}

// Whatever has happened: where a manifest is, abort deletes nothing.
func TestAbortNeverDeletesACommittedArchive(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	plain := content(1, 200_000)
	w, err := fill(t.Context(), p, backupA, plain, small())
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Finish(t.Context(), manifest())
	if err != nil {
		t.Fatal(err)
	}
	// Another process of the same runner has written it.
	if _, err := mem.Put(t.Context(), prefix+archive.ManifestName(backupA), store.Bytes(s.JSON), nil); err != nil {
		t.Fatal(err)
	}
	before := names(t, mem)
	wantKind(t, "abort", w.Abort(t.Context()), coffer.KindConflict, archive.ManifestName(backupA))
	if diff := cmp.Diff(before, names(t, mem)); diff != "" {
		t.Error(diff)
	}
	mustRead(t, p, backupA, want(s.SHA256), plain)

	p2, mem2 := memory()
	w = sealed(t, p2, plain, small())
	if out, _ := w.Commit(t.Context()); out != archive.Done {
		t.Fatal(out)
	}
	before = names(t, mem2)
	wantKind(t, "abort after commit", w.Abort(t.Context()), coffer.KindConflict)
	if diff := cmp.Diff(before, names(t, mem2)); diff != "" {
		t.Error(diff)
	}
}

// A foreign manifest in the name's place is never taken for ours, nor removed.
func TestCommitMeetsAnotherManifest(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	w := sealed(t, p, content(1, 1000), small())
	if _, err := mem.Put(t.Context(), prefix+archive.ManifestName(backupA), store.Bytes([]byte("{}")), nil); err != nil {
		t.Fatal(err)
	}
	out, err := w.Commit(t.Context())
	if out != archive.Unknown {
		t.Fatal(out)
	}
	wantKind(t, "commit", err, coffer.KindConflict, archive.ManifestName(backupA))
	wantKind(t, "abort", w.Abort(t.Context()), coffer.KindUnknown)
}
