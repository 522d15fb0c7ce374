package layers

import (
	"io"
	"iter"
	"sort"

	"github.com/cofferdb/coffer"
)

// segment is n pages of an output that one source supplies; rank is the first
// one's place in that source.
type segment struct {
	source  int
	page, n int64
	rank    int64
}

// cursor is a source's place in the merge.
type cursor struct {
	r   *runReader // nil for a whole file
	cur run
	end bool
}

func (c *cursor) next() error {
	if c.r == nil {
		c.end = true
		return nil
	}
	var err error
	if c.cur, err = c.r.next(); err == io.EOF {
		c.end, err = true, nil
	}
	return err
}

// segments gives the output's pages front to back, each from the newest source
// that has it.
func (o *output) segments(s *spool) iter.Seq2[segment, error] {
	return func(yield func(segment, error) bool) {
		cs, err := o.cursors(s)
		if err != nil {
			yield(segment{}, err)
			return
		}
		for at := int64(0); ; {
			from, n, ok, err := o.pick(cs, at)
			if err != nil {
				yield(segment{}, err)
				return
			}
			if !ok {
				return
			}
			if n <= 0 { // or this would never end
				yield(segment{}, coffer.E(coffer.KindInternal, opJoin, "no page from %d on", at))
				return
			}
			c := cs[from]
			g := segment{source: from, page: max(at, c.cur.start), n: n}
			g.rank = c.cur.rank + g.page - c.cur.start
			if !yield(g, nil) {
				return
			}
			at = g.page + n
		}
	}
}

func (o *output) cursors(s *spool) ([]*cursor, error) {
	cs := make([]*cursor, len(o.sources))
	for i, src := range o.sources {
		if src.whole {
			cs[i] = &cursor{cur: run{n: o.end(src)}}
			continue
		}
		cs[i] = &cursor{r: s.reader(src.file.pages)}
		if err := cs[i].next(); err != nil {
			return nil, err
		}
	}
	return cs, nil
}

// pick finds the next page that is not before at, the newest source that has it,
// and for how many pages that stays so.
func (o *output) pick(cs []*cursor, at int64) (from int, n int64, ok bool, err error) {
	start := int64(-1)
	for i, c := range cs {
		for !c.end && c.cur.end() <= at {
			if err := c.next(); err != nil {
				return 0, 0, false, err
			}
		}
		if c.end || o.cut(i) && max(at, c.cur.start) >= o.limit {
			continue
		}
		if p := max(at, c.cur.start); start < 0 || p < start {
			start, from = p, i
		}
	}
	if start < 0 {
		return 0, 0, false, nil
	}
	end := cs[from].cur.end()
	if o.cut(from) {
		end = min(end, o.limit)
	}
	for _, c := range cs[:from] { // newer ones, none of which has start
		if !c.end {
			end = min(end, c.cur.start)
		}
	}
	return from, end - start, true, nil
}

// piece is a run of bytes of a layer's stream and where it belongs.
type piece struct {
	o     *output
	at    int64 // in the output
	layer int
	plain int64 // in the layer's stream
	n     int64
	delta bool
	head  int64  // bytes of the chunk's header before it, by which it is checked; 0 for pages
	name  string // with head: as the header has it
}

// pieces gives what the output is made of, in its order.
func (o *output) pieces(s *spool) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		if o.pageSize == 0 {
			src := o.sources[0]
			head := headLen(src.file.sent)
			o.cutUp(src, 0, 0, src.file.Size, func(p piece) bool {
				p.head, p.name = head, src.file.sent
				return yield(p, nil)
			})
			return
		}
		for g, err := range o.segments(s) {
			if err != nil {
				yield(piece{}, coffer.Wrap("file "+o.name, err))
				return
			}
			if !o.locate(g, func(p piece) bool { return yield(p, nil) }) {
				return
			}
		}
	}
}

// locate finds a segment's bytes. In a delta a block with a list stands before
// every ps/4 - 1 pages. A segment of nothing is nowhere.
func (o *output) locate(g segment, yield func(piece) bool) bool {
	src, ps := o.sources[g.source], o.pageSize
	if g.n <= 0 {
		return true
	}
	if src.whole {
		return o.cutUp(src, g.page*ps, g.page*ps, g.n*ps, yield)
	}
	per := ps/4 - 1
	for g.n > 0 {
		n := min(g.n, per-g.rank%per)
		if !o.cutUp(src, g.page*ps, (g.rank/per*(per+1)+1+g.rank%per)*ps, n*ps, yield) {
			return false
		}
		g.page, g.rank, g.n = g.page+n, g.rank+n, g.n-n
	}
	return true
}

// cutUp cuts a run of a file's bytes at its chunks.
func (o *output) cutUp(src source, at, off, n int64, yield func(piece) bool) bool {
	chunks := src.file.Chunks
	i := sort.Search(len(chunks), func(i int) bool { return chunks[i].File+chunks[i].Len > off })
	for ; n > 0; i++ {
		c := chunks[i]
		m := min(n, c.File+c.Len-off)
		if !yield(piece{o: o, at: at, layer: src.layer, plain: c.Plain + off - c.File, n: m, delta: !src.whole}) {
			return false
		}
		at, off, n = at+m, off+m, n-m
	}
	return true
}
