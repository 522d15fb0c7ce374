package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

const pemType = "PRIVATE KEY"

// publicPrefix says what a public key's text is.
const publicPrefix = "coffer-verbs:ed25519:"

// Public is a key's public half as text: what agents are given.
func Public(key ed25519.PrivateKey) string {
	return publicPrefix + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

// Public is the signer's public half as text.
func (s *Signer) Public() string { return Public(s.key) }

func parsePublic(text string) (ed25519.PublicKey, error) {
	enc, ok := strings.CutPrefix(strings.TrimSpace(text), publicPrefix)
	b, err := base64.StdEncoding.DecodeString(enc)
	if !ok || err != nil || len(b) != ed25519.PublicKeySize {
		return nil, coffer.E(coffer.KindInvalid, "read the control plane's keys", "%.80q is none", text).
			WithHint("it looks like %s…", publicPrefix)
	}
	return ed25519.PublicKey(b), nil
}

// Create makes a new key in path, mode 0600. A file that is there is never
// replaced: KindExists.
func Create(path string) (ed25519.PrivateKey, error) {
	const op = "make the key that signs verbs"
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, coffer.E(coffer.KindExists, op, "%s exists", path).WithHint("it is never replaced: name another file")
	}
	if err != nil {
		return nil, coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: pemType, Bytes: der})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	return key, nil
}

// Load reads a key and makes its Signer. The file must be its reader's alone.
func Load(path string, now func() time.Time) (*Signer, error) {
	const op = "read the key that signs verbs"
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, coffer.E(coffer.KindNotFound, op, "%w", err).WithHint("make one: coffer ca init")
	}
	if err != nil {
		return nil, coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, coffer.E(coffer.KindForbidden, op, "%s can be read by others (mode %v)", path, info.Mode().Perm()).WithHint("chmod 600 %s", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemType {
		return nil, coffer.E(coffer.KindInvalid, op, "%s holds no private key", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := k.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, coffer.E(coffer.KindInvalid, op, "%s holds no Ed25519 key", path)
	}
	return NewSigner(key, now), nil
}

// LoadPublic reads a file of public keys, one a line; lines that begin with # and
// empty ones are not read.
func LoadPublic(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, coffer.E(coffer.KindNotFound, "read the control plane's keys", "%w", err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out, nil
}
