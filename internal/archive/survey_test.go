package archive_test

import (
	"context"
	"iter"
	"testing"

	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store"
)

// busyStore is a store in which somebody else deletes a backup as soon as it was
// listed.
type busyStore struct {
	store.Full
	deleted func()
}

func (s busyStore) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		defer s.deleted()
		s.Full.List(ctx, prefix)(yield)
	}
}

// What another sweep or a delete removes at the same time is nobody's stranger.
func TestSurveyBesideADelete(t *testing.T) {
	t.Parallel()
	p, mem := memory()
	commit(t, p, backupA, content(1, 1000), small())
	commit(t, p, backupB, content(2, 1000), small())
	busy := archive.Place{Prefix: p.Prefix, Store: busyStore{mem, func() {
		if err := archive.Delete(t.Context(), p, backupA); err != nil {
			t.Error(err)
		}
	}}}
	ours, strangers, err := archive.Survey(t.Context(), busy, installation)
	if err != nil || len(ours) != 1 || ours[0].ID != backupB || len(strangers) != 0 {
		t.Errorf("ours %+v, strangers %q, %v", ours, strangers, err)
	}
}
