package storetest

import (
	"context"
	"iter"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// WriteOnce is s under a retention: until keptUntil no object can be deleted
// (KindKept, with the date) and, as everywhere, none overwritten. An upload that
// is not ended can still be aborted. Afterwards it is s.
func WriteOnce(s store.Full, keptUntil time.Time) store.Full {
	return &writeOnce{Full: s, until: keptUntil.UTC()}
}

type writeOnce struct {
	store.Full
	until time.Time
}

var (
	_ store.Full    = (*writeOnce)(nil)
	_ store.Bounded = (*writeOnce)(nil)
)

// MaxParts passes the question on.
func (w *writeOnce) MaxParts(ctx context.Context) (int, error) { return store.MaxParts(ctx, w.Full) }

func (w *writeOnce) kept(o store.Object, err error) (store.Object, error) {
	if err == nil {
		o.KeptUntil = w.until
	}
	return o, err
}

func (w *writeOnce) Put(ctx context.Context, name string, b store.Body, meta store.Meta) (store.Object, error) {
	return w.kept(w.Full.Put(ctx, name, b, meta))
}

func (w *writeOnce) Complete(ctx context.Context, u store.Upload, parts []store.Part) (store.Object, error) {
	return w.kept(w.Full.Complete(ctx, u, parts))
}

func (w *writeOnce) Stat(ctx context.Context, name string) (store.Object, error) {
	return w.kept(w.Full.Stat(ctx, name))
}

func (w *writeOnce) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for o, err := range w.Full.List(ctx, prefix) {
			if !yield(w.kept(o, err)) {
				return
			}
		}
	}
}

func (w *writeOnce) Delete(ctx context.Context, name string) error {
	_, err := w.Full.Stat(ctx, name)
	switch {
	case coffer.IsKind(err, coffer.KindNotFound):
		return nil
	case err != nil:
		return err
	case time.Now().Before(w.until):
		return coffer.E(coffer.KindKept, "delete "+name, "kept until %s", w.until.Format(time.DateOnly)).
			WithHint("delete it again after that date")
	}
	return w.Full.Delete(ctx, name)
}
