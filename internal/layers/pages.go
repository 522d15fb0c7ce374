package layers

import (
	"bytes"
	"io"

	"github.com/cofferdb/coffer"
)

// Pages is a set of pages of a tablespace, as ascending runs that do not touch. The
// zero value is empty. A set has at most [MaxRuns] runs: beyond that it takes what
// lies between two of them for a part of it.
type Pages struct{ runs []run }

// MaxRuns bounds the runs of one set. The pages of a tablespace that a chain holds
// are usually one run.
const MaxRuns = 1 << 15

// Add takes the pages from up to, but not with, to. What is added comes in ascending
// order.
func (s *Pages) Add(from, to int64) {
	n := len(s.runs)
	switch {
	case from >= to:
	case n > 0 && (from <= s.runs[n-1].end() || n == MaxRuns):
		last := &s.runs[n-1]
		last.n = max(last.end(), to) - last.start
	default:
		s.runs = append(s.runs, run{start: from, n: to - from})
	}
}

// Count is how many pages there are.
func (s Pages) Count() (n int64) {
	for _, r := range s.runs {
		n += r.n
	}
	return n
}

// First is the lowest page; 0 of none.
func (s Pages) First() int64 {
	if len(s.runs) == 0 {
		return 0
	}
	return s.runs[0].start
}

// Has reports whether the set has a page.
func (s Pages) Has(page int64) bool {
	lo, hi := 0, len(s.runs)
	for lo < hi {
		if m := (lo + hi) / 2; s.runs[m].end() <= page {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo < len(s.runs) && s.runs[lo].start <= page
}

// With is the pages that are in either set.
func (s Pages) With(t Pages) Pages {
	var out Pages
	for i, j := 0, 0; i < len(s.runs) || j < len(t.runs); {
		if j == len(t.runs) || i < len(s.runs) && s.runs[i].start <= t.runs[j].start {
			out.Add(s.runs[i].start, s.runs[i].end())
			i++
			continue
		}
		out.Add(t.runs[j].start, t.runs[j].end())
		j++
	}
	return out
}

// Without is the pages of s that t lacks.
func (s Pages) Without(t Pages) Pages {
	var out Pages
	j := 0
	for _, r := range s.runs {
		at := r.start
		for ; j < len(t.runs) && t.runs[j].start < r.end(); j++ {
			if t.runs[j].end() <= at {
				continue
			}
			out.Add(at, t.runs[j].start)
			if at = t.runs[j].end(); at >= r.end() {
				break // it may reach into the next one
			}
		}
		out.Add(at, r.end())
	}
	return out
}

// Below is the pages before limit.
func (s Pages) Below(limit int64) Pages {
	var out Pages
	for _, r := range s.runs {
		out.Add(r.start, min(r.end(), limit))
	}
	return out
}

// Bytes encodes the set as [Runs] does.
func (s Pages) Bytes() []byte {
	var b Runs
	for _, r := range s.runs {
		b.flush()
		b.start, b.end = r.start, r.end()
	}
	return b.Take(true)
}

// ReadPages decodes what Bytes gave.
func ReadPages(b []byte) (Pages, error) {
	var s Pages
	for r := newRunReader(bytes.NewReader(b)); ; {
		n, err := r.next()
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return Pages{}, coffer.Wrap("read a set of pages", err)
		}
		s.Add(n.start, n.end())
	}
}
