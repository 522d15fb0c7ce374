package model

import (
	"context"
	"io"
	"iter"
	"strings"

	"github.com/cofferdb/coffer/internal/store"
)

// gatedStore is the store as one life sees it. Its gates are named by what is
// called and what for: "put manifest", "part data", "delete dead" and so on.
type gatedStore struct {
	w *world
	l *life
}

var _ store.Full = gatedStore{}

// role says what an object is for.
func role(name string) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case strings.HasSuffix(name, ".intent.json"):
		return "intent"
	case strings.HasSuffix(name, ".manifest.json"):
		return "manifest"
	case strings.HasSuffix(name, ".dead.json"):
		return "dead"
	case strings.Contains(name, ".index"):
		return "index"
	case strings.Contains(name, ".s."):
		return "statement"
	}
	return "data"
}

func (g gatedStore) Put(ctx context.Context, name string, b store.Body, m store.Meta) (o store.Object, err error) {
	if role(name) == "manifest" {
		g.w.mu.Lock()
		g.w.manifest = b
		g.w.mu.Unlock()
	}
	err = g.l.through("put "+role(name), func() (err error) { o, err = g.w.theStore().Put(ctx, name, b, m); return err })
	return o, err
}

func (g gatedStore) Open(ctx context.Context, name string, off, n int64) (r io.ReadCloser, err error) {
	if err := g.l.pass("open " + role(name)); err != nil {
		return nil, err
	}
	return g.w.theStore().Open(ctx, name, off, n)
}

func (g gatedStore) Stat(ctx context.Context, name string) (o store.Object, err error) {
	err = g.l.through("stat "+role(name), func() (err error) { o, err = g.w.theStore().Stat(ctx, name); return err })
	return o, err
}

func (g gatedStore) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		if err := g.l.pass("list"); err != nil {
			yield(store.Object{}, err)
			return
		}
		g.w.theStore().List(ctx, prefix)(yield)
	}
}

func (g gatedStore) Delete(ctx context.Context, name string) error {
	return g.l.through("delete "+role(name), func() error { return g.w.theStore().Delete(ctx, name) })
}

func (g gatedStore) Begin(ctx context.Context, name string, m store.Meta) (u store.Upload, err error) {
	err = g.l.through("begin "+role(name), func() (err error) { u, err = g.w.theStore().Begin(ctx, name, m); return err })
	return u, err
}

func (g gatedStore) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (p store.Part, err error) {
	err = g.l.through("part "+role(u.Name), func() (err error) { p, err = g.w.theStore().Part(ctx, u, i, off, b); return err })
	return p, err
}

func (g gatedStore) Complete(ctx context.Context, u store.Upload, parts []store.Part) (o store.Object, err error) {
	err = g.l.through("complete "+role(u.Name), func() (err error) { o, err = g.w.theStore().Complete(ctx, u, parts); return err })
	return o, err
}

func (g gatedStore) Abort(ctx context.Context, u store.Upload) error {
	return g.l.through("abort "+role(u.Name), func() error { return g.w.theStore().Abort(ctx, u) })
}

func (g gatedStore) Stale(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	return func(yield func(store.Upload, error) bool) {
		if err := g.l.pass("stale"); err != nil {
			yield(store.Upload{}, err)
			return
		}
		g.w.theStore().Stale(ctx, prefix)(yield)
	}
}

// stores gives the one store behind a life's gates.
type stores struct {
	w *world
	l *life
}

func (s stores) Open(context.Context, string) (store.Full, error) {
	return gatedStore(s), nil
}

func (stores) URL(_, object string) string { return "memory:" + object }

// theStore is the store of this moment: faults come and go.
func (w *world) theStore() store.Full {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.store
}

// setStore puts another store, or the same with other faults, in its place.
func (w *world) setStore(s store.Full) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.store = s
}
