package mysql

import (
	"encoding/binary"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

// deltaPages reads the page lists of a delta as it passes. A delta is blocks of a
// page's size: a list of at most size/4 - 1 page numbers behind a magic, then those
// pages; the last list has another magic. A delta that is not so is not listed, and
// its chain cannot be merged.
type deltaPages struct {
	size  int // of a block; 0: not listed
	head  []byte
	skip  int64 // bytes of pages before the next list
	last  bool
	count int64
	runs  layers.Runs
	first []byte // the head of page 0, if it is the first page

	space *spacePages // nil: they are not followed
	slots []slot      // pages of descriptors behind the present list
	pos   int64       // bytes behind it that have passed
	desc  []byte      // the first slot's page as far as it has come
}

// slot is where a page stands behind its list.
type slot struct{ off, page int64 }

// take follows the next bytes.
func (d *deltaPages) take(p []byte) {
	for len(p) > 0 && d.size > 0 {
		if d.skip > 0 {
			n := int(min(d.skip, int64(len(p))))
			d.keepFirst(p[:n])
			d.keepDescriptors(p[:n])
			d.skip -= int64(n)
			p = p[n:]
			continue
		}
		n := min(d.size-len(d.head), len(p))
		d.head = append(d.head, p[:n]...)
		p = p[n:]
		if len(d.head) == d.size {
			if !d.list() {
				*d = deltaPages{}
			}
			d.head = d.head[:0]
		}
	}
}

// keepFirst keeps the head of the delta's first page.
func (d *deltaPages) keepFirst(p []byte) {
	if n := layers.FirstBytes - len(d.first); n > 0 && d.count > 0 {
		d.first = append(d.first, p[:min(n, len(p))]...)
	}
}

// keepDescriptors reads the pages of descriptors as they pass.
func (d *deltaPages) keepDescriptors(p []byte) {
	size := int64(d.size)
	for len(d.slots) > 0 && d.slots[0].off < d.pos+int64(len(p)) {
		s := d.slots[0]
		from, to := max(0, s.off-d.pos), min(int64(len(p)), s.off+size-d.pos)
		d.desc = append(d.desc, p[from:to]...)
		if len(d.desc) < d.size {
			break
		}
		d.space.describe(d.desc, s.page)
		d.desc, d.slots = d.desc[:0], d.slots[1:]
	}
	d.pos += int64(len(p))
}

// follow notes a page of the list, the n-th behind it.
func (d *deltaPages) follow(page, n int64) {
	if d.space == nil {
		return
	}
	if !d.space.held.Has(page) {
		d.space.added.Add(page, page+1)
	}
	if layers.DescribesExtents(page, d.size) {
		d.slots = append(d.slots, slot{n * int64(d.size), page})
	}
}

// list reads the list in head; false says that it is not one that we know.
func (d *deltaPages) list() bool {
	magic := string(d.head[:4])
	if d.last || magic != "xtra" && magic != "XTRA" {
		return false
	}
	d.last = magic == "XTRA"
	n := int64(0)
	d.slots, d.pos = d.slots[:0], 0
	for b := d.head[4:]; len(b) > 0; b = b[4:] {
		page := binary.BigEndian.Uint32(b)
		if page == 0xffffffff {
			break
		}
		if !d.runs.Add(page) {
			return false
		}
		d.follow(int64(page), n)
		n++
	}
	if !d.last && n != int64(d.size)/4-1 {
		return false
	}
	d.count += n
	d.skip = n * int64(d.size)
	return true
}

// whole reports whether the delta was listed up to its end.
func (d *deltaPages) whole() bool {
	return d.size > 0 && d.skip == 0 && len(d.head) == 0 && (d.last || d.count == 0)
}

// listBytes is how much of a page list stands in one line of the index.
const listBytes = 64 << 10

// listPages tells the sink of the pages of a delta; last of all that are left.
func (s *stream) listPages(f *streamFile, last bool) error {
	if f.pages == nil || f.pages.size == 0 || !last && f.pages.runs.Len() < listBytes {
		return nil
	}
	runs := f.pages.runs.Take(last)
	if len(runs) == 0 {
		return nil
	}
	e := engine.Entry{Name: f.name, Kind: engine.KindPages, Runs: runs}
	return coffer.Wrap("index the backup stream", s.out.Entry(e))
}

// deltaPages is what the file, a delta, says of its tablespace's pages; nil is nothing.
func (f *streamFile) deltaPages() *spacePages {
	if f.pages == nil || !f.pages.whole() || f.pages.space == nil {
		return nil
	}
	if f.lists(0) {
		f.pages.space.limit = int64(layers.ReadFirst(f.pages.first).Size)
	}
	return f.pages.space
}

// wholePages is the same of a whole tablespace.
func (f *streamFile) wholePages() *spacePages {
	var e engine.Entry
	if e.Page0 = f.firstPage(); e.Page0 {
		f.describe(&e)
	}
	if e.PageSize == 0 || isUndo(f.name) {
		return nil
	}
	return wholePages(f.size, e.PageSize)
}

// describe fills in what a tablespace's first page says.
func (f *streamFile) describe(e *engine.Entry) {
	if f.plain {
		return
	}
	if f.kind == engine.KindDelta {
		if f.pages == nil || !f.pages.whole() {
			return
		}
		e.PageSize, e.Pages = f.pages.size, f.pages.count
		if e.Page0 {
			e.FSPSize = layers.ReadFirst(f.pages.first).Size
		}
		return
	}
	if e.Page0 && len(f.body) >= layers.FirstBytes && binary.BigEndian.Uint32(f.body[4:]) == 0 {
		first := layers.ReadFirst(f.body)
		e.PageSize, e.FSPSize = first.PageSize, first.Size
	}
}
