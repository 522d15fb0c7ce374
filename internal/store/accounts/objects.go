package accounts

import (
	"context"
	"io"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// at is the container of a name, and the object's name there.
func (s *Store) at(ctx context.Context, op, name string) (b below, rest string, err error) {
	if err := ctx.Err(); err != nil {
		return b, "", coffer.Wrap(op, err)
	}
	if err := store.CheckName(name); err != nil {
		return b, "", err
	}
	p, container, rest, ok := split(name)
	if !ok {
		return b, "", coffer.E(coffer.KindInvalid, op, "%.200q does not lie below a project's container", name)
	}
	b, err = s.in(p, container)
	return b, rest, err
}

// named is an object by its whole name.
func (b below) named(o store.Object) store.Object {
	if o.Name != "" {
		o.Name = b.prefix + o.Name
	}
	return o
}

// inner is an upload as the container's store knows it.
func inner(u store.Upload, rest string) store.Upload {
	u.Name = rest
	return u
}

// Put writes one object.
func (s *Store) Put(ctx context.Context, name string, body store.Body, meta store.Meta) (store.Object, error) {
	b, rest, err := s.at(ctx, "write "+name, name)
	if err != nil {
		return store.Object{}, err
	}
	o, err := b.Full.Put(ctx, rest, body, meta)
	return b.named(o), err
}

// Open reads n bytes from off; n < 0 is to the end.
func (s *Store) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	b, rest, err := s.at(ctx, "read "+name, name)
	if err != nil {
		return nil, err
	}
	return b.Full.Open(ctx, rest, off, n)
}

// Stat says what is there.
func (s *Store) Stat(ctx context.Context, name string) (store.Object, error) {
	b, rest, err := s.at(ctx, "look at "+name, name)
	if err != nil {
		return store.Object{}, err
	}
	o, err := b.Full.Stat(ctx, rest)
	return b.named(o), err
}

// Delete removes one object; an absent one is no error.
func (s *Store) Delete(ctx context.Context, name string) error {
	b, rest, err := s.at(ctx, "delete "+name, name)
	if err != nil {
		return err
	}
	return b.Full.Delete(ctx, rest)
}

// Begin starts an upload.
func (s *Store) Begin(ctx context.Context, name string, meta store.Meta) (store.Upload, error) {
	b, rest, err := s.at(ctx, "begin "+name, name)
	if err != nil {
		return store.Upload{}, err
	}
	u, err := b.Full.Begin(ctx, rest, meta)
	if err == nil {
		u.Name = name
	}
	return u, err
}

// Part stores one part.
func (s *Store) Part(ctx context.Context, u store.Upload, i int, off int64, body store.Body) (store.Part, error) {
	b, rest, err := s.at(ctx, "write part of "+u.Name, u.Name)
	if err != nil {
		return store.Part{}, err
	}
	return b.Full.Part(ctx, inner(u, rest), i, off, body)
}

// Complete publishes the object made of parts.
func (s *Store) Complete(ctx context.Context, u store.Upload, parts []store.Part) (store.Object, error) {
	b, rest, err := s.at(ctx, "complete "+u.Name, u.Name)
	if err != nil {
		return store.Object{}, err
	}
	o, err := b.Full.Complete(ctx, inner(u, rest), parts)
	return b.named(o), err
}

// Abort forgets an upload and its parts.
func (s *Store) Abort(ctx context.Context, u store.Upload) error {
	b, rest, err := s.at(ctx, "abort "+u.Name, u.Name)
	if err != nil {
		return err
	}
	return b.Full.Abort(ctx, inner(u, rest))
}
