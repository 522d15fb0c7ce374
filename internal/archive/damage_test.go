package archive_test

import (
	"bytes"
	"context"
	"testing"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// damaged is an archive of several volumes and equal parts, ready to be spoiled.
func damaged(t *testing.T, ids ...*age.X25519Identity) (archive.Place, *storetest.Memory, archive.Sealed, []byte) {
	t.Helper()
	p, mem := memory()
	o := small()
	o.MaxParts = 6
	for _, id := range ids {
		o.Recipient = id.Recipient()
	}
	plain := content(4, 1<<20)
	return p, mem, commit(t, p, backupA, plain, o), plain
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 1; return b }
}

func TestDamageIsRefused(t *testing.T) {
	t.Parallel()
	const part = 64 << 10
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name     string
		volume   int
		change   func([]byte) []byte // nil: removed
		mentions string
	}{
		{"flipped byte", 0, flip(3*part + 5), "part 3"},
		{"flipped byte in the second volume", 1, flip(2*part + 5), "part 2"},
		{"cut tail", 2, func(b []byte) []byte { return b[:len(b)-1] }, "bytes"},
		{"longer tail", 2, func(b []byte) []byte { return append(b, 0) }, "bytes"},
		{"swapped parts", 0, func(b []byte) []byte {
			return bytes.Join([][]byte{b[:part], b[2*part : 3*part], b[part : 2*part], b[3*part:]}, nil)
		}, "part 1"},
		{"missing volume", 1, nil, "missing"},
	} {
		for _, ids := range [][]*age.X25519Identity{nil, {id}} {
			t.Run(tc.name, func(t *testing.T) {
				t.Parallel()
				p, mem, s, plain := damaged(t, ids...)
				object := prefix + s.Manifest.Volumes[tc.volume].Name
				if tc.change == nil {
					if err := mem.Delete(t.Context(), object); err != nil {
						t.Fatal(err)
					}
				} else if !mem.Spoil(object, tc.change) {
					t.Fatal("nothing was spoiled")
				}
				w := want(s.SHA256)
				for _, id := range ids {
					w.Identities = append(w.Identities, id)
				}
				got, err := readBack(t.Context(), p, backupA, w)
				wantKind(t, "stream", err, coffer.KindCorrupt, object, tc.mentions)
				if !bytes.HasPrefix(plain, got) {
					t.Error("wrong bytes were given before the error")
				}
				a, err := archive.Open(t.Context(), p, backupA, want(s.SHA256))
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				_, err = a.Verify(t.Context(), nil)
				wantKind(t, "verify", err, coffer.KindCorrupt, object, tc.mentions)
			})
		}
	}
}

// The object shrinks after it was looked at: the part that is cut is named.
func TestCutWhileReading(t *testing.T) {
	t.Parallel()
	p, mem, s, _ := damaged(t)
	f := &storetest.Faulty{Full: mem}
	p.Store = f
	object := prefix + s.Manifest.Volumes[2].Name
	f.Plan(storetest.Fault{Op: storetest.Open, Name: object, Do: func(context.Context) {
		mem.Spoil(object, func(b []byte) []byte { return b[:100] })
	}})
	_, err := readBack(t.Context(), p, backupA, want(s.SHA256))
	wantKind(t, "stream", err, coffer.KindCorrupt, object)
}

// A byte that the way spoiled, or a connection that broke, is read again.
func TestTheWayIsForgiven(t *testing.T) {
	t.Parallel()
	for _, fault := range []storetest.Fault{
		{Op: storetest.Open, Name: ".zst", N: 2, Flip: true, FlipAt: 99},
		{Op: storetest.Open, Name: ".zst", N: 2, Cut: true, CutAt: 99},
		{Op: storetest.Open, Name: ".zst", N: 2, Cut: true, CutAt: 99, Drop: true},
		{Op: storetest.Open, Name: ".zst", N: 2, Kind: coffer.KindUnavailable},
	} {
		p, mem, s, plain := damaged(t)
		f := &storetest.Faulty{Full: mem}
		f.Plan(fault)
		p.Store = f
		mustRead(t, p, backupA, want(s.SHA256), plain)
		f.VerifyAllHit(t)
	}
}

func TestWrongManifestsAreRefused(t *testing.T) {
	t.Parallel()
	p, mem, s, _ := damaged(t)
	other := commit(t, p, backupB, content(5, 1000), small())
	name := prefix + archive.ManifestName(backupA)
	spoil := func(text []byte) { mem.Spoil(name, func([]byte) []byte { return text }) }

	spoil(other.JSON)
	_, err := archive.Open(t.Context(), p, backupA, want(""))
	wantKind(t, "another backup's", err, coffer.KindCorrupt, name, string(backupB))

	older := bytes.Replace(s.JSON, []byte(`"tool": "mariadb-backup 10.11.19"`), []byte(`"tool": "mariadb-backup 10.11.18"`), 1)
	spoil(older)
	_, err = archive.Open(t.Context(), p, backupA, want(s.SHA256))
	wantKind(t, "an older one", err, coffer.KindCorrupt, name)
	if _, err := archive.Open(t.Context(), p, backupA, want("")); err != nil {
		t.Errorf("who expects no sum takes a sound one: %v", err)
	}

	spoil(s.JSON[:len(s.JSON)/2])
	_, err = archive.Open(t.Context(), p, backupA, want(s.SHA256))
	wantKind(t, "half of one", err, coffer.KindCorrupt, name)

	spoil(s.JSON)
	if err := archive.Tombstone(t.Context(), p, backupA); err != nil {
		t.Fatal(err)
	}
	_, err = archive.Open(t.Context(), p, backupA, want(s.SHA256))
	wantKind(t, "a dead one", err, coffer.KindNotFound, archive.TombstoneName(backupA))

	_, err = archive.Open(t.Context(), p, "0f000000-0000-4000-8000-00000000000f", want(""))
	wantKind(t, "none", err, coffer.KindNotFound)
	_, err = archive.Open(t.Context(), p, "../../etc/passwd", want(""))
	wantKind(t, "no id", err, coffer.KindInvalid)
}

// The tombstone comes while the manifest is being read: the backup is dead.
func TestTombstoneIsLookedForLast(t *testing.T) {
	t.Parallel()
	p, mem, s, _ := damaged(t)
	f := &storetest.Faulty{Full: mem}
	f.Plan(storetest.Fault{Op: storetest.Open, Do: func(ctx context.Context) {
		if err := archive.Tombstone(ctx, archive.Place{Store: mem, Prefix: prefix}, backupA); err != nil {
			t.Error(err)
		}
	}})
	p.Store = f
	_, err := archive.Open(t.Context(), p, backupA, want(s.SHA256))
	wantKind(t, "open", err, coffer.KindNotFound, "dead")
	f.VerifyAllHit(t)
}

// The index is never needed: gone, or spoiled, the whole stream is still read.
func TestWithoutAnIndex(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for shape, ids := range map[string][]*age.X25519Identity{"plain": nil, "age": {id}} {
		for how, change := range map[string]func([]byte) []byte{
			"missing": nil, "flipped": flip(40), "cut": func(b []byte) []byte { return b[:50] },
		} {
			t.Run(shape+" "+how, func(t *testing.T) {
				t.Parallel()
				p, mem, s, plain := damaged(t, ids...)
				name := prefix + s.Manifest.Index.Name
				if change == nil {
					if err := mem.Delete(t.Context(), name); err != nil {
						t.Fatal(err)
					}
				} else {
					mem.Spoil(name, change)
				}
				w := want(s.SHA256)
				for _, id := range ids {
					w.Identities = append(w.Identities, id)
				}
				mustRead(t, p, backupA, w, plain)
				a, err := archive.Open(t.Context(), p, backupA, w)
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				_, err = a.Range(t.Context(), 0, 1)
				wantKind(t, "range", err, coffer.KindUnsupported, name)
				for _, err := range a.Entries(t.Context()) {
					wantKind(t, "entries", err, coffer.KindUnsupported)
				}
				if rep, err := a.Verify(t.Context(), nil); err != nil || rep.Index != archive.IndexDamaged {
					t.Errorf("%+v, %v", rep, err)
				}
			})
		}
	}
}

// A frame that was changed behind the index's back fails its own checksum.
func TestRangeSeesAChangedFrame(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, ids := range [][]*age.X25519Identity{nil, {id}} {
		p, mem, s, _ := damaged(t, ids...)
		object := prefix + s.Manifest.Volumes[0].Name
		mem.Spoil(object, flip(200_000))
		w := want(s.SHA256)
		for _, id := range ids {
			w.Identities = append(w.Identities, id)
		}
		a, err := archive.Open(t.Context(), p, backupA, w)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		_, err = readRange(t, a, 500_000, 10)
		wantKind(t, "range", err, coffer.KindCorrupt, object)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name      string
		encrypted bool
		identity  bool
		frames    bool
		index     string
	}{
		{"plain", false, false, true, archive.IndexOK},
		{"age with identity", true, true, true, archive.IndexOK},
		{"age without", true, false, false, archive.IndexUnread},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var ids []*age.X25519Identity
			if tc.encrypted {
				ids = append(ids, id)
			}
			p, _, s, plain := damaged(t, ids...)
			w := want(s.SHA256)
			if tc.identity {
				w.Identities = []age.Identity{id}
			}
			a, err := archive.Open(t.Context(), p, backupA, w)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			var last, total int64
			rep, err := a.Verify(t.Context(), func(d, n int64) { last, total = d, n })
			if err != nil {
				t.Fatal(err)
			}
			if last != total || total != s.Manifest.DataBytes() || rep.StoredBytes != total {
				t.Errorf("progress ended at %d of %d", last, total)
			}
			if rep.FramesChecked != tc.frames || rep.Index != tc.index || rep.Parts < 16 {
				t.Errorf("%+v", rep)
			}
			if tc.frames && (rep.PlainBytes != int64(len(plain)) || rep.Frames != 1) {
				t.Errorf("%+v", rep)
			}
			if !tc.frames {
				_, err := a.Stream(t.Context())
				wantKind(t, "stream without identity", err, coffer.KindForbidden)
			}
		})
	}
}

// A manifest that lies about the plain length, with all its parts right, is
// caught at the end, before io.EOF.
func TestPlainLengthIsCompared(t *testing.T) {
	t.Parallel()
	p, mem, s, _ := damaged(t)
	for _, lie := range []string{`"plain_bytes": 1048575`, `"plain_bytes": 1048577`} {
		text := bytes.Replace(s.JSON, []byte(`"plain_bytes": 1048576`), []byte(lie), 1)
		text = bytes.Replace(text, []byte(`"frames": 1`), []byte(`"frames": 2`), 1)
		mem.Spoil(prefix+archive.ManifestName(backupA), func([]byte) []byte { return text })
		got, err := readBack(t.Context(), p, backupA, want(store.Bytes(text).SHA256()))
		wantKind(t, lie, err, coffer.KindCorrupt, "plain bytes")
		if len(got) > 1048577 || lie == `"plain_bytes": 1048575` && len(got) > 1048575 {
			t.Errorf("%s: %d bytes were given", lie, len(got))
		}
	}
}
