package codec

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
)

// maxWrapped bounds a wrapped key's file.
const maxWrapped = 64 << 10

// DataKey is the key that an instance's backups are encrypted for. Its public
// half, Recipient, travels with the orders; its private half exists in memory
// from [NewDataKey] to [Wrap] and is never printed.
type DataKey struct {
	ID        coffer.KeyID
	Gen       int    // generation of the wrap; the first is 1
	Recipient string // "age1…"

	identity *age.X25519Identity
}

// NewDataKey makes a key with a new id, in its first generation.
func NewDataKey() (*DataKey, error) {
	id, err := NewIdentity()
	if err != nil {
		return nil, err
	}
	return &DataKey{
		ID: coffer.KeyID(coffer.NewUUID()), Gen: 1,
		Recipient: id.Recipient().String(), identity: id,
	}, nil
}

// Rewrapped is the next generation of a key that was unwrapped: the same
// identity, to be wrapped for other recipients.
func Rewrapped(id coffer.KeyID, gen int, identity *age.X25519Identity) *DataKey {
	return &DataKey{ID: id, Gen: gen, Recipient: identity.Recipient().String(), identity: identity}
}

// String is the public part.
func (k DataKey) String() string {
	return fmt.Sprintf("data key %s, generation %d, %s", k.ID, k.Gen, k.Recipient)
}

// GoString is the public part, too: no verb prints the private one.
func (k DataKey) GoString() string { return k.String() }

// LogValue is the public part for structured logs.
func (k DataKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Wrap makes the file that keeps a data key's private half: an age file for the
// operator's recipients that holds an ordinary identity file, so that
// `age -d -i operator key.age > data.key` is enough to use it.
func Wrap(k *DataKey, operator []age.Recipient) ([]byte, error) {
	const op = "wrap the data key"
	if k == nil || k.identity == nil {
		return nil, coffer.E(coffer.KindInternal, op, "its private half is not here")
	}
	var out bytes.Buffer
	w, err := Encrypt(&out, operator...)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	_, err = fmt.Fprintf(w, "# coffer data key: %s, generation %d\n# public key: %s\n%s\n", k.ID, k.Gen, k.Recipient, k.identity)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	if err := w.Close(); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	return out.Bytes(), nil
}

// Unwrap opens a wrapped data key with one of the operator's identities. Whether
// it is the key that was meant is told by its Recipient.
func Unwrap(wrapped []byte, ids []age.Identity) (*age.X25519Identity, error) {
	const op = "unwrap the data key"
	r, err := Decrypt(bytes.NewReader(wrapped), ids...)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxWrapped+1))
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	if len(text) > maxWrapped {
		return nil, coffer.E(coffer.KindCorrupt, op, "it is longer than %d bytes", maxWrapped)
	}
	// The causes are left out from here on: they may hold what they complain of.
	found, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil || len(found) != 1 {
		return nil, coffer.E(coffer.KindCorrupt, op, "it does not hold one identity")
	}
	id, ok := found[0].(*age.X25519Identity)
	if !ok {
		return nil, coffer.E(coffer.KindUnsupported, op, "its identity is not of the X25519 kind")
	}
	return id, nil
}
