package engine

import (
	"cmp"

	"github.com/cofferdb/coffer"
)

// For is r for one instance: what the instance asks for wins.
func (r Runner) For(p coffer.Polite) Runner {
	q := r.Polite
	r.Polite = coffer.Polite{
		Bandwidth: cmp.Or(p.Bandwidth, q.Bandwidth), Nice: cmp.Or(p.Nice, q.Nice), IONice: cmp.Or(p.IONice, q.IONice),
		Parallel: cmp.Or(p.Parallel, q.Parallel), Throttle: cmp.Or(p.Throttle, q.Throttle),
	}
	return r
}
