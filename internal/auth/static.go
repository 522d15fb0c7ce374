package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/cofferdb/coffer"
)

// maxFile bounds a file of tokens, in bytes.
const maxFile = 1 << 20

// Entry is one line of a file of tokens: JSON, one object a line. Token is the
// secret itself, or "sha256:" and the hex of its SHA-256, so that the file need
// not hold the secret.
type Entry struct {
	Token   string           `json:"token"`
	Project coffer.ProjectID `json:"project"`
	User    string           `json:"user"`
	Roles   []string         `json:"roles,omitempty"`
}

// Static knows its callers from a list of tokens.
type Static struct{ known []known }

var _ Authenticator = (*Static)(nil)

type known struct {
	sum    [sha256.Size]byte
	caller Caller
}

// NewStatic makes an Authenticator of entries. It keeps no token, only sums.
func NewStatic(entries []Entry) (*Static, error) {
	const op = "read the tokens"
	s := &Static{}
	for i, e := range entries {
		if !e.Project.Valid() {
			return nil, coffer.E(coffer.KindInvalid, op, "entry %d: %q is no project", i+1, e.Project)
		}
		sum, err := sumOf(e.Token)
		if err != nil {
			return nil, coffer.E(coffer.KindInvalid, op, "entry %d: %w", i+1, err)
		}
		s.known = append(s.known, known{sum, Caller{Project: e.Project, User: e.User, Roles: e.Roles, Admin: isAdmin(e.Roles)}})
	}
	return s, nil
}

func sumOf(token string) (sum [sha256.Size]byte, err error) {
	hexSum, hashed := strings.CutPrefix(token, "sha256:")
	if !hashed {
		if len(token) < 16 {
			return sum, coffer.E(coffer.KindInvalid, "", "a token has at least 16 characters")
		}
		return sha256.Sum256([]byte(token)), nil
	}
	b, err := hex.DecodeString(hexSum)
	if err != nil || len(b) != len(sum) {
		return sum, coffer.E(coffer.KindInvalid, "", "sha256: is followed by 64 hex digits")
	}
	return [sha256.Size]byte(b), nil
}

// Authenticate compares the request's token with every known one, in a time that
// does not depend on which fits.
func (s *Static) Authenticate(_ context.Context, r *http.Request) (Caller, error) {
	token := Token(r)
	sum := sha256.Sum256([]byte(token))
	found := -1
	for i := range s.known {
		if subtle.ConstantTimeCompare(sum[:], s.known[i].sum[:]) == 1 {
			found = i
		}
	}
	if token == "" || found < 0 {
		return Caller{}, coffer.E(coffer.KindUnauthorized, "authenticate", "the request has no valid token").
			WithHint("send a token of the server's token file as X-Auth-Token")
	}
	return s.known[found].caller, nil
}

// LoadStatic reads a file of tokens. The file must be the reader's alone: others
// have no rights on it.
func LoadStatic(path string) (*Static, error) {
	entries, err := readEntries(path)
	if err != nil {
		return nil, err
	}
	return NewStatic(entries)
}

func readEntries(path string) ([]Entry, error) {
	const op = "read the token file"
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(op, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fileError(op, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, coffer.E(coffer.KindForbidden, op, "%s can be read by others (mode %v)", path, info.Mode().Perm()).
			WithHint("chmod 600 %s", path)
	}
	dec := json.NewDecoder(io.LimitReader(f, maxFile))
	dec.DisallowUnknownFields()
	var entries []Entry
	for {
		var e Entry
		err := dec.Decode(&e)
		if err == io.EOF {
			return entries, nil
		}
		if err != nil {
			return nil, coffer.E(coffer.KindInvalid, op, "%s, entry %d: %w", path, len(entries)+1, err).
				WithHint(`an entry is {"token": "…", "project": "…", "user": "…", "roles": ["member"]}`)
		}
		entries = append(entries, e)
	}
}

func fileError(op string, err error) error {
	kind := coffer.KindInternal
	switch {
	case os.IsNotExist(err):
		kind = coffer.KindNotFound
	case os.IsExist(err):
		kind = coffer.KindExists
	case os.IsPermission(err):
		kind = coffer.KindForbidden
	}
	return coffer.E(kind, op, "%w", err)
}
