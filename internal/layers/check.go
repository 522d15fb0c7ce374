package layers

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/cofferdb/coffer"
)

// Check looks for pages that are in use and that no layer has: those of a table that
// was filled past the redo log, as by IMPORT TABLESPACE, which no increment holds.
// It reads the descriptors of those stretches alone in which some page is lacking.
// A page may lack that came to be behind the last layer's redo start: the redo log
// makes it. KindCorrupt names the table.
func (p *Plan) Check(ctx context.Context) error {
	redo := p.layers[len(p.layers)-1].Position().RedoStart
	for _, o := range p.outputs {
		if o.pageSize == 0 || o.system > 0 || path.Ext(o.name) != ".ibd" {
			continue
		}
		if err := p.holes(ctx, o, redo); err != nil {
			return coffer.Wrap("look for pages that no backup has", err)
		}
	}
	return nil
}

// holes checks one output, stretch by stretch.
func (p *Plan) holes(ctx context.Context, o *output, redo uint64) error {
	var at int64        // the next page that was not seen
	var first *segment  // the one that has the descriptors of the stretch
	var lacking Pages   // of the stretch
	stretch := int64(0) // its first page
	end := o.size / o.pageSize
	judge := func() error {
		if first == nil || lacking.Count() == 0 {
			return nil
		}
		return p.judge(ctx, o, *first, stretch, lacking, redo)
	}
	miss := func(to int64) error { // nothing has the pages from at up to to
		for at < to {
			next := min(to, stretch+o.pageSize)
			lacking.Add(at, next)
			if at = next; at == stretch+o.pageSize {
				if err := judge(); err != nil {
					return err
				}
				stretch, first, lacking = at, nil, Pages{}
			}
		}
		return nil
	}
	for g, err := range o.segments(p.spool) {
		if err == nil {
			err = miss(min(g.page, end))
		}
		if err != nil {
			return err
		}
		for at < g.page+g.n {
			if at == stretch {
				s := g
				s.rank, s.page, s.n = g.rank+at-g.page, at, 1
				first = &s
			}
			if at = min(g.page+g.n, stretch+o.pageSize); at == stretch+o.pageSize {
				if err := judge(); err != nil {
					return err
				}
				stretch, first, lacking = at, nil, Pages{}
			}
		}
	}
	if err := miss(end); err != nil {
		return err
	}
	return judge()
}

// judge reads the descriptors of a stretch and compares.
func (p *Plan) judge(ctx context.Context, o *output, g segment, at int64, lacking Pages, redo uint64) (err error) {
	b := make([]byte, o.pageSize)
	o.locate(g, func(x piece) bool {
		err = readRange(ctx, p.layers[x.layer], x.plain, b[x.at-at*o.pageSize:][:x.n:x.n])
		return err == nil
	})
	if err != nil {
		return err
	}
	d, ok := ReadExtents(b, at, p.layers[len(p.layers)-1].Position().PageSize)
	if !ok || d.LSN > redo {
		return nil
	}
	if lost := d.Used.Without(d.Used.Without(lacking)); lost.Count() > 0 {
		return coffer.E(coffer.KindCorrupt, "", "%s", Lost(strings.TrimSuffix(o.name, ".ibd"), lost)).
			WithHint("restore an earlier link of the chain, and take a full backup")
	}
	return nil
}

// Lost says of a table that pages of it are in use and in no layer.
func Lost(table string, lost Pages) string {
	return fmt.Sprintf("table %s: %d pages that are in use are in no backup of the chain, the first is page %d, as after ALTER TABLE … IMPORT TABLESPACE",
		table, lost.Count(), lost.First())
}
