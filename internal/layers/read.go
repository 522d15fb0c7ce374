package layers

import (
	"bytes"
	"context"
	"io"
	"maps"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

// Spool keeps the page lists: a file, or memory in a test.
type Spool interface {
	io.Writer
	io.ReaderAt
}

// spool counts what went into a Spool.
type spool struct {
	Spool
	size int64
}

// list is a page list in the spool.
type list struct {
	parts []extent // of the spool
	count int64
	end   int64 // the last page + 1
}

type extent struct{ off, n int64 }

func (s *spool) reader(l list) *runReader {
	var all []io.Reader
	for _, x := range l.parts {
		all = append(all, io.NewSectionReader(s, x.off, x.n))
	}
	return newRunReader(io.MultiReader(all...))
}

// file is one file of a layer.
type file struct {
	engine.Entry
	sent  string // its name in the stream, before the stream's orders
	pages list
}

// layer is what one index tells, with the stream's orders carried out.
type layer struct {
	id    coffer.BackupID
	pos   coffer.Position
	files map[string]*file
}

func (l *layer) bad(name, format string, args ...any) error {
	e := coffer.E(coffer.KindCorrupt, "file "+name+" of backup "+string(l.id), format, args...)
	return coffer.Wrap("read the index", e)
}

// read takes a layer's index. KindUnsupported says that it has none that a merge
// could use.
func read(ctx context.Context, from engine.Layer, s *spool) (*layer, error) {
	l := &layer{id: from.Backup(), pos: from.Position(), files: make(map[string]*file)}
	lists := make(map[string]*list) // of deltas whose own line has not come
	n := 0
	for e, err := range from.Entries(ctx) {
		if err == nil {
			n++
			err = l.take(e, lists, s, from.PlainBytes())
		}
		if err != nil {
			return nil, err
		}
	}
	if n == 0 {
		return nil, coffer.E(coffer.KindUnsupported, "read the index", "backup %s has no list of files", l.id)
	}
	return l, nil
}

func (l *layer) take(e engine.Entry, lists map[string]*list, s *spool, plain int64) error {
	if err := xbstream.CheckPath(e.Name); err != nil {
		return l.bad(e.Name, "%w", err)
	}
	switch e.Kind {
	case engine.KindPages:
		p := lists[e.Name]
		if p == nil {
			p = new(list)
			lists[e.Name] = p
		}
		p.parts = append(p.parts, extent{s.size, int64(len(e.Runs))})
		n, err := s.Write(e.Runs)
		s.size += int64(n)
		return err
	case engine.KindRename:
		if err := xbstream.CheckPath(e.To); err != nil {
			return l.bad(e.Name, "%w", err)
		}
		f := l.files[e.Name]
		delete(l.files, e.Name)
		if f != nil {
			f.Name = e.To
			l.files[e.To] = f
		}
		return nil
	case engine.KindRemove: // of a file, or of a folder
		maps.DeleteFunc(l.files, func(name string, _ *file) bool { return name == e.Name || strings.HasPrefix(name, e.Name+"/") })
		return nil
	}
	f := &file{Entry: e, sent: e.Name}
	if err := l.check(f, plain); err != nil {
		return err
	}
	if e.Kind == engine.KindDelta {
		if err := l.list(f, lists[e.Name], s); err != nil {
			return err
		}
		delete(lists, e.Name)
	}
	l.files[e.Name] = f
	return nil
}

// check sees that the chunks are the file, without gap, inside the stream.
func (l *layer) check(f *file, plain int64) error {
	var at int64
	for _, c := range f.Chunks {
		if c.File != at || c.Len <= 0 || c.Plain < 0 || c.Plain > plain-c.Len {
			return l.bad(f.Name, "its chunks do not join at %d", at)
		}
		at += c.Len
	}
	if at != f.Size {
		return l.bad(f.Name, "its chunks hold %d bytes of %d", at, f.Size)
	}
	return nil
}

// list checks a delta's page list against the delta's size.
func (l *layer) list(f *file, p *list, s *spool) error {
	ps := int64(f.PageSize)
	if ps == 0 {
		return coffer.E(coffer.KindUnsupported, "read the index", "backup %s does not list the pages of %s", l.id, f.Name)
	}
	if !pageSize(ps) {
		return l.bad(f.Name, "pages of %d bytes", ps)
	}
	first := int64(-1)
	if p != nil {
		f.pages = *p
		r := s.reader(*p)
		for {
			n, err := r.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return l.bad(f.Name, "%w", err)
			}
			if n.rank == 0 {
				first = n.start
			}
			f.pages.count, f.pages.end = n.rank+n.n, n.end()
		}
	}
	if f.pages.count != f.Pages || !holds(f.Size, f.pages.count, ps) {
		return l.bad(f.Name, "its list has %d pages, its %d bytes do not", f.pages.count, f.Size)
	}
	if f.Page0 != (first == 0) {
		return l.bad(f.Name, "its line and its list do not agree on page 0")
	}
	return nil
}

// holds reports whether a delta of size bytes has n pages of ps bytes: every block
// with a list stands before ps/4 - 1 pages, the last one before what is left. If that
// is nothing, an empty list may follow.
func holds(size, n, ps int64) bool {
	per := ps/4 - 1
	lists := max(1, (n+per-1)/per)
	return size == (lists+n)*ps || n > 0 && n%per == 0 && size == (lists+1+n)*ps
}

func pageSize(ps int64) bool { return ps >= 1024 && ps <= 64<<10 && ps&(ps-1) == 0 }

// newName is what a .ren file gives: the name without extension.
func (l *layer) newName(f *file) (string, error) {
	name := strings.TrimSuffix(string(bytes.TrimSpace(f.Inline)), ".ibd")
	if err := xbstream.CheckPath(name); err != nil {
		return "", l.bad(f.Name, "%w", err)
	}
	return name, nil
}
