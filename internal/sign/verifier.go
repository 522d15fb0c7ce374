package sign

import (
	"crypto/ed25519"
	"encoding/json"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// Verifier trusts a set of public keys, so that a new key can be trusted before the
// first verb is signed with it, and an old one until the last.
type Verifier struct {
	keys map[KeyID]ed25519.PublicKey
	now  func() time.Time
	seen *memory
}

var _ bus.Verifier = (*Verifier)(nil)

// NewVerifier makes a Verifier of public keys in the form that [Public] gives; now
// nil is time.Now.
func NewVerifier(keys []string, now func() time.Time) (*Verifier, error) {
	if now == nil {
		now = time.Now
	}
	v := &Verifier{keys: map[KeyID]ed25519.PublicKey{}, now: now, seen: newMemory()}
	for _, text := range keys {
		pub, err := parsePublic(text)
		if err != nil {
			return nil, err
		}
		v.keys[idOf(pub)] = pub
	}
	if len(v.keys) == 0 {
		return nil, coffer.E(coffer.KindInvalid, "read the control plane's keys", "there is none: no verb could be trusted").
			WithHint("join again: coffer agent join TOKEN")
	}
	return v, nil
}

// Verify refuses what was not signed by a trusted key for this topic, method and
// body, what is expired, and what came before.
func (v *Verifier) Verify(at bus.Target, method string, body json.RawMessage, signature string) error {
	s, err := parse(signature)
	if err != nil {
		return err
	}
	pub, ok := v.keys[s.key]
	if !ok {
		return refuse("key %q is not among those that this agent trusts", s.key)
	}
	if !ed25519.Verify(pub, s.statement(at.Topic, method, body), s.sig) {
		return refuse("the signature is not over this verb")
	}
	switch left := s.expiry.Sub(v.now()); {
	case left < 0:
		return refuse("the signature expired %v ago", -left.Round(time.Second)).WithHint("compare the clocks of the two machines")
	case left > Life+2*Skew:
		return refuse("the signature claims to live for %v", left.Round(time.Second)).WithHint("compare the clocks of the two machines")
	}
	if !v.seen.first(s.nonce) {
		return refuse("the verb came before")
	}
	return nil
}
