package keyring

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// kept is one store, and records that keep the newest wrap.
type kept struct {
	mem   *storetest.Memory
	wraps map[coffer.KeyID][]byte
}

func (k kept) Open(context.Context, string) (store.Full, error) { return k.mem, nil }

func (k kept) PutKey(_ context.Context, id coffer.KeyID, _ int, w []byte) error {
	k.wraps[id] = w
	return nil
}

func (k kept) Key(_ context.Context, id coffer.KeyID) (int, []byte, error) {
	w, ok := k.wraps[id]
	if !ok {
		return 0, nil, coffer.E(coffer.KindNotFound, "read the key", "no key %s", id)
	}
	return 1, w, nil
}

// TestRoundTrip: what an instance's data key encrypted is read with the operator's
// identity, with nobody else's, and without one the error says what is missing.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	operator, other := identity(t), identity(t)
	file := filepath.Join(t.TempDir(), "identity.txt")
	if err := codec.WriteIdentity(file, operator); err != nil {
		t.Fatal(err)
	}
	k := kept{storetest.NewMemory(), map[coffer.KeyID][]byte{}}
	ring := &Ring{Records: k, Stores: k, Recipients: []age.Recipient{operator.Recipient()}, IdentityFile: file}
	key, recipient, err := ring.NewDataKey(ctx, "s", "p", "i")
	if err != nil || key == "" {
		t.Fatalf("key %q: %v", key, err)
	}
	if err := ring.Publish(ctx, coffer.Instance{ID: "i", Project: "p", Key: key}, "s", "c"); err != nil {
		t.Fatal(err)
	}
	place := archive.Place{Store: k.mem, Prefix: coffer.Prefix("p", "c")}
	id := write(t, place, key, recipient)

	ids, err := ring.Identities(ctx, place, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readBack(t, place, id, ids); got != secret || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if got, err := readBack(t, place, id, nil); err == nil || !strings.Contains(err.Error()+coffer.HintOf(err), "identit") {
		t.Errorf("without an identity: %q, %v (%s)", got, err, coffer.HintOf(err))
	}
	wrong := filepath.Join(t.TempDir(), "identity.txt")
	if err := codec.WriteIdentity(wrong, other); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Ring{Records: k, Stores: k, IdentityFile: wrong}).Identities(ctx, place, key); err == nil {
		t.Error("another identity opens the key")
	}
	empty := archive.Place{Store: storetest.NewMemory(), Prefix: place.Prefix}
	if _, err := ring.Identities(ctx, empty, key); !coffer.IsKind(err, coffer.KindNotFound) || coffer.HintOf(err) == "" {
		t.Errorf("without a wrap: %v", err)
	}
	none := &Ring{Records: k, Stores: k}
	if key, _, err := none.NewDataKey(ctx, "s", "p", "i"); key != "" || err != nil {
		t.Errorf("without recipients: %q %v", key, err)
	}
	for name, o := range listed(t, k.mem) {
		if strings.Contains(o, secret) || strings.Contains(o, "AGE-SECRET-KEY") {
			t.Errorf("object %s holds a secret", name)
		}
	}
}

const secret = "the rows of a table"

func identity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := codec.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func write(t *testing.T, p archive.Place, key coffer.KeyID, recipient string) coffer.BackupID {
	t.Helper()
	rec, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	id, in := coffer.BackupID(coffer.NewUUID()), coffer.InstanceID(coffer.NewUUID())
	w, err := archive.Create(t.Context(), p, archive.Intent{
		Installation: "x", Backup: id, Project: "p", Instance: in, Runner: "a/b", Begun: time.Now(),
	}, archive.Options{Recipient: rec, Workers: 1, SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, secret); err != nil {
		t.Fatal(err)
	}
	_, err = w.Finish(t.Context(), archive.Manifest{
		Installation: "x", Backup: id, Runner: "a/b", Project: "p", Instance: in, Key: key, Root: id,
		Method: "mariabackup", Tool: "t", Started: time.Now(), Finished: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := w.Commit(t.Context()); out != archive.Done {
		t.Fatal(out, err)
	}
	return id
}

func readBack(t *testing.T, p archive.Place, id coffer.BackupID, ids []age.Identity) (string, error) {
	t.Helper()
	a, err := archive.Open(t.Context(), p, id, archive.Want{Identities: ids, Workers: 1, SpoolDir: t.TempDir()})
	if err != nil {
		return "", err
	}
	defer a.Close()
	r, err := a.Stream(t.Context())
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func listed(t *testing.T, m *storetest.Memory) map[string]string {
	t.Helper()
	out := map[string]string{}
	for o, err := range m.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Open(t.Context(), o.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		out[o.Name] = string(b)
	}
	return out
}
