package layers

import "iter"

// Extent is a run of bytes of one layer's plain stream.
type Extent struct {
	Layer int   // of the chain, the full is 0
	Plain int64 // its first byte
	Len   int64
}

// Made is one file of a plan and what it is made from.
type Made struct {
	Name string
	Size int64 // as it will be written
	// Extents are what is read for it, front to back. Each pass reads the page lists
	// in the spool again.
	Extents iter.Seq2[Extent, error]
}

// Files tells of each file of the plan, without reading any layer.
func (p *Plan) Files() iter.Seq[Made] {
	return func(yield func(Made) bool) {
		for _, o := range p.outputs {
			if !yield(Made{Name: o.name, Size: o.size, Extents: p.extents(o)}) {
				return
			}
		}
	}
}

func (p *Plan) extents(o *output) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		for x, err := range o.pieces(p.spool) {
			if !yield(Extent{x.layer, x.plain, x.n}, err) {
				return
			}
		}
	}
}
