package layers

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/cofferdb/coffer"
)

// Runs encodes ascending page numbers as runs: for each the gap since the last
// one's end, and its length, as varints. The zero value is ready.
type Runs struct {
	buf        []byte
	start, end int64 // the run that grows
	done       int64 // end of the last run in buf or taken
}

// Add takes the next page; false if it is not behind all earlier ones.
func (r *Runs) Add(page uint32) bool {
	p := int64(page)
	switch {
	case p < r.end:
		return false
	case p > r.end || r.start == r.end:
		r.flush()
		r.start = p
	}
	r.end = p + 1
	return true
}

func (r *Runs) flush() {
	if r.start == r.end {
		return
	}
	r.buf = binary.AppendUvarint(r.buf, uint64(r.start-r.done))
	r.buf = binary.AppendUvarint(r.buf, uint64(r.end-r.start))
	r.done, r.start = r.end, r.end
}

// Len is how many bytes Take would give now.
func (r *Runs) Len() int { return len(r.buf) }

// Take hands over the runs that are complete; last completes all of them. What is
// taken at different times, joined, is one list.
func (r *Runs) Take(last bool) []byte {
	if last {
		r.flush()
	}
	b := r.buf
	r.buf = nil
	return b
}

// run is n pages from start, of which rank ones came before in the list.
type run struct{ start, n, rank int64 }

func (r run) end() int64 { return r.start + r.n }

// runReader decodes a list.
type runReader struct {
	r    *bufio.Reader
	last run
}

func newRunReader(r io.Reader) *runReader { return &runReader{r: bufio.NewReaderSize(r, 512)} }

// next gives the next run, io.EOF at the end.
func (r *runReader) next() (run, error) {
	gap, err := binary.ReadUvarint(r.r)
	if err == io.EOF {
		return run{}, io.EOF
	}
	n, err2 := binary.ReadUvarint(r.r)
	const most = 1 << 32
	at := r.last.end()
	if err != nil || err2 != nil || n == 0 || n > most || gap > most || at+int64(gap)+int64(n) > most {
		return run{}, coffer.E(coffer.KindCorrupt, "read a page list", "it is damaged behind page %d", at)
	}
	r.last = run{start: at + int64(gap), n: int64(n), rank: r.last.rank + r.last.n}
	return r.last, nil
}
