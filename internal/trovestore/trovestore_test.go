package trovestore_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/trovestore"
	"github.com/cofferdb/coffer/xbstream"
)

const key = "default_aes_cbc_key"

// shelf is a container that somebody has filled.
type shelf struct {
	store.Store
	objects map[string]store.Object
	bytes   map[string][]byte
}

func sum(b []byte) string { s := md5.Sum(b); return hex.EncodeToString(s[:]) }

func newShelf() *shelf {
	return &shelf{objects: map[string]store.Object{}, bytes: map[string][]byte{}}
}

func (s *shelf) put(name string, b []byte, meta store.Meta) {
	s.objects[name] = store.Object{Name: name, Size: int64(len(b)), ETag: sum(b), Meta: meta}
	s.bytes[name] = b
}

// large is an object of segments, as a server shows it.
func (s *shelf) large(id, suffix string, b []byte, piece int, meta store.Meta) {
	var sums strings.Builder
	n := 0
	for part := range slices.Chunk(b, piece) {
		s.put(fmt.Sprintf("%s_%08d", id, n), part, nil)
		sums.WriteString(sum(part))
		n++
	}
	s.objects[id+suffix] = store.Object{Name: id + suffix, Size: int64(len(b)), ETag: `"` + sum([]byte(sums.String())) + `"`, Meta: meta}
	s.bytes[id+suffix] = b
}

func (s *shelf) Stat(_ context.Context, name string) (store.Object, error) {
	o, ok := s.objects[name]
	if !ok {
		return o, coffer.E(coffer.KindNotFound, "look", "no %s", name)
	}
	return o, nil
}

func (s *shelf) Open(_ context.Context, name string, off, _ int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.bytes[name][off:])), nil
}

func (s *shelf) List(_ context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		var names []string
		for name := range s.objects {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			if !yield(s.objects[name], nil) {
				return
			}
		}
	}
}

func (s *shelf) source() trovestore.Source {
	return trovestore.Source{Store: s, Passphrase: []byte(key)}
}

// backup is a small stream that says what a tool's says.
func backup(t *testing.T, checkpoints string, more ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := xbstream.NewWriter(&b)
	for i, text := range append(more, checkpoints) {
		name := fmt.Sprint("f", i)
		if i == len(more) {
			name = "xtrabackup_checkpoints"
		}
		if text == "" {
			continue
		}
		if err := w.WriteFile(name, 0, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	full = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 100\nlast_lsn = 120\n"
	incr = "backup_type = incremental\nfrom_lsn = 100\nto_lsn = 200\nlast_lsn = 220\n"
)

// piped is what a command makes of bytes.
func piped(t *testing.T, in []byte, words ...string) []byte {
	t.Helper()
	cmd := exec.Command(testenv.Need(t, words[0])[0], words[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	return out
}

func zipped(t *testing.T, b []byte) []byte { return piped(t, b, "gzip", "-n") }

func sealed(t *testing.T, b []byte, kdf ...string) []byte {
	return piped(t, b, append([]string{"openssl", "enc", "-aes-256-cbc", "-salt", "-pass", "pass:" + key}, kdf...)...)
}

// read looks and reads.
func read(t *testing.T, s *shelf, name, want string) (trovestore.Facts, error) {
	t.Helper()
	o, err := trovestore.Look(t.Context(), s.source(), name)
	if err != nil {
		return trovestore.Facts{}, err
	}
	return trovestore.Read(t.Context(), s.source(), o, want, nil)
}

// TestForms: every form and era reads to the same stream, whose facts are known, and
// the layer of it gives the same bytes.
func TestForms(t *testing.T) {
	t.Parallel()
	plain := backup(t, full, strings.Repeat("x", 200_000))
	forms := map[string]struct {
		suffix string
		data   []byte
		kdf    string
	}{
		"plain":  {".xbstream", plain, ""},
		"gzip":   {".xbstream.gz", zipped(t, plain), ""},
		"two":    {".xbstream.gz", append(zipped(t, plain[:1000]), zipped(t, plain[1000:])...), ""},
		"md5":    {".xbstream.gz.enc", sealed(t, zipped(t, plain), "-md", "md5"), "md5"},
		"sha256": {".xbstream.gz.enc", sealed(t, zipped(t, plain)), "sha256"},
		"pbkdf2": {".xbstream.gz.enc", sealed(t, zipped(t, plain), "-md", "sha512", "-pbkdf2", "-iter", "10000"), "pbkdf2-sha512"},
		"bare":   {".xbstream.enc", sealed(t, plain, "-md", "md5"), "md5"},
	}
	for name, f := range forms {
		for _, piece := range []int{0, 100, 1 << 20} {
			t.Run(fmt.Sprint(name, piece), func(t *testing.T) {
				t.Parallel()
				s := newShelf()
				if piece == 0 {
					s.put("id"+f.suffix, f.data, nil)
				} else {
					s.large("id", f.suffix, f.data, piece, nil)
				}
				got, err := read(t, s, "id"+f.suffix, "")
				if err != nil {
					t.Fatal(err)
				}
				if !got.Full || got.Plain != int64(len(plain)) || got.Stored != int64(len(f.data)) || got.KDF != f.kdf || got.Position.To != 100 || got.Position.Last != 120 {
					t.Errorf("%+v", got)
				}
				known := trovestore.Known{Backup: "b", SHA256: got.SHA256, Sizes: coffer.Sizes{Plain: got.Plain, Stored: got.Stored}}
				l, err := trovestore.Open(t.Context(), s.source(), "id"+f.suffix, known)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := whole(t, l); err != nil || !bytes.Equal(b, plain) {
					t.Errorf("the layer gives %d bytes, %v", len(b), err)
				}
				s.bytes["id"+f.suffix] = slices.Clone(f.data)
				s.bytes["id"+f.suffix][len(f.data)/2] ^= 4
				if b, err := whole(t, l); !coffer.IsKind(err, coffer.KindCorrupt) {
					t.Errorf("with a changed bit the layer gives %d bytes, %v", len(b), err)
				}
			})
		}
	}
}

func whole(t *testing.T, l *trovestore.Layer) ([]byte, error) {
	t.Helper()
	r, err := l.Stream(t.Context())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// TestWrong: nothing that is not whole, or not what was recorded, is called good.
func TestWrong(t *testing.T) {
	t.Parallel()
	plain := backup(t, full, "data")
	gz := zipped(t, plain)
	enc := sealed(t, gz, "-md", "md5")
	flip := func(b []byte, at int) []byte { b = slices.Clone(b); b[at] ^= 1; return b }
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 4<<20))
	z.Close()
	for name, c := range map[string]struct {
		suffix string
		data   []byte
		want   coffer.Kind
	}{
		"good":                     {".xbstream.gz", gz, ""},
		"cut":                      {".xbstream.gz", gz[:len(gz)-9], coffer.KindCorrupt},
		"cut stream":               {".xbstream.gz", zipped(t, plain[:len(plain)-5]), coffer.KindCorrupt},
		"empty":                    {".xbstream.gz", nil, coffer.KindCorrupt},
		"garbage behind":           {".xbstream.gz", append(slices.Clone(gz), 1, 2, 3), coffer.KindCorrupt},
		"no stream":                {".xbstream.gz", zipped(t, []byte("hello, world")), coffer.KindCorrupt},
		"zeros":                    {".xbstream.gz", bomb.Bytes(), coffer.KindCorrupt},
		"no end of the tool":       {".xbstream.gz", zipped(t, backup(t, "", "data")), coffer.KindCorrupt},
		"no numbers":               {".xbstream.gz", zipped(t, backup(t, "backup_type = full-backuped\nfrom_lsn = x\n")), coffer.KindCorrupt},
		"a strange type":           {".xbstream.gz", zipped(t, backup(t, strings.Replace(full, "full-backuped", "log-applied", 1))), coffer.KindCorrupt},
		"a huge small file":        {".xbstream.gz", zipped(t, backup(t, full+strings.Repeat("\n", 70<<10))), coffer.KindCorrupt},
		"encrypted":                {".xbstream.gz.enc", enc, ""},
		"cut inside a block":       {".xbstream.gz.enc", enc[:len(enc)-3], coffer.KindCorrupt},
		"cut at a block":           {".xbstream.gz.enc", enc[:len(enc)-16], coffer.KindCorrupt},
		"header alone":             {".xbstream.gz.enc", enc[:16], coffer.KindCorrupt},
		"no header":                {".xbstream.gz.enc", gz, coffer.KindCorrupt},
		"another key":              {".xbstream.gz.enc", flip(enc, 10), coffer.KindForbidden},
		"a changed block":          {".xbstream.gz.enc", flip(enc, len(enc)-20), coffer.KindCorrupt},
		"a dump":                   {".gz", gz, coffer.KindUnsupported},
		"a tar":                    {".tar.gz", gz, coffer.KindUnsupported},
		"a name without an ending": {"", gz, coffer.KindUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf()
			s.put("id"+c.suffix, c.data, nil)
			if _, err := read(t, s, "id"+c.suffix, ""); coffer.KindOf(err) != c.want {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestChecksums: what Trove recorded decides, quoted or not, and each segment is
// compared; what a failed upload has left beside an object is not.
func TestChecksums(t *testing.T) {
	t.Parallel()
	gz := zipped(t, backup(t, incr, strings.Repeat("abc", 999)))
	s := newShelf()
	s.large("id", ".xbstream.gz", gz, 50, store.Meta{"parent_location": "https://s/v1/a/c/p.xbstream.gz", "parent_checksum": `"AB"`})
	o, err := trovestore.Look(t.Context(), s.source(), "id.xbstream.gz")
	if err != nil || o.Parent != "https://s/v1/a/c/p.xbstream.gz" || o.ParentChecksum != "ab" {
		t.Fatalf("%+v, %v", o, err)
	}
	good := o.Checksum
	for want, kind := range map[string]coffer.Kind{"": "", good: "", `"` + strings.ToUpper(good) + `"`: "", sum(gz): coffer.KindCorrupt, "0": coffer.KindCorrupt} {
		f, err := read(t, s, "id.xbstream.gz", want)
		if coffer.KindOf(err) != kind || kind == "" && (f.Full || f.Position.From != 100 || f.Checksum != good) {
			t.Errorf("recorded %q: %+v, %v", want, f, err)
		}
	}
	bad := s.objects["id_00000001"]
	bad.ETag = sum(nil)
	s.objects["id_00000001"] = bad
	if _, err := read(t, s, "id.xbstream.gz", ""); !coffer.IsKind(err, coffer.KindCorrupt) {
		t.Errorf("a segment with another sum: %v", err)
	}
	// Another whole stream of the same size in place of the segments' bytes: nothing but
	// their sums tells.
	s.large("two", ".xbstream", backup(t, full, "aaaa"), 50, nil)
	s.bytes["two.xbstream"] = backup(t, full, "bbbb")
	if _, err := read(t, s, "two.xbstream", ""); !coffer.IsKind(err, coffer.KindCorrupt) {
		t.Errorf("a stream in another's place: %v", err)
	}
	s.put("one.xbstream.gz", gz, nil)
	s.put("one_00000000", []byte("left behind"), nil)
	s.put("one_note", gz, nil)
	if _, err := read(t, s, "one.xbstream.gz", sum(gz)); err != nil {
		t.Errorf("beside the leavings of an upload: %v", err)
	}
}

// TestKey: without the key, and with another, nothing opens.
func TestKey(t *testing.T) {
	t.Parallel()
	s := newShelf()
	s.put("id.xbstream.gz.enc", sealed(t, zipped(t, backup(t, full))), nil)
	o, err := trovestore.Look(t.Context(), s.source(), "id.xbstream.gz.enc")
	if err != nil {
		t.Fatal(err)
	}
	for _, pass := range []string{"", "another"} {
		_, err := trovestore.Read(t.Context(), trovestore.Source{Store: s, Passphrase: []byte(pass)}, o, "", nil)
		if !coffer.IsKind(err, coffer.KindForbidden) || coffer.HintOf(err) == "" {
			t.Errorf("passphrase %q: %v", pass, err)
		}
	}
}

// TestLocations: an address is cut as Trove cuts it, and whose account it is.
func TestLocations(t *testing.T) {
	t.Parallel()
	l, err := trovestore.ParseLocation("https://swift:8080/v1/AUTH_p1/database_backups/5f9e4c1e-0000-4000-8000-00000000000A.xbstream.gz")
	if err != nil || l.Account != "https://swift:8080/v1/AUTH_p1" || l.Container != "database_backups" || l.ID() != "5f9e4c1e-0000-4000-8000-00000000000a" {
		t.Errorf("%+v, %v", l, err)
	}
	if !l.Of("p1") || l.Of("p") || l.Of("") || l.Of("AUTH_p1") {
		t.Error("the account is somebody else's")
	}
	for _, raw := range []string{
		"", "nope", "cinder://snap", "file:///a/b/c", "https://h/c/o", "https://h/v1/a//o", "https://h/v1/../c/o", "https://u:p@h/v1/a/c/o",
		"https://h/v1/a/c/o?x=1", "https://h/v1/a/c/o#x", "https://h/v1/a/c/o\n", "https://h/v1/a/c/ o", "https://h/v1/a/c\\x/o",
		"https://h/v1/a/c/" + strings.Repeat("o", 1024),
	} {
		if l, err := trovestore.ParseLocation(raw); err == nil {
			t.Errorf("%q is %+v", raw, l)
		}
	}
}

// FuzzRead feeds whatever bytes as an object of each form.
func FuzzRead(f *testing.F) {
	f.Add([]byte("Salted__12345678"), ".xbstream.gz.enc")
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), ".xbstream.gz")
	f.Add([]byte("XBSTCK01\x00P\x01\x00\x00\x00a"), ".xbstream")
	f.Fuzz(func(t *testing.T, b []byte, suffix string) {
		s := newShelf()
		s.put("id"+suffix, b, nil)
		if _, err := read(t, s, "id"+suffix, ""); err != nil && coffer.IsKind(err, coffer.KindInternal) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
