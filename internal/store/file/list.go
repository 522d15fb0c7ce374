package file

import (
	"cmp"
	"context"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// List yields the objects whose name begins with prefix, in byte order of whole
// names. It holds the names of one folder a level at a time, never the tree's.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		dir, rest := path.Split(prefix)
		dir = strings.TrimSuffix(dir, "/")
		if dir != "" && store.CheckName(dir) != nil || strings.HasPrefix(prefix, "/") || strings.HasPrefix(dir, reserved) {
			return // no object's name begins so
		}
		w := walk{s: s, ctx: ctx, op: "list " + prefix, yield: yield}
		w.folder(dir, rest)
	}
}

// walk is one listing. Its life is one operation, so it holds the context.
type walk struct {
	s     *Store
	ctx   context.Context
	op    string
	yield func(store.Object, error) bool
}

// entry is a file or folder with the key that sorts it: a folder's names all
// begin with its own and a slash, so it stands where that would.
type entry struct {
	key    string
	folder bool
}

// folder yields the objects below dir whose first component begins with rest; it
// reports whether the listing goes on.
func (w *walk) folder(dir, rest string) bool {
	if err := w.ctx.Err(); err != nil {
		w.yield(store.Object{}, coffer.Wrap(w.op, err))
		return false
	}
	entries, err := w.s.entries(dir, rest)
	if err != nil {
		w.yield(store.Object{}, fail(w.op, err))
		return false
	}
	for _, e := range entries {
		name := path.Join(dir, e.key)
		if e.folder {
			if !w.folder(name, "") {
				return false
			}
			continue
		}
		if !w.object(name) {
			return false
		}
	}
	return true
}

// object yields one file, unless it went meanwhile.
func (w *walk) object(name string) bool {
	if err := w.ctx.Err(); err != nil {
		w.yield(store.Object{}, coffer.Wrap(w.op, err))
		return false
	}
	fi, err := w.s.lstat(name)
	switch {
	case absent(err):
		return true
	case err != nil:
		w.yield(store.Object{}, fail(w.op, err))
		return false
	}
	return w.yield(object(name, fi), nil)
}

// entries are the plain files and folders in dir that can be objects' or lead to
// some and begin with rest, in the order of their keys. An absent dir is empty.
func (s *Store) entries(dir, rest string) ([]entry, error) {
	if dir == "" {
		dir = "."
	}
	f, err := s.root.Open(dir)
	if absent(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := f.ReadDir(-1)
	if absent(err) {
		return nil, nil // removed meanwhile, or a file
	} else if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(found))
	for _, d := range found {
		if !strings.HasPrefix(d.Name(), rest) || !listed(dir, d) {
			continue
		}
		e := entry{key: d.Name(), folder: d.IsDir()}
		if e.folder {
			e.key += "/"
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	return out, nil
}

// listed reports whether d, in dir, is an object's file or a folder of some.
func listed(dir string, d fs.DirEntry) bool {
	if dir == "." && strings.HasPrefix(d.Name(), reserved) {
		return false
	}
	return (d.IsDir() || d.Type().IsRegular()) && store.CheckName(path.Join(dir, d.Name())) == nil
}
