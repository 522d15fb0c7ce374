package sign

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

var (
	body = json.RawMessage(`{"job":"j1"}`)
	to   = bus.Target{Topic: "guestagent.i1"}
)

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	key, err := Create(filepath.Join(t.TempDir(), "sign", "k.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newVerifier(t *testing.T, now func() time.Time, keys ...ed25519.PrivateKey) *Verifier {
	t.Helper()
	var pubs []string
	for _, k := range keys {
		pubs = append(pubs, Public(k))
	}
	v, err := NewVerifier(pubs, now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func signed(t *testing.T, s *Signer) string {
	t.Helper()
	out, err := s.Sign(to, "start", body)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func refused(t *testing.T, what string, err error, words string) {
	t.Helper()
	if !coffer.IsKind(err, coffer.KindForbidden) || !strings.Contains(fmt.Sprint(err), words) {
		t.Errorf("%s: %v", what, err)
	}
}

// What was signed passes once; every other use of it is refused.
func TestVerify(t *testing.T) {
	t.Parallel()
	key, stranger := newKey(t), newKey(t)
	s, v := NewSigner(key, nil), newVerifier(t, nil, key)
	sig := signed(t, s)
	refused(t, "other topic", v.Verify(bus.Target{Topic: "guestagent.i2"}, "start", body, sig), "not over this verb")
	refused(t, "other method", v.Verify(to, "cancel", body, sig), "not over this verb")
	refused(t, "altered body", v.Verify(to, "start", json.RawMessage(`{"job":"j2"}`), sig), "not over this verb")
	refused(t, "moved bytes", v.Verify(bus.Target{Topic: "guestagent.i1s"}, "tart", body, sig), "not over this verb")
	refused(t, "unknown key", v.Verify(to, "start", body, signed(t, NewSigner(stranger, nil))), "not among those")
	refused(t, "none", v.Verify(to, "start", body, ""), "no signature")
	refused(t, "long", v.Verify(to, "start", body, sig+strings.Repeat("a", 1<<20)), "no signature")
	f := strings.Split(sig, ".")
	later := strings.Join([]string{f[0], f[1], f[2], "99999999999", f[4]}, ".")
	refused(t, "moved expiry", v.Verify(to, "start", body, later), "not over this verb")
	claimed := strings.Join([]string{f[0], string(idOf(stranger.Public().(ed25519.PublicKey))), f[2], f[3], f[4]}, ".")
	refused(t, "other key's name", newVerifier(t, nil, key, stranger).Verify(to, "start", body, claimed), "not over this verb")
	if err := v.Verify(bus.Target{Topic: to.Topic, Server: "h"}, "start", body, sig); err != nil {
		t.Errorf("the very verb: %v", err)
	}
	refused(t, "replay", v.Verify(to, "start", body, sig), "came before")
}

// Both keys pass while they are exchanged.
func TestRotation(t *testing.T) {
	t.Parallel()
	old, next := newKey(t), newKey(t)
	v := newVerifier(t, nil, old, next)
	for _, k := range []ed25519.PrivateKey{old, next} {
		if err := v.Verify(to, "start", body, signed(t, NewSigner(k, nil))); err != nil {
			t.Error(err)
		}
	}
	refused(t, "the old key afterwards", newVerifier(t, nil, next).Verify(to, "start", body, signed(t, NewSigner(old, nil))), "not among those")
}

// Clocks that are an hour wrong, each its own way, hear a doorbell that was an hour
// under way; what is older than it may be is refused, and so is what claims more.
func TestClocks(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		signer, reader, way time.Duration
		words               string // of the refusal; "" passes
	}{
		{0, 0, 0, ""},
		{-time.Hour, time.Hour, 59 * time.Minute, ""},
		{time.Hour, -time.Hour, 0, ""},
		{0, 0, Life + time.Second, "expired"},
		{-time.Hour, time.Hour, time.Hour + time.Second, "expired"},
		{3 * time.Hour, 0, 0, "claims to live"},
	} {
		s := NewSigner(key, func() time.Time { return at.Add(c.signer) })
		v := newVerifier(t, func() time.Time { return at.Add(c.reader + c.way) }, key)
		err := v.Verify(to, "start", body, signed(t, s))
		if c.words == "" && err != nil {
			t.Errorf("%+v: %v", c, err)
		} else if c.words != "" {
			refused(t, fmt.Sprintf("%+v", c), err, c.words)
		}
	}
}

// A nonce is remembered while any jump of the reader's clock could make its signature
// fresh again, and the memory is bounded.
func TestMemory(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.max = 100
	var now time.Duration
	m.since = func() time.Duration { return now }
	if !m.first("a") {
		t.Fatal("a nonce is known before it came")
	}
	now = Life + 2*Skew
	if m.first("a") {
		t.Error("forgotten too early")
	}
	now += time.Second
	if !m.first("a") || len(m.seen) != 1 {
		t.Error("kept for ever")
	}
	for i := range 10_000 {
		m.first(fmt.Sprint(i))
	}
	if len(m.seen) > m.max || len(m.order) > 3*m.max {
		t.Errorf("%d nonces, %d slots", len(m.seen), len(m.order))
	}
}

// A key lies in a file of its own mode and is never replaced.
func TestKeyFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sign", "k.pem")
	key, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Error(fi.Mode(), err)
	}
	if _, err := Create(path); !coffer.IsKind(err, coffer.KindExists) {
		t.Errorf("made twice: %v", err)
	}
	s, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Public() != Public(key) || s.ID() == "" {
		t.Errorf("read back as %s", s.Public())
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, nil); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("others may read it: %v", err)
	}
	list := filepath.Join(t.TempDir(), "verify.keys")
	if err := os.WriteFile(list, []byte("# old\n"+s.Public()+"\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pubs, err := LoadPublic(list)
	if err != nil || len(pubs) != 1 {
		t.Fatal(pubs, err)
	}
	if _, err := NewVerifier(pubs, nil); err != nil {
		t.Error(err)
	}
	if _, err := NewVerifier(nil, nil); err == nil {
		t.Error("a verifier without keys")
	}
	if _, err := NewVerifier([]string{"coffer-verbs:ed25519:AAAA"}, nil); err == nil {
		t.Error("a short key is taken")
	}
}
