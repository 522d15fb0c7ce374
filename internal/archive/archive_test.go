package archive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// shapes are the forms of an archive that must all read the same.
func shapes(t testing.TB) map[string]func(*archive.Options) []age.Identity {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func(*archive.Options) []age.Identity{
		"zstd": func(*archive.Options) []age.Identity { return nil },
		"gzip": func(o *archive.Options) []age.Identity { o.Compression = codec.Gzip; return nil },
		"age": func(o *archive.Options) []age.Identity {
			o.Recipient = id.Recipient()
			return []age.Identity{id}
		},
		"volumes": func(o *archive.Options) []age.Identity { o.MaxObject = 200_000; return nil },
		"gzip age volumes": func(o *archive.Options) []age.Identity {
			o.Compression, o.Recipient, o.MaxParts, o.MD5 = codec.Gzip, id.Recipient(), 7, true
			return []age.Identity{id}
		},
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for shape, set := range shapes(t) {
		for _, n := range []int{0, 1, 1 << 20, 3<<20 + 17} {
			t.Run(fmt.Sprintf("%s %d", shape, n), func(t *testing.T) {
				t.Parallel()
				p, mem := memory()
				o := small()
				ids := set(&o)
				plain := content(n, n)
				s := commit(t, p, backupA, plain, o)
				mustRead(t, p, backupA, want(s.SHA256, ids...), plain)
				if n := uploads(t, mem); n != 0 {
					t.Errorf("%d uploads were left", n)
				}
				checkRanges(t, p, want(s.SHA256, ids...), plain)
				checkEntries(t, p, want(s.SHA256, ids...), n)
			})
		}
	}
}

func checkRanges(t *testing.T, p archive.Place, w archive.Want, plain []byte) {
	t.Helper()
	a, err := archive.Open(t.Context(), p, backupA, w)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	n := int64(len(plain))
	for _, r := range [][2]int64{{0, n}, {0, min(n, 10)}, {n, 0}, {n / 2, n - n/2}, {max(0, n-5), min(n, 5)}, {n / 3, n / 3}} {
		got, err := readRange(t, a, r[0], r[1])
		if err != nil {
			t.Fatalf("range %v: %v", r, err)
		}
		if !bytes.Equal(got, plain[r[0]:r[0]+r[1]]) {
			t.Errorf("range %v is wrong", r)
		}
	}
	_, err = readRange(t, a, 1, n)
	wantKind(t, "range behind the end", err, coffer.KindInvalid)
	_, err = readRange(t, a, -1, 1)
	wantKind(t, "range before the start", err, coffer.KindInvalid)
}

func readRange(t *testing.T, a *archive.Archive, off, n int64) ([]byte, error) {
	t.Helper()
	r, err := a.Range(t.Context(), off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func checkEntries(t *testing.T, p archive.Place, w archive.Want, n int) {
	t.Helper()
	a, err := archive.Open(t.Context(), p, backupA, w)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var got []string
	for line, err := range a.Entries(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		var e struct{ Name string }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Name)
	}
	if diff := cmp.Diff([]string{"t0.ibd", "t1.ibd", "t2.ibd"}, got); diff != "" {
		t.Errorf("entries of %d bytes: %s", n, diff)
	}
}

func TestManifestSaysWhatIsThere(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	o := small()
	o.MaxObject, o.MD5 = 150_000, true
	plain := content(1, 400_000)
	s := commit(t, p, backupA, plain, o)
	m := s.Manifest
	if len(m.Volumes) != 3 || m.Volumes[1].Name != string(backupA)+".v02.xbstream.zst" {
		t.Fatalf("volumes: %+v", m.Volumes)
	}
	stored := m.Index.Size
	for _, v := range m.Volumes {
		stored += v.Size
		for _, part := range v.Parts {
			if len(part.MD5) != 32 {
				t.Errorf("no MD5 in %+v", part)
			}
		}
		obj, err := mem.Stat(t.Context(), prefix+v.Name)
		if err != nil || obj.Size != v.Size || v.Size > 150_000 {
			t.Errorf("volume %s: %+v, %v", v.Name, obj, err)
		}
	}
	if m.Sizes.Plain != 400_000 || m.Sizes.Stored != stored || m.Sizes.Data != 5<<20 || m.Root != backupA || m.Frames != 1 {
		t.Errorf("%+v", m)
	}
	again, err := archive.ParseManifest(s.JSON)
	if diff := cmp.Diff(m, again); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	want := []string{
		".index", ".intent.json", ".manifest.json", ".v02.xbstream.zst", ".v03.xbstream.zst", ".xbstream.zst",
	}
	if diff := cmp.Diff(strings.Join(want, " "), strings.ReplaceAll(strings.Join(names(t, mem), " "), string(backupA), "")); diff != "" {
		t.Error(diff)
	}
}

// silent is a store that keeps no sums and says none.
type silent struct{ *storetest.Memory }

func (s silent) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	p, err := s.Memory.Part(ctx, u, i, off, b)
	return store.Part{Size: p.Size, Token: p.Token}, err
}

// The manifest's sums are the writer's own, whatever the store says of them.
func TestSumsAreOurOwn(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	p.Store = silent{mem}
	plain := content(1, 300_000)
	s := commit(t, p, backupA, plain, small())
	for _, part := range s.Manifest.Volumes[0].Parts {
		if len(part.SHA256) != 64 {
			t.Errorf("%+v", part)
		}
	}
	mustRead(t, p, backupA, want(s.SHA256), plain)
}

// The real file store serves as well as the test's.
func TestFileStore(t *testing.T) {
	t.Parallel()
	st, err := file.New(t.TempDir(), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	p := archive.Place{Store: st, Prefix: prefix}
	plain := content(1, 700_000)
	o := small()
	o.MaxObject = 300_000
	s := commit(t, p, backupA, plain, o)
	mustRead(t, p, backupA, want(s.SHA256), plain)
	w, err := fill(t.Context(), p, backupB, plain, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := archive.Delete(t.Context(), p, backupA); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{archive.IntentName(backupB)}, names(t, st)); diff != "" {
		t.Error(diff)
	}
	if n := uploads(t, st); n != 0 {
		t.Errorf("%d uploads were left", n)
	}
}

func TestIntentComesFirst(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	w, err := archive.Create(t.Context(), p, intentOf(backupA), small())
	if err != nil {
		t.Fatal(err)
	}
	f, err := archive.Look(t.Context(), p, backupA)
	if err != nil || f.Intent == nil || f.Intent.Runner != intentOf(backupA).Runner || f.Manifest != nil || f.DataPresent {
		t.Errorf("%+v, %v", f, err)
	}
	wantKind(t, "not yet whole", f.Whole(), coffer.KindNotFound)
	if diff := cmp.Diff([]string{archive.IntentName(backupA)}, names(t, mem)); diff != "" {
		t.Error(diff)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A name is never written twice: an id that another runner began is refused.
func TestCreateOnAForeignIntent(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	commit(t, p, backupA, content(1, 1000), small())
	before := names(t, mem)
	in := intentOf(backupA)
	in.Runner = "somebody/else"
	_, err := archive.Create(t.Context(), p, in, small())
	wantKind(t, "create", err, coffer.KindConflict, archive.IntentName(backupA))
	if diff := cmp.Diff(before, names(t, mem)); diff != "" {
		t.Error(diff)
	}
}

func TestIndexRefusesLinesThatWouldLie(t *testing.T) {
	t.Parallel()
	p, _ := memory()
	w, err := archive.Create(t.Context(), p, intentOf(backupA), small())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []any{"text", 7, map[string]any{"frames": [][2]int{{1, 1}}}, map[string]string{"index": "x"}} {
		wantKind(t, fmt.Sprint(line), w.Index(line), coffer.KindInvalid)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
}
