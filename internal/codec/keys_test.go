package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/testenv"
)

func TestWrapUnwrap(t *testing.T) {
	t.Parallel()
	op1, op2, other := identity(t), identity(t), identity(t)
	dk, err := codec.NewDataKey()
	if err != nil {
		t.Fatal(err)
	}
	if !coffer.IsUUID(string(dk.ID)) || dk.Gen != 1 {
		t.Fatalf("%v", dk)
	}
	wrapped, err := codec.Wrap(dk, []age.Recipient{op1.Recipient(), op2.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []*age.X25519Identity{op1, op2} {
		id, err := codec.Unwrap(wrapped, []age.Identity{op})
		if err != nil {
			t.Fatal(err)
		}
		if id.Recipient().String() != dk.Recipient {
			t.Fatal("another key came out")
		}
	}
	_, err = codec.Unwrap(wrapped, []age.Identity{other})
	wantKind(t, err, coffer.KindForbidden)
	_, err = codec.Wrap(dk, nil)
	wantKind(t, err, coffer.KindInvalid)

	id, err := codec.Unwrap(wrapped, []age.Identity{op1})
	if err != nil {
		t.Fatal(err)
	}
	next, err := codec.Wrap(codec.Rewrapped(dk.ID, 2, id), []age.Recipient{other.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := codec.Unwrap(next, []age.Identity{other}); err != nil || got.String() != id.String() {
		t.Fatal("a rotation changed the key", err)
	}
}

func TestUnwrapRefusesWhatIsNoKey(t *testing.T) {
	t.Parallel()
	op := identity(t)
	secret := identity(t).String()
	for name, text := range map[string]string{
		"nothing": "",
		"words":   "hello",
		"two":     secret + "\n" + identity(t).String(),
		"mangled": secret[:40] + "b1" + secret[42:],
		"long":    strings.Repeat("#", 65<<10),
	} {
		_, err := codec.Unwrap(encrypt(t, []byte(text), op.Recipient()), []age.Identity{op})
		if coffer.KindOf(err) != coffer.KindCorrupt {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), secret[15:35]) {
			t.Errorf("%s: the error holds the secret", name)
		}
	}
	_, err := codec.Unwrap([]byte("rubbish"), []age.Identity{op})
	wantKind(t, err, coffer.KindCorrupt)
}

func TestADataKeyNeverPrintsItsSecret(t *testing.T) {
	t.Parallel()
	op := identity(t)
	dk, err := codec.NewDataKey()
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := codec.Wrap(dk, []age.Recipient{op.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	id, err := codec.Unwrap(wrapped, []age.Identity{op})
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("made", "key", dk, "value", *dk)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("made", "key", dk, "value", *dk)
	js, err := json.Marshal(dk)
	if err != nil {
		t.Fatal(err)
	}
	type holder struct{ K codec.DataKey }
	all := logged.String() + string(js)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb+verb+verb, dk, *dk, holder{*dk})
	}
	if strings.Contains(strings.ToUpper(all), "AGE-SECRET-KEY") || strings.Contains(all, id.String()) {
		t.Fatal("the secret was printed")
	}
	if fmt.Sprintf("%#v", *dk) != dk.String() {
		t.Fatal("the Go form shows more than the public half")
	}
	if !strings.Contains(all, dk.Recipient) {
		t.Fatal("the public half was not printed")
	}
}

func TestIdentityFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "operator.key")
	id := identity(t)
	if err := codec.WriteIdentity(path, id); err != nil {
		t.Fatal(err)
	}
	wantKind(t, codec.WriteIdentity(path, identity(t)), coffer.KindExists)
	for mode, want := range map[os.FileMode]coffer.Kind{
		0o600: "", 0o400: "",
		0o640: coffer.KindForbidden, 0o604: coffer.KindForbidden, 0o660: coffer.KindForbidden,
		0o644: coffer.KindForbidden, 0o700: coffer.KindForbidden,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		ids, err := codec.ReadIdentities(path)
		if coffer.KindOf(err) != want {
			t.Fatalf("mode %o: %v", mode, err)
		}
		if want != "" {
			if coffer.HintOf(err) == "" {
				t.Fatal("no hint")
			}
			continue
		}
		if len(ids) != 1 || ids[0].(*age.X25519Identity).String() != id.String() {
			t.Fatal("another identity came back")
		}
	}
}

func TestIdentityFileThatIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := codec.ReadIdentities(filepath.Join(dir, "none"))
	wantKind(t, err, coffer.KindNotFound)
	_, err = codec.ReadIdentities(dir)
	wantKind(t, err, coffer.KindInvalid)
	secret := identity(t).String()
	path := filepath.Join(dir, "bad")
	for _, text := range []string{"", "hello", secret[:50] + "B1" + secret[52:], "x " + secret} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = codec.ReadIdentities(path)
		wantKind(t, err, coffer.KindInvalid)
		if strings.Contains(err.Error(), secret[20:30]) {
			t.Fatal("the error holds the secret")
		}
	}
}

func TestParseRecipients(t *testing.T) {
	t.Parallel()
	a, b := identity(t), identity(t)
	rs, err := codec.ParseRecipients("# mine", "", " "+a.Recipient().String()+" ", b.Recipient().String())
	if err != nil || len(rs) != 2 {
		t.Fatal(rs, err)
	}
	path := filepath.Join(t.TempDir(), "recipients")
	if err := os.WriteFile(path, []byte("# ours\n"+a.Recipient().String()+"\r\n\n"+b.Recipient().String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if rs, err = codec.ReadRecipients(path); err != nil || len(rs) != 2 {
		t.Fatal(rs, err)
	}
	for _, bad := range []string{"", "#", "age1xyz", "ssh-ed25519 AAAA", a.String(), strings.ToLower(a.String())} {
		_, err := codec.ParseRecipients(bad)
		wantKind(t, err, coffer.KindInvalid)
		if coffer.HintOf(err) == "" || len(bad) > 9 && strings.Contains(err.Error(), bad[5:]) {
			t.Fatalf("%v: no hint, or it repeats its input", err)
		}
	}
	_, err = codec.ReadRecipients(path + "x")
	wantKind(t, err, coffer.KindNotFound)
}

// A stock age opens what we made, in the two steps of a recipe.
func TestStockAgeOpensAnArchive(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "age", "age-keygen")
	dir := t.TempDir()
	operator := filepath.Join(dir, "operator.key")
	tool(t, nil, "age-keygen", "-o", operator)
	ids, err := codec.ReadIdentities(operator)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := codec.ParseRecipients(string(tool(t, nil, "age-keygen", "-y", operator)))
	if err != nil {
		t.Fatal(err)
	}
	dk, err := codec.NewDataKey()
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := codec.Wrap(dk, rs)
	if err != nil {
		t.Fatal(err)
	}
	plain := pages(2*frame+11, 6)
	to, err := codec.ParseRecipients(dk.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	var stored bytes.Buffer
	e, err := codec.Encrypt(&stored, to...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := codec.NewWriter(e, codec.Zstd, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(plain)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	data := filepath.Join(dir, "data.key")
	if err := os.WriteFile(data, tool(t, wrapped, "age", "-d", "-i", operator), 0o600); err != nil {
		t.Fatal(err)
	}
	got := tool(t, tool(t, stored.Bytes(), "age", "-d", "-i", data), "zstd", "-dc")
	wantBytes(t, got, plain)

	// And the other way round: what age encrypts, we open.
	theirs := tool(t, plain, "age", "-r", dk.Recipient)
	id, err := codec.Unwrap(wrapped, ids)
	if err != nil {
		t.Fatal(err)
	}
	back, err := decrypt(theirs, id)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, back, plain)
}
