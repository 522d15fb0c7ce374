package amqp

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// signatureKey is the context value that holds the signature of a verb.
const signatureKey = "coffer_signature"

// signed says whether verbs to a topic are orders to an agent, which are signed.
func signed(topic string) bool {
	return strings.HasPrefix(topic, "guestagent.") || strings.HasPrefix(topic, "hostagent.")
}

// sign vouches for a request, before it is encrypted.
func (b *Bus) sign(to bus.Target, r *request) error {
	if b.o.Signer == nil || !signed(to.Topic) {
		return nil
	}
	body, err := canonical(bodyOf(r.Args))
	if err != nil {
		return err
	}
	s, err := b.o.Signer.Sign(to, r.Method, body)
	if err != nil {
		return err
	}
	r.Context[signatureKey] = mustJSON(s)
	return nil
}

// verify refuses a request, in clear, that no trusted signer has vouched for.
func (b *Bus) verify(at bus.Target, r *request) error {
	if b.o.Verifier == nil || !signed(at.Topic) {
		return nil
	}
	s, _ := text(r.Context[signatureKey])
	if s == "" {
		return coffer.E(coffer.KindForbidden, "verify "+r.Method, "it is not signed")
	}
	body, err := canonical(bodyOf(r.Args))
	if err != nil {
		return err
	}
	if err := b.o.Verifier.Verify(at, r.Method, body, s); err != nil {
		return &coffer.Error{Kind: coffer.KindForbidden, Op: "verify " + r.Method, Err: err, Hint: coffer.HintOf(err)}
	}
	return nil
}

// canonical is the one way to write a JSON value: compact, keys sorted, numbers as
// they came, no character escaped that need not be.
func canonical(raw json.RawMessage) (json.RawMessage, error) {
	in := json.NewDecoder(bytes.NewReader(raw))
	in.UseNumber()
	var v any
	if err := in.Decode(&v); err != nil {
		return nil, coffer.E(coffer.KindInvalid, "read a body", "%w", err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, coffer.E(coffer.KindInternal, "write a body", "%w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
