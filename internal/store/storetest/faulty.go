package storetest

import (
	"context"
	"io"
	"iter"

	"github.com/cofferdb/coffer/internal/store"
)

// Put passes the call on, as the plan has it.
func (f *Faulty) Put(ctx context.Context, name string, b store.Body, meta store.Meta) (store.Object, error) {
	hit, err := f.before(ctx, Put, name)
	if err == nil {
		err = f.room(Put, name, b.Size())
	}
	if err != nil {
		return store.Object{}, err
	}
	o, err := f.Full.Put(ctx, name, b, meta)
	if err = hit.after(Put, name, err); err != nil {
		return store.Object{}, err
	}
	return hit.object(o), nil
}

// Open passes the call on, and spoils what is read.
func (f *Faulty) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	hit, err := f.before(ctx, Open, name)
	if err != nil {
		return nil, err
	}
	r, err := f.Full.Open(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	if err := hit.after(Open, name, nil); err != nil {
		r.Close()
		return nil, err
	}
	if !hit.Cut && !hit.Flip {
		return r, nil
	}
	return &spoiled{ReadCloser: r, hit: hit}, nil
}

// Stat passes the call on, as the plan has it.
func (f *Faulty) Stat(ctx context.Context, name string) (store.Object, error) {
	hit, err := f.before(ctx, Stat, name)
	if err != nil {
		return store.Object{}, err
	}
	o, err := f.Full.Stat(ctx, name)
	if err = hit.after(Stat, name, err); err != nil {
		return store.Object{}, err
	}
	return hit.object(o), nil
}

// List passes the call on; a lost answer is an error after the last object.
func (f *Faulty) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		hit, err := f.before(ctx, List, prefix)
		if err != nil {
			yield(store.Object{}, err)
			return
		}
		for o, err := range f.Full.List(ctx, prefix) {
			if err == nil {
				o = hit.object(o)
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
		if err := hit.after(List, prefix, nil); err != nil {
			yield(store.Object{}, err)
		}
	}
}

// Delete passes the call on, as the plan has it.
func (f *Faulty) Delete(ctx context.Context, name string) error {
	hit, err := f.before(ctx, Delete, name)
	if err != nil {
		return err
	}
	return hit.after(Delete, name, f.Full.Delete(ctx, name))
}

// Begin passes the call on, as the plan has it.
func (f *Faulty) Begin(ctx context.Context, name string, meta store.Meta) (store.Upload, error) {
	hit, err := f.before(ctx, Begin, name)
	if err != nil {
		return store.Upload{}, err
	}
	u, err := f.Full.Begin(ctx, name, meta)
	if err = hit.after(Begin, name, err); err != nil {
		return store.Upload{}, err
	}
	return u, nil
}

// Part passes the call on, as the plan has it.
func (f *Faulty) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	hit, err := f.before(ctx, Part, u.Name)
	if err == nil {
		err = f.room(Part, u.Name, b.Size())
	}
	if err != nil {
		return store.Part{}, err
	}
	p, err := f.Full.Part(ctx, u, i, off, b)
	if err = hit.after(Part, u.Name, err); err != nil {
		return store.Part{}, err
	}
	if hit.LieSum {
		p.MD5 = wrongSum[:32]
	}
	return p, nil
}

// Complete passes the call on, as the plan has it.
func (f *Faulty) Complete(ctx context.Context, u store.Upload, parts []store.Part) (store.Object, error) {
	hit, err := f.before(ctx, Complete, u.Name)
	if err != nil {
		return store.Object{}, err
	}
	o, err := f.Full.Complete(ctx, u, parts)
	if err = hit.after(Complete, u.Name, err); err != nil {
		return store.Object{}, err
	}
	return hit.object(o), nil
}

// Abort passes the call on, as the plan has it.
func (f *Faulty) Abort(ctx context.Context, u store.Upload) error {
	hit, err := f.before(ctx, Abort, u.Name)
	if err != nil {
		return err
	}
	return hit.after(Abort, u.Name, f.Full.Abort(ctx, u))
}

// Stale passes the call on; a lost answer is an error after the last upload.
func (f *Faulty) Stale(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	return func(yield func(store.Upload, error) bool) {
		hit, err := f.before(ctx, Stale, prefix)
		if err != nil {
			yield(store.Upload{}, err)
			return
		}
		for u, err := range f.Full.Stale(ctx, prefix) {
			if !yield(u, err) || err != nil {
				return
			}
		}
		if err := hit.after(Stale, prefix, nil); err != nil {
			yield(store.Upload{}, err)
		}
	}
}
