package swift

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Stale yields the uploads under prefix that are not ended: those with a marker,
// and those of which only segments are left. It holds the names of large objects
// and uploads, not those of segments.
func (s *Store) Stale(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	return func(yield func(store.Upload, error) bool) {
		op := "list uploads of " + prefix
		found, err := s.uploads(ctx, op, prefix)
		if err != nil {
			yield(store.Upload{}, err)
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

func (s *Store) uploads(ctx context.Context, op, prefix string) ([]store.Upload, error) {
	container, ok, err := s.listing(ctx, op, prefix)
	if !ok {
		return nil, err
	}
	base, _ := split(s.opts.Prefix + prefix)
	open := map[token]store.Upload{}   // with a marker
	orphan := map[token]store.Upload{} // with segments
	whole := map[token]bool{}          // with a manifest
	for e, err := range s.entries(ctx, op, container, base) {
		if err != nil {
			return nil, err
		}
		if t, key, ok := e.owner(uploadType); ok {
			open[t] = store.Upload{Name: s.name(key), Token: string(t), Begun: modified(e.Modified)}
		} else if t, key, ok := e.owner(segmentType); ok {
			if _, known := orphan[t]; !known {
				orphan[t] = store.Upload{Name: s.name(key), Token: string(t), Begun: modified(e.Modified)}
			}
		} else if t, ok := typed(e.Type, largeType); ok {
			whole[t] = true
		}
	}
	for t, u := range orphan {
		if _, marked := open[t]; !marked && !whole[t] {
			open[t] = u
		}
	}
	out := slices.Collect(maps.Values(open))
	out = slices.DeleteFunc(out, func(u store.Upload) bool { return u.Name == "" || !strings.HasPrefix(u.Name, prefix) })
	slices.SortFunc(out, func(a, b store.Upload) int {
		return strings.Compare(a.Name+"\x00"+a.Token, b.Name+"\x00"+b.Token)
	})
	return out, nil
}
