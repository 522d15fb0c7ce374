package mysql

import (
	"github.com/cofferdb/coffer/internal/layers"
)

// An increment holds the pages whose LSN is behind its start. A page that was
// written past the redo log, as those of an imported tablespace are, has none, and
// is in no increment for ever. The descriptors of extents tell: a page that is in
// use, and that the chain lacks, is lost. What a chain has of a tablespace is
// nearly always one run of pages, so the summary can keep it.

// spacePages is what a file of the stream says of a tablespace's pages.
type spacePages struct {
	page  int          // the server's innodb_page_size; 0 is not known
	held  layers.Pages // by the chain before this layer
	added layers.Pages // pages of this layer that the chain lacked
	told  layers.Pages // stretches whose descriptors are in this layer
	lacks []lack       // one of such a stretch, if any
	limit int64        // pages of the tablespace; 0: this layer does not say
}

// lack is pages that are in use and that the chain lacks, as descriptors say that
// were changed last at an LSN. Those behind the redo start may yet come: the redo
// log makes them, and the next increment has them.
type lack struct {
	lsn   uint64
	pages layers.Pages
}

// describe takes a page of descriptors.
func (s *spacePages) describe(b []byte, page int64) {
	e, ok := layers.ReadExtents(b, page, s.page)
	if !ok {
		return
	}
	s.told.Add(page, page+int64(len(b)))
	if p := e.Used.Without(s.held); p.Count() > 0 {
		s.lacks = append(s.lacks, lack{e.LSN, p})
	}
}

// wholePages is what a whole file of so many bytes says.
func wholePages(size int64, page int) *spacePages {
	s := &spacePages{limit: size / int64(page)}
	s.added.Add(0, s.limit)
	return s
}

// onto gives what the chain has of the tablespace with this layer on top, what it
// may still lack, and what is lost.
func (s *spacePages) onto(was space, redo uint64) (held layers.Pages, may lack, lost layers.Pages) {
	held = s.held
	if s.limit > 0 {
		held = held.Below(s.limit)
	}
	held = held.With(s.added)
	old := lack{was.mayLSN, was.may.Without(s.told)}
	for _, l := range append(s.lacks, old) {
		p := l.pages.Without(s.added)
		switch {
		case p.Count() == 0:
		case l.lsn > redo:
			may.lsn, may.pages = max(may.lsn, l.lsn), may.pages.With(p)
		default:
			lost = lost.With(p)
		}
	}
	return held, may, lost
}
