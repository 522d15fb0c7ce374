package auth

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/cofferdb/coffer"
)

// LocalProject is the project of a server that one person runs.
const LocalProject coffer.ProjectID = "default"

// Local gives the one entry of a single user's token file and makes the file,
// mode 0600, when there is none. coffer server calls it at its start; the command
// line reads the same file with ReadLocal.
func Local(path string) (Entry, error) {
	e, err := ReadLocal(path)
	if !coffer.IsKind(err, coffer.KindNotFound) {
		return e, err
	}
	if err := writeLocal(path); err != nil && !coffer.IsKind(err, coffer.KindExists) {
		return Entry{}, err
	}
	return ReadLocal(path)
}

// ReadLocal reads the first entry of a token file.
func ReadLocal(path string) (Entry, error) {
	entries, err := readEntries(path)
	if err != nil {
		return Entry{}, err
	}
	if len(entries) == 0 {
		return Entry{}, coffer.E(coffer.KindInvalid, "read the token file", "%s is empty", path).
			WithHint("remove it; coffer server makes a new one")
	}
	return entries[0], nil
}

// writeLocal makes the file whole under another name and links it to its own, so
// that nobody reads half of it and of two makers one wins.
func writeLocal(path string) error {
	const op = "make the token file"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fileError(op, err)
	}
	line, err := json.Marshal(Entry{Token: coffer.NewNonce() + coffer.NewNonce(), Project: LocalProject, User: "local", Roles: []string{AdminRole}})
	if err != nil {
		return coffer.Wrap(op, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*") // mode 0600
	if err != nil {
		return fileError(op, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(line, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err != nil {
		return fileError(op, err)
	}
	return nil
}
