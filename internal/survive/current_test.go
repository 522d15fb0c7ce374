package survive

import (
	"context"
	"io"
	"iter"

	"github.com/cofferdb/coffer/internal/store"
)

// current is the store that a world has at the moment of each call: archives and
// writers that were opened before a change go on with what comes after it.
type current struct{ w *world }

var _ store.Full = current{}

func (c current) Put(ctx context.Context, name string, b store.Body, m store.Meta) (store.Object, error) {
	return c.w.theStore().Put(ctx, name, b, m)
}

func (c current) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	return c.w.theStore().Open(ctx, name, off, n)
}

func (c current) Stat(ctx context.Context, name string) (store.Object, error) {
	return c.w.theStore().Stat(ctx, name)
}

func (c current) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return c.w.theStore().List(ctx, prefix)
}

func (c current) Delete(ctx context.Context, name string) error {
	return c.w.theStore().Delete(ctx, name)
}

func (c current) Begin(ctx context.Context, name string, m store.Meta) (store.Upload, error) {
	return c.w.theStore().Begin(ctx, name, m)
}

func (c current) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	return c.w.theStore().Part(ctx, u, i, off, b)
}

func (c current) Complete(ctx context.Context, u store.Upload, parts []store.Part) (store.Object, error) {
	return c.w.theStore().Complete(ctx, u, parts)
}

func (c current) Abort(ctx context.Context, u store.Upload) error {
	return c.w.theStore().Abort(ctx, u)
}

func (c current) Stale(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	return c.w.theStore().Stale(ctx, prefix)
}
