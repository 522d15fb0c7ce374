package file

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Stale yields the uploads under prefix that are not ended, in order of names.
func (s *Store) Stale(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	return func(yield func(store.Upload, error) bool) {
		op := "list uploads of " + prefix
		found, err := s.uploads(ctx, prefix)
		if err != nil {
			yield(store.Upload{}, fail(op, err))
			return
		}
		for _, u := range found {
			if err := ctx.Err(); err != nil {
				yield(store.Upload{}, coffer.Wrap(op, err))
				return
			}
			if !yield(u, nil) {
				return
			}
		}
	}
}

func (s *Store) uploads(ctx context.Context, prefix string) ([]store.Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := s.root.Open(Hidden)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []store.Upload
	for _, n := range names {
		t, ok := strings.CutSuffix(n, sidecarExt)
		if !ok || !token(t) {
			continue
		}
		u, err := s.sidecar(t)
		if errors.Is(err, fs.ErrNotExist) {
			continue // ended meanwhile
		} else if err != nil {
			return nil, err
		}
		if u.Token == t && strings.HasPrefix(u.Name, prefix) {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b store.Upload) int {
		return strings.Compare(a.Name+"\x00"+a.Token, b.Name+"\x00"+b.Token)
	})
	return out, nil
}
