package codec_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := codec.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func encrypt(t testing.TB, plain []byte, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := codec.Encrypt(&out, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decrypt(src []byte, ids ...age.Identity) ([]byte, error) {
	r, err := codec.Decrypt(bytes.NewReader(src), ids...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func decryptAt(src []byte, ids ...age.Identity) ([]byte, error) {
	r, n, err := codec.DecryptAt(bytes.NewReader(src), int64(len(src)), ids...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(r, 0, n))
}

func TestEncryptDecrypt(t *testing.T) {
	t.Parallel()
	a, b, other := identity(t), identity(t), identity(t)
	for _, n := range []int{0, 1, 64 << 10, 64<<10 + 1, 1 << 20} {
		plain := pages(n, 9)
		stored := encrypt(t, plain, a.Recipient(), b.Recipient())
		for _, read := range []func([]byte, ...age.Identity) ([]byte, error){decrypt, decryptAt} {
			for _, id := range []age.Identity{a, b} {
				got, err := read(stored, other, id)
				if err != nil {
					t.Fatal(err)
				}
				wantBytes(t, got, plain)
			}
			for _, ids := range [][]age.Identity{{other}, nil} {
				_, err := read(stored, ids...)
				wantKind(t, err, coffer.KindForbidden)
				if coffer.HintOf(err) == "" {
					t.Fatal("no hint about the identity file")
				}
			}
		}
	}
}

func TestEncryptForNobody(t *testing.T) {
	t.Parallel()
	_, err := codec.Encrypt(io.Discard)
	wantKind(t, err, coffer.KindInvalid)
}

func TestEncryptKeepsTheSinksError(t *testing.T) {
	t.Parallel()
	w, err := codec.Encrypt(&faulty{n: 15, err: coffer.E(coffer.KindNoSpace, "write", "full")}, identity(t).Recipient())
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(w, bytes.NewReader(make([]byte, 1<<20)))
	wantKind(t, err, coffer.KindNoSpace)
	wantKind(t, w.Close(), coffer.KindNoSpace)
}

func TestAnEncryptedFileThatWasTouched(t *testing.T) {
	t.Parallel()
	id := identity(t)
	plain := pages(200<<10, 2)
	stored := encrypt(t, plain, id.Recipient())
	head := len(stored) - len(plain)
	flip := func(at int) []byte {
		b := slices.Clone(stored)
		b[at] ^= 4
		return b
	}
	for name, bad := range map[string][]byte{
		"empty":        {},
		"intro":        flip(3),
		"mac":          flip(head - 100),
		"first chunk":  flip(head + 10),
		"last chunk":   flip(len(stored) - 1),
		"cut":          stored[:len(stored)-1],
		"cut at chunk": stored[:len(stored)-len(plain)%(64<<10)-16],
		"header only":  stored[:100],
		"longer":       append(slices.Clone(stored), 0),
		"doubled":      append(slices.Clone(stored), stored...),
	} {
		for how, read := range map[string]func([]byte, ...age.Identity) ([]byte, error){"stream": decrypt, "at": decryptAt} {
			if _, err := read(bad, id); coffer.KindOf(err) != coffer.KindCorrupt {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
	}
}

// brokenAt fails beyond an offset.
type brokenAt struct {
	b   []byte
	err error
	on  *bool
}

func (r brokenAt) ReadAt(p []byte, off int64) (int, error) {
	if *r.on {
		return 0, r.err
	}
	return bytes.NewReader(r.b).ReadAt(p, off)
}

func TestDecryptKeepsTheSourcesError(t *testing.T) {
	t.Parallel()
	id := identity(t)
	stored := encrypt(t, make([]byte, 200<<10), id.Recipient())
	away := coffer.E(coffer.KindUnavailable, "read a part", "away")
	for _, n := range []int{0, 50, 100 << 10, len(stored)} {
		r, err := codec.Decrypt(io.MultiReader(bytes.NewReader(stored[:n]), iotest.ErrReader(away)), id)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if !errors.Is(err, away) {
			t.Fatalf("after %d: %v", n, err)
		}
		wantKind(t, err, coffer.KindUnavailable)
	}
	var on bool
	r, _, err := codec.DecryptAt(brokenAt{stored, away, &on}, int64(len(stored)), id)
	if err != nil {
		t.Fatal(err)
	}
	on = true
	_, err = r.ReadAt(make([]byte, 10), 5)
	wantKind(t, err, coffer.KindUnavailable)
	_, _, err = codec.DecryptAt(brokenAt{stored, away, &on}, int64(len(stored)), id)
	wantKind(t, err, coffer.KindUnavailable)
}

func TestDecryptAtReadsAnywhereFromManyGoroutines(t *testing.T) {
	t.Parallel()
	id := identity(t)
	plain := pages(500_001, 3)
	stored := encrypt(t, plain, id.Recipient())
	r, n, err := codec.DecryptAt(bytes.NewReader(stored), int64(len(stored)), id)
	if err != nil || n != int64(len(plain)) {
		t.Fatal(n, err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for off := g * 1000; off < len(plain); off += 77_777 {
				got := make([]byte, min(70_000, len(plain)-off))
				if k, err := r.ReadAt(got, int64(off)); k != len(got) || err != nil && err != io.EOF {
					t.Errorf("at %d: %d, %v", off, k, err)
				} else if !bytes.Equal(got, plain[off:off+len(got)]) {
					t.Errorf("at %d: other bytes", off)
				}
			}
		})
	}
	wg.Wait()
	if _, err := r.ReadAt(make([]byte, 1), n); err != io.EOF {
		t.Fatal(err)
	}
	_, err = r.ReadAt(make([]byte, 1), -1)
	wantKind(t, err, coffer.KindInvalid)
}
