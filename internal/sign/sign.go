// Package sign vouches for verbs: what the control plane tells an agent to do
// carries an Ed25519 signature, and the agent does nothing without one. A broker
// says who sent a message; this says so even where the broker is wrong, or where
// another account of it may write into an agent's queue.
//
// A signature is over the topic, the method, the SHA-256 of the body, a nonce and
// an expiry, in one form that nothing else is signed in. So it cannot be moved to
// another agent, another verb or another job, and not kept for later.
//
// # Clocks
//
// Any machine's clock may be an hour wrong ([Skew]), either way, and a doorbell
// must still ring. So a signature lives for [Life] = 3 h by the signer's clock: two
// hours that the two clocks may differ, and one for the way. One that claims to live
// for longer than any right signer could have meant is refused.
//
// # Replays
//
// A [Verifier] remembers each nonce for as long as any clock might still think it
// fresh, by a clock that only goes forward, and refuses it the second time. It
// forgets them when the process ends. That is harmless, because a verb is a doorbell
// (package message): start and cancel name one job, whose row is read again and whose
// cancel is never taken back; forget names an instance whose row is deleted for ever,
// since ids are not given twice; register looks again, and nobody reads the answer;
// look changes nothing.
package sign

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// How long signatures live, by the signer's clock, and how wrong any clock may be.
const (
	Life = 3 * time.Hour
	Skew = time.Hour
)

const (
	version = "1"
	domain  = "coffer: a verb of the control plane, version 1\x00"
)

var b64 = base64.RawURLEncoding

// KeyID names a key: the beginning of the SHA-256 of its public half.
type KeyID string

func idOf(pub ed25519.PublicKey) KeyID {
	sum := sha256.Sum256(pub)
	return KeyID(hex.EncodeToString(sum[:8]))
}

// seal is a signature with what is needed to check it.
type seal struct {
	key    KeyID
	nonce  string
	expiry time.Time
	sig    []byte
}

// String is the form that travels: version.key.nonce.expiry.signature.
func (s seal) String() string {
	return strings.Join([]string{version, string(s.key), s.nonce, strconv.FormatInt(s.expiry.Unix(), 10), b64.EncodeToString(s.sig)}, ".")
}

// maxSeal bounds what is parsed.
const maxSeal = 256

func parse(text string) (seal, error) {
	f := strings.Split(text[:min(len(text), maxSeal)], ".")
	if len(text) > maxSeal || len(f) != 5 || f[0] != version {
		return seal{}, refuse("it has no signature of version %s", version)
	}
	at, err := strconv.ParseInt(f[3], 10, 64)
	if err != nil {
		return seal{}, refuse("its expiry is no number")
	}
	sig, err := b64.DecodeString(f[4])
	if err != nil || len(sig) != ed25519.SignatureSize {
		return seal{}, refuse("its signature has another form")
	}
	return seal{key: KeyID(f[1]), nonce: f[2], expiry: time.Unix(at, 0), sig: sig}, nil
}

// statement is what is signed: each field with its length before it, so that no two
// statements have the same bytes.
func (s seal) statement(topic, method string, body json.RawMessage) []byte {
	sum := sha256.Sum256(body)
	out := []byte(domain)
	for _, f := range []string{string(s.key), topic, method, string(sum[:]), s.nonce, strconv.FormatInt(s.expiry.Unix(), 10)} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(f)))
		out = append(out, f...)
	}
	return out
}

func refuse(format string, args ...any) *coffer.Error {
	return coffer.E(coffer.KindForbidden, "check who sent the verb", format, args...)
}

// Signer signs with one key.
type Signer struct {
	key ed25519.PrivateKey
	id  KeyID
	now func() time.Time
}

var _ bus.Signer = (*Signer)(nil)

// NewSigner makes a Signer; now nil is time.Now.
func NewSigner(key ed25519.PrivateKey, now func() time.Time) *Signer {
	if now == nil {
		now = time.Now
	}
	return &Signer{key: key, id: idOf(key.Public().(ed25519.PublicKey)), now: now}
}

// ID names the key.
func (s *Signer) ID() KeyID { return s.id }

// Sign vouches for one verb, once.
func (s *Signer) Sign(to bus.Target, method string, body json.RawMessage) (string, error) {
	out := seal{key: s.id, nonce: coffer.NewNonce(), expiry: s.now().Add(Life)}
	out.sig = ed25519.Sign(s.key, out.statement(to.Topic, method, body))
	return out.String(), nil
}
