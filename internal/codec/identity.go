package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
)

// maxKeyFile bounds the files of keys that are read.
const maxKeyFile = 1 << 20

// NewIdentity makes a private key of age's X25519 kind, the one kind that every
// age knows. Its String is the secret.
func NewIdentity() (*age.X25519Identity, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, coffer.Wrap("make a key", err)
	}
	return id, nil
}

// WriteIdentity makes an identity file like age-keygen's, mode 0600, durable. A
// file that exists is KindExists and stays.
func WriteIdentity(path string, id *age.X25519Identity) error {
	const op = "write the identity file"
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return coffer.E(coffer.KindExists, op, "%s is there already", path).
			WithHint("keep it, or choose another name: without it old backups cannot be opened")
	}
	if err != nil {
		return coffer.Wrap(op, err)
	}
	_, err = fmt.Fprintf(f, "# public key: %s\n%s\n", id.Recipient(), id)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return coffer.Wrap(op, errors.Join(err, os.Remove(path)))
	}
	return coffer.Wrap(op, syncDir(filepath.Dir(path)))
}

// syncDir makes a new name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadIdentities reads an identity file. One that others than its owner may read
// is KindForbidden: its mode must be 0600 or 0400.
func ReadIdentities(path string) ([]age.Identity, error) {
	const op = "read the identity file"
	text, mode, err := readKeyFile(op, path)
	if err != nil {
		return nil, err
	}
	if perm := mode.Perm(); perm != 0o600 && perm != 0o400 {
		return nil, coffer.E(coffer.KindForbidden, op, "%s has mode %04o", path, perm).
			WithHint("chmod 600 %s, and think of the key as known to whoever could read it", path)
	}
	// The cause is left out: it may hold what it complains of.
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%s is not an age identity file", path).
			WithHint("it holds a line AGE-SECRET-KEY-1…, as age-keygen and `coffer keys init` write it")
	}
	return ids, nil
}

// ReadRecipients reads a file of recipients, one a line; see [ParseRecipients].
func ReadRecipients(path string) ([]age.Recipient, error) {
	const op = "read the recipients file"
	text, _, err := readKeyFile(op, path)
	if err != nil {
		return nil, err
	}
	rs, err := ParseRecipients(strings.Split(string(text), "\n")...)
	return rs, coffer.Wrap(op+" "+path, err)
}

// ParseRecipients reads public keys ("age1…", the X25519 kind). Empty lines and
// lines that begin with "#" are passed over; none at all is KindInvalid. What was
// given is never repeated in an error, since it may be a secret by mistake.
func ParseRecipients(lines ...string) ([]age.Recipient, error) {
	const op = "read the recipients"
	var found []age.Recipient
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(strings.ToUpper(line), "AGE-SECRET-KEY-") {
			return nil, coffer.E(coffer.KindInvalid, op, "number %d is a private key", i+1).
				WithHint("give its public key (age-keygen -y FILE), and keep the private one to yourself")
		}
		r, err := age.ParseX25519Recipient(line)
		if err != nil {
			return nil, coffer.E(coffer.KindInvalid, op, "number %d is not a public key of age's X25519 kind", i+1).
				WithHint("it begins with age1, 62 characters, as `age-keygen -y FILE` prints it")
		}
		found = append(found, r)
	}
	if len(found) == 0 {
		return nil, coffer.E(coffer.KindInvalid, op, "there are none").WithHint("give a public key (age1…)")
	}
	return found, nil
}

// readKeyFile reads a small regular file, and its mode from the same descriptor.
func readKeyFile(op, path string) ([]byte, fs.FileMode, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, coffer.E(coffer.KindNotFound, op, "%w", err).WithHint("give the right path; `coffer keys init` makes a new one")
	}
	if err != nil {
		return nil, 0, coffer.Wrap(op, err)
	}
	if !st.Mode().IsRegular() { // before the open, which would wait for a pipe's writer
		return nil, 0, coffer.E(coffer.KindInvalid, op, "%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, coffer.Wrap(op, err)
	}
	defer f.Close()
	if st, err = f.Stat(); err != nil {
		return nil, 0, coffer.Wrap(op, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, 0, coffer.Wrap(op, err)
	}
	if len(text) > maxKeyFile {
		return nil, 0, coffer.E(coffer.KindInvalid, op, "%s is longer than %d bytes", path, maxKeyFile)
	}
	return text, st.Mode(), nil
}
