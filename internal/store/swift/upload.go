package swift

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// Begin starts an upload. Its marker carries the metadata until the end.
func (s *Store) Begin(ctx context.Context, name string, meta store.Meta) (store.Upload, error) {
	op := "begin " + name
	at, err := s.begin(ctx, op, name)
	if err != nil {
		return store.Upload{}, err
	}
	release, err := s.naming.Hold(ctx, op, family(at.key))
	if err != nil {
		return store.Upload{}, err
	}
	defer release()
	switch _, err := s.head(ctx, op, at); {
	case err == nil:
		return store.Upload{}, coffer.E(coffer.KindExists, op, "the name is taken")
	case !coffer.IsKind(err, coffer.KindNotFound):
		return store.Upload{}, err
	}
	t := newToken(plainly)
	err = s.mark(ctx, op, at, t, metaHeader(meta), true)
	if coffer.IsKind(err, coffer.KindExists) {
		t = newToken(qualified)
		err = s.mark(ctx, op, at, t, metaHeader(meta), true)
	}
	return store.Upload{Name: name, Token: string(t)}, err
}

// mark writes the upload's marker; a new one only where neither it nor a first
// segment is. KindExists: another upload has these names.
func (s *Store) mark(ctx context.Context, op string, at place, t token, h http.Header, fresh bool) error {
	h.Set("Content-Type", t.typeOf(uploadType, at.key))
	if fresh {
		h.Set("If-None-Match", "*")
		for _, key := range []string{t.marker(at.key), t.segment(at.key, 0)} {
			switch _, err := s.head(ctx, op, place{at.container, key}); {
			case err == nil:
				return coffer.E(coffer.KindExists, op, "another upload has these names")
			case !coffer.IsKind(err, coffer.KindNotFound):
				return err
			}
		}
	}
	_, err := s.simple(ctx, op, call{method: http.MethodPut, at: place{at.container, t.marker(at.key)}, header: h})
	return err
}

// unmark removes the upload's marker, if it is its own.
func (s *Store) unmark(ctx context.Context, op string, at place, t token) error {
	_, err := s.marked(ctx, op, at, t)
	if coffer.IsKind(err, coffer.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.remove(ctx, op, place{at.container, t.marker(at.key)}, nil)
}

// remove deletes one object as it is; an absent one is no error.
func (s *Store) remove(ctx context.Context, op string, at place, query url.Values) error {
	_, err := s.simple(ctx, op, call{method: http.MethodDelete, at: at, query: query})
	if coffer.IsKind(err, coffer.KindNotFound) {
		return nil
	}
	return err
}

// marked is the upload's marker, or why there is none.
func (s *Store) marked(ctx context.Context, op string, at place, t token) (found, error) {
	if !t.valid() {
		return found{}, noUpload(op)
	}
	m, err := s.head(ctx, op, place{at.container, t.marker(at.key)})
	if coffer.IsKind(err, coffer.KindNotFound) || err == nil && m.kind != t.typeOf(uploadType, at.key) {
		return m, noUpload(op)
	}
	return m, err
}

func noUpload(op string) error {
	return coffer.E(coffer.KindNotFound, op, "no such upload: it was ended, or never begun")
}

// Part stores one part as a segment. The server checks its MD5.
func (s *Store) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	op := "write part of " + u.Name
	at, err := s.begin(ctx, op, u.Name)
	if err != nil {
		return store.Part{}, err
	}
	if err := remote.CheckPart(op, i, off); err != nil {
		return store.Part{}, err
	}
	if i > maxIndex {
		return store.Part{}, coffer.E(coffer.KindInvalid, op, "part %d is beyond the last, %d", i, maxIndex)
	}
	t := token(u.Token)
	if _, err := s.marked(ctx, op, at, t); err != nil {
		return store.Part{}, err
	}
	sum := b.MD5()
	part := store.Part{Index: i, Offset: off, Size: b.Size(), SHA256: b.SHA256(), MD5: hex.EncodeToString(sum[:])}
	if b.Size() == 0 {
		return part, nil
	}
	_, err = s.simple(ctx, op, call{
		method: http.MethodPut, at: place{at.container, t.segment(at.key, i)}, body: b,
		header: http.Header{"Etag": {part.MD5}, "Content-Type": {t.typeOf(segmentType, at.key)}},
	})
	return part, err
}

// Abort forgets an upload and its segments. The marker goes last, so that a
// second Abort finds what the first had to leave.
func (s *Store) Abort(ctx context.Context, u store.Upload) error {
	op := "abort " + u.Name
	at, err := s.begin(ctx, op, u.Name)
	if err != nil {
		return err
	}
	t := token(u.Token)
	if !t.valid() {
		return nil
	}
	release, err := s.naming.Hold(ctx, op, u.Name)
	if err != nil {
		return err
	}
	defer release()
	f, err := s.head(ctx, op, at)
	switch {
	case err == nil && f.upload == t: // published: the segments are the object's
		return s.unmark(ctx, op, at, t)
	case err != nil && !coffer.IsKind(err, coffer.KindNotFound):
		return err
	}
	return s.purge(ctx, op, at, t)
}
