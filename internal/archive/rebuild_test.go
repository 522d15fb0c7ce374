package archive_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/codec"
)

// TestRebuild: without its index an archive has no ranges; once it was read, it has,
// and the same ones, plain or encrypted. Its list of files stays lost.
func TestRebuild(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		p, mem := memory()
		o, w := small(), want("")
		if sealed {
			id, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			o.Recipient, w = id.Recipient(), want("", id)
		}
		plain := content(3, 5<<20+777)
		commit(t, p, backupA, plain, o)
		if err := mem.Delete(t.Context(), prefix+archive.IndexName(backupA, sealed)); err != nil {
			t.Fatal(err)
		}
		a, err := archive.Open(t.Context(), p, backupA, w)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if _, err := a.Range(t.Context(), 5, 7); !coffer.IsKind(err, coffer.KindUnsupported) {
			t.Errorf("a range without an index: %v, want KindUnsupported", err)
		}
		var all bytes.Buffer
		if err := a.Rebuild(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(all.Bytes(), plain) {
			t.Error("the stream that it was rebuilt from is another")
		}
		for _, at := range []int64{0, 1<<20 - 3, 5 << 20} {
			r, err := a.Range(t.Context(), at, 700)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if cerr := r.Close(); err != nil || cerr != nil || !bytes.Equal(got, plain[at:at+700]) {
				t.Errorf("the range at %d: %v, %v, or other bytes", at, err, cerr)
			}
		}
		for _, err := range a.Entries(t.Context()) {
			if !coffer.IsKind(err, coffer.KindUnsupported) {
				t.Errorf("its list of files: %v, want KindUnsupported", err)
			}
		}
	}
}

// TestRebuildOfDamage: what is not the stream that was written is no index.
func TestRebuildOfDamage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		compression codec.Compression
		spoil       func([]byte) []byte
		kind        coffer.Kind
	}{
		"a changed byte": {codec.Zstd, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, coffer.KindCorrupt},
		"cut":            {codec.Zstd, func(b []byte) []byte { return b[:len(b)-1] }, coffer.KindCorrupt},
		"gzip":           {codec.Gzip, slices.Clone[[]byte], coffer.KindUnsupported},
	} {
		p, mem := memory()
		o := small()
		o.Compression = c.compression
		s := commit(t, p, backupA, content(4, 3<<20), o)
		mem.Spoil(prefix+s.Manifest.Volumes[0].Name, c.spoil)
		a, err := archive.Open(t.Context(), p, backupA, want(""))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Rebuild(t.Context(), io.Discard); !coffer.IsKind(err, c.kind) {
			t.Errorf("%s: got %v, want %s", name, err, c.kind)
		}
		_ = a.Close()
	}
}

// TestMergeOnlyIsANeed: a reader that knows no merge refuses what only a merge restores.
func TestMergeOnlyIsANeed(t *testing.T) {
	t.Parallel()
	p, _ := memory()
	w, err := fill(t.Context(), p, backupA, content(5, 100), small())
	if err != nil {
		t.Fatal(err)
	}
	m := manifest()
	m.Position.MergeOnly = "a and b were swapped"
	s, err := w.Finish(t.Context(), m)
	if err != nil || !slices.Equal(s.Manifest.Needs, []string{"merge"}) {
		t.Errorf("needs %q, %v", s.Manifest.Needs, err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Error(err)
	}
}
