package layers

import "iter"

// ahead is how many pieces are looked at to see what a range is worth.
const ahead = 2048

func (w *worker) pieces(outputs []*output) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		for _, o := range outputs {
			for p, err := range o.pieces(w.plan.spool) {
				if !yield(p, err) {
					return
				}
			}
		}
	}
}

// fill looks ahead; false when nothing is left.
func (w *worker) fill(next func() (piece, error, bool)) (bool, error) {
	if len(w.queue) > ahead/2 {
		return true, nil
	}
	w.queue = append(make([]piece, 0, ahead), w.queue...)
	for len(w.queue) < ahead {
		p, err, ok := next()
		if err != nil {
			return false, err
		}
		if !ok {
			break
		}
		w.queue = append(w.queue, p)
	}
	return len(w.queue) > 0, nil
}

// span is how much of a layer is worth reading from where p begins: what the pieces to
// come need of it. Where a window has no room for all of that, it ends with a frame.
func (w *worker) span(p piece) int64 {
	lo := p.plain
	hi := lo + min(p.n, w.size)
	for _, q := range w.queue[1:] {
		if q.layer != p.layer {
			continue
		}
		if at := q.plain - q.head; at < hi || at-hi > gap || at-lo >= w.size {
			break
		}
		hi = min(q.plain+q.n, lo+w.size)
	}
	if edge := hi - hi%frame; hi == lo+w.size && edge > lo {
		hi = edge
	}
	return hi - lo
}
