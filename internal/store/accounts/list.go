package accounts

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// List yields the objects whose name begins with prefix, in byte order of names.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for b, err := range s.containers(ctx, "list "+prefix, prefix) {
			if err != nil {
				yield(store.Object{}, err)
				return
			}
			for o, err := range b.Full.List(ctx, b.rest(prefix)) {
				if !yield(b.named(o), err) || err != nil {
					return
				}
			}
		}
	}
}

// Stale yields the uploads under prefix that are not ended.
func (s *Store) Stale(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	return func(yield func(store.Upload, error) bool) {
		for b, err := range s.containers(ctx, "list uploads of "+prefix, prefix) {
			if err != nil {
				yield(store.Upload{}, err)
				return
			}
			for u, err := range b.Full.Stale(ctx, b.rest(prefix)) {
				u.Name = b.prefix + u.Name
				if !yield(u, err) || err != nil {
					return
				}
			}
		}
	}
}

// rest is what names in the container begin with, of those that begin with prefix.
func (b below) rest(prefix string) string {
	rest, _ := strings.CutPrefix(prefix, b.prefix)
	if len(prefix) < len(b.prefix) {
		return ""
	}
	return rest
}

// containers yields those in which a name can begin so, in the order of their names'
// beginnings: one, or of a shorter prefix all that the accounts have.
func (s *Store) containers(ctx context.Context, op, prefix string) iter.Seq2[below, error] {
	return func(yield func(below, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(below{}, coffer.Wrap(op, err))
			return
		}
		if p, container, _, ok := split(prefix); ok {
			b, err := s.in(p, container)
			yield(b, err)
			return
		}
		projects, err := s.projects(prefix)
		if err != nil {
			yield(below{}, coffer.Wrap(op, err))
			return
		}
		for _, p := range projects {
			if !s.all(ctx, op, p, prefix, yield) {
				return
			}
		}
	}
}

// projects are those whose names can begin so, in the order of their names.
func (s *Store) projects(prefix string) ([]coffer.ProjectID, error) {
	if p, _, one := strings.Cut(prefix, "/"); one {
		if id := coffer.ProjectID(p); id.Valid() {
			return []coffer.ProjectID{id}, nil
		}
		return nil, nil
	}
	all, err := s.opts.Projects()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(p coffer.ProjectID) bool {
		return !p.Valid() || !strings.HasPrefix(string(p)+"/", prefix)
	})
	slices.SortFunc(all, func(a, b coffer.ProjectID) int { return strings.Compare(string(a)+"/", string(b)+"/") })
	return all, nil
}

// all yields the containers of one project; false stops.
func (s *Store) all(ctx context.Context, op string, p coffer.ProjectID, prefix string, yield func(below, error) bool) bool {
	s.mu.Lock()
	o, err := s.account(p)
	s.mu.Unlock()
	var names []string
	if err == nil {
		names, err = o.Containers(ctx)
	}
	if err != nil {
		yield(below{}, coffer.Wrap(op, err))
		return false
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(coffer.Prefix(p, a), coffer.Prefix(p, b)) })
	for _, name := range names {
		at := coffer.Prefix(p, name)
		if _, back, _, ok := split(at); !ok || back != name || !strings.HasPrefix(at, prefix) {
			continue
		}
		b, err := s.in(p, name)
		if !yield(b, err) || err != nil {
			return false
		}
	}
	return true
}
