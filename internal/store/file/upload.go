package file

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// An upload is two hidden files named by its token: the data, and a sidecar that
// holds the Upload as JSON. The sidecar is there first and goes last, so no
// upload is ever without one.
const (
	dataExt    = ".upload"
	sidecarExt = ".json"
)

func data(token string) string    { return path.Join(Hidden, token+dataExt) }
func sidecar(token string) string { return path.Join(Hidden, token+sidecarExt) }

// token reports whether t has the form of a token: 32 hex digits, so that no
// token is a path.
func token(t string) bool {
	return len(t) == 32 && strings.Trim(t, "0123456789abcdef") == ""
}

// Begin starts an upload.
func (s *Store) Begin(ctx context.Context, name string, _ store.Meta) (store.Upload, error) {
	op := "begin " + name
	if err := begin(ctx, op, name); err != nil {
		return store.Upload{}, err
	}
	if err := s.free(op, name); err != nil {
		return store.Upload{}, err
	}
	u := store.Upload{Name: name, Token: coffer.NewNonce(), Begun: time.Now().UTC().Truncate(time.Millisecond)}
	raw, err := json.Marshal(u)
	if err != nil {
		return store.Upload{}, coffer.Wrap(op, err)
	}
	h, err := s.hide(ctx, op, store.Bytes(raw))
	if err != nil {
		return store.Upload{}, err
	}
	defer h.drop()
	if err := h.link(sidecar(u.Token)); err != nil {
		return store.Upload{}, fail(op, err)
	}
	if err := s.syncFolders(Hidden); err != nil {
		return store.Upload{}, fail(op, err)
	}
	f, err := s.create(data(u.Token))
	if err == nil {
		err = f.Close()
	}
	return u, fail(op, err)
}

// Part writes b in place. The bytes are on the disk when it returns.
func (s *Store) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	op := "write part of " + u.Name
	if i < 0 || off < 0 {
		return store.Part{}, coffer.E(coffer.KindInvalid, op, "part %d at offset %d", i, off)
	}
	f, err := s.lock(ctx, op, u, shared)
	if err != nil {
		return store.Part{}, err
	}
	err = copyAt(ctx, f, off, b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return store.Part{}, fail(op, err)
	}
	return store.Part{Index: i, Offset: off, Size: b.Size(), SHA256: b.SHA256()}, nil
}

// Complete publishes the upload's file, once nobody writes to it any more.
func (s *Store) Complete(ctx context.Context, u store.Upload, parts []store.Part) (store.Object, error) {
	op := "complete " + u.Name
	size, err := contiguous(op, parts)
	if err != nil {
		return store.Object{}, err
	}
	f, err := s.lock(ctx, op, u, exclusive)
	if err != nil {
		return store.Object{}, err
	}
	defer f.Close()
	if err := s.belongs(op, u); err != nil {
		return store.Object{}, err
	}
	fi, err := f.Stat()
	if err == nil && fi.Size() != size {
		err = coffer.E(coffer.KindInvalid, op, "the parts have %d bytes, the upload has %d", size, fi.Size())
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return store.Object{}, fail(op, err)
	}
	o, err := s.publish(op, hidden{root: s.root, path: data(u.Token)}, u.Name)
	if err == nil {
		s.forget(u.Token)
	}
	return o, err
}

// contiguous is the size of parts that follow one another from 0.
func contiguous(op string, parts []store.Part) (int64, error) {
	var end int64
	for i, p := range parts {
		if p.Index != i || p.Offset != end || p.Size < 0 {
			return 0, coffer.E(coffer.KindInvalid, op, "part %d at %d does not follow the one before, which ends at %d", p.Index, p.Offset, end)
		}
		end += p.Size
	}
	return end, nil
}

// belongs is an error unless the token was given out for the upload's name.
func (s *Store) belongs(op string, u store.Upload) error {
	known, err := s.sidecar(u.Token)
	if err != nil {
		return fail(op, err)
	}
	if known.Name != u.Name {
		return coffer.E(coffer.KindInvalid, op, "the upload was begun for another name")
	}
	return nil
}

func (s *Store) sidecar(token string) (u store.Upload, err error) {
	raw, err := s.root.ReadFile(sidecar(token))
	if err != nil {
		return u, err
	}
	err = json.Unmarshal(raw, &u)
	return u, err
}

// Abort forgets an upload. A published object is another name of the file and
// stays.
func (s *Store) Abort(ctx context.Context, u store.Upload) error {
	op := "abort " + u.Name
	if err := begin(ctx, op, u.Name); err != nil {
		return err
	}
	if !token(u.Token) {
		return nil
	}
	return fail(op, s.forget(u.Token))
}

// forget removes the hidden files, the sidecar last.
func (s *Store) forget(token string) error {
	for _, p := range []string{data(token), sidecar(token)} {
		if err := s.root.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// openData opens the upload's data, or says why there is none.
func (s *Store) openData(op string, u store.Upload) (*os.File, error) {
	f, err := s.root.OpenFile(data(u.Token), os.O_RDWR, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, fail(op, err)
	}
	return nil, s.ended(op, u)
}

// ended is the answer about an upload that is not there.
func (s *Store) ended(op string, u store.Upload) error {
	if _, err := s.lstat(u.Name); err == nil {
		return coffer.E(coffer.KindExists, op, "the upload has ended and the object exists")
	}
	return coffer.E(coffer.KindNotFound, op, "no such upload: it was ended, or never begun")
}
