package layers

import (
	"cmp"
	"context"
	"slices"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// source is one layer's pages of an output.
type source struct {
	layer int
	whole bool
	file  *file
}

// output is one file to be written.
type output struct {
	name     string
	id       uint32
	sources  []source // the newest first
	pageSize int64    // 0: no pages, copied as it is
	size     int64
	limit    int64 // pages of sources behind first that are not below limit are dropped
	first    int   // the source that has page 0
	system   int   // 1 + the number of the system tablespace's file; 0 is another
	before   int64 // pages of the system tablespace in the files before this
}

// Plan is how the files of a chain's last layer are made.
type Plan struct {
	layers  []engine.Layer
	spool   *spool
	outputs []*output
	bytes   int64
}

// Bytes is the size of all files together.
func (p *Plan) Bytes() int64 { return p.bytes }

const opJoin = "join the layers"

// Join plans the merge of chain (the full first) from the layers' indexes. system
// are the names of the system tablespace's files, in order. KindUnsupported: an
// index is missing or does not list the pages; KindCorrupt: indexes that
// contradict themselves, or a tablespace of which pages are in no layer.
func Join(ctx context.Context, chain []engine.Layer, system []string, s Spool) (*Plan, error) {
	return JoinSome(ctx, chain, system, s, nil)
}

// JoinSome is Join for those files alone that keep wants, by their names at the end
// of the chain; nil wants all. What is wrong with the pages of others is no error.
func JoinSome(ctx context.Context, chain []engine.Layer, system []string, s Spool, keep func(name string) bool) (*Plan, error) {
	p := &Plan{layers: chain, spool: &spool{Spool: s}}
	open := make(map[string]*output) // by name, of the system tablespace
	ids := make(map[uint32]*output)
	for i := len(chain) - 1; i >= 0; i-- {
		l, err := read(ctx, chain[i], p.spool)
		if err != nil {
			return nil, coffer.Wrap(opJoin, err)
		}
		parts, err := l.settle(system)
		if err != nil {
			return nil, coffer.Wrap(opJoin, err)
		}
		if i == len(chain)-1 {
			err = p.newest(l, parts, system, open, ids)
		} else {
			err = p.below(i, l, parts, system, open, ids)
		}
		if err != nil {
			return nil, coffer.Wrap(opJoin, err)
		}
	}
	if keep != nil {
		p.outputs = slices.DeleteFunc(p.outputs, func(o *output) bool { return !keep(o.name) })
	}
	if err := p.finish(system); err != nil {
		return nil, coffer.Wrap(opJoin, err)
	}
	return p, nil
}

// newest takes the layer that says which files there are.
func (p *Plan) newest(l *layer, parts map[string]part, system []string, open map[string]*output, ids map[uint32]*output) error {
	top := len(p.layers) - 1
	names := make(map[string]bool)
	for name, t := range parts {
		o := &output{name: name, id: t.id, system: 1 + slices.Index(system, name), first: -1}
		names[name] = true
		p.outputs = append(p.outputs, o)
		o.add(source{top, t.whole, t.file})
		switch {
		case t.whole && !t.born: // redo makes it
			o.pageSize = 0
		case t.whole && o.system == 0 && t.file.PageSize == 0:
			return l.bad(name, "its first page does not say what its pages are")
		case t.whole:
		case o.system > 0:
			open[name] = o
		default:
			ids[t.id] = o
		}
	}
	for _, name := range system {
		if !names[name] {
			return l.bad(name, "a file of the system tablespace is missing")
		}
	}
	others, err := l.others()
	for _, f := range others {
		if names[f.Name] {
			return l.bad(f.Name, "two files of one name")
		}
		p.outputs = append(p.outputs, &output{name: f.Name, first: -1, sources: []source{{top, true, f}}})
	}
	return err
}

// below takes an older layer: each tablespace that is still followed finds its
// pages here, and ends where it is whole or lacking.
func (p *Plan) below(i int, l *layer, parts map[string]part, system []string, open map[string]*output, ids map[uint32]*output) error {
	seen := make(map[*output]bool)
	for name, t := range parts {
		o := ids[t.id]
		if slices.Contains(system, name) {
			o = open[name]
		}
		if o == nil || t.whole && !t.born {
			continue
		}
		seen[o] = !t.whole
		if t.whole || t.file.pages.count > 0 {
			if o.pageSize != int64(t.file.PageSize) && !(t.whole && o.system > 0) {
				return l.bad(name, "its pages are of %d bytes, newer ones of %d", t.file.PageSize, o.pageSize)
			}
			o.add(source{i, t.whole, t.file})
		}
	}
	for id, o := range ids {
		if !seen[o] {
			delete(ids, id)
		}
	}
	for name, o := range open {
		if _, ok := parts[name]; !ok {
			return l.bad(name, "a file of the system tablespace is missing")
		}
		if !seen[o] {
			delete(open, name)
		}
	}
	return nil
}

// add puts a source below the others.
func (o *output) add(s source) {
	if o.pageSize == 0 {
		o.pageSize = int64(s.file.PageSize)
	}
	if o.first < 0 && s.file.Page0 {
		o.first, o.limit = len(o.sources), int64(s.file.FSPSize)
	}
	o.sources = append(o.sources, s)
}

// end is the page behind the source's last.
func (o *output) end(s source) int64 {
	if !s.whole {
		return s.file.pages.end
	}
	return s.file.Size / max(1, o.pageSize)
}

// finish settles the sizes and the order of writing.
func (p *Plan) finish(system []string) error {
	slices.SortFunc(p.outputs, func(a, b *output) int { return cmp.Compare(a.system, b.system) })
	var pages, total int64
	for _, o := range p.outputs {
		if o.pageSize == 0 {
			o.size = o.sources[0].file.Size
			p.bytes += o.size
			continue
		}
		if o.first < 0 && o.system < 2 {
			return coffer.E(coffer.KindCorrupt, "file "+o.name, "its page 0 is in no layer").
				WithHint("the table was filled by IMPORT TABLESPACE and cannot be restored from these increments; restore an earlier link, or take a full backup")
		}
		o.length()
		if o.system > 0 {
			o.before = pages
			if o.system == 1 {
				total = o.limit
			}
			if o.system == len(system) {
				o.size = max(o.size, (total-pages)*o.pageSize)
			}
			pages += o.size / o.pageSize
		}
		p.bytes += o.size
	}
	slices.SortFunc(p.outputs, func(a, b *output) int { return cmp.Compare(a.place(), b.place()) })
	return nil
}

// length is FSP_SIZE, or more if pages behind it are as new as that is.
func (o *output) length() {
	var pages int64
	if o.system == 0 {
		pages = o.limit
	}
	for i, s := range o.sources {
		end := o.end(s)
		if o.cut(i) {
			end = min(end, o.limit)
		}
		pages = max(pages, end)
	}
	if o.system == 0 && o.pageSize < fullPage { // compressed rows: FSP_SIZE may be less than the server makes the file
		pages = max(pages, leastPages*fullPage/o.pageSize)
	}
	o.size = pages * o.pageSize
}

// A server of full pages makes a tablespace of so many, and takes none that is shorter.
const (
	fullPage   = 16 << 10
	leastPages = 4
)

// cut says whether a source is older than the one that tells the size: what it has
// behind that size was truncated since.
func (o *output) cut(i int) bool { return o.system == 0 && i > o.first }

// place orders outputs as they lie in their oldest layer.
func (o *output) place() int64 {
	s := o.sources[len(o.sources)-1]
	if len(s.file.Chunks) == 0 {
		return 0
	}
	return s.file.Chunks[0].Plain
}
