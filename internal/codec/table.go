package codec

import (
	"io"
	"iter"

	"github.com/cofferdb/coffer"
)

// table reads frames whose lengths are known beforehand. The table is as
// untrusted as the stream.
type table struct {
	src   io.Reader
	pull  func() (Frame, bool)
	found bool
}

// newTable makes a source of frames; stop ends the table's iteration.
func newTable(src io.Reader, frames iter.Seq[Frame]) (t *table, stop func()) {
	pull, stop := iter.Pull(frames)
	return &table{src: src, pull: pull}, stop
}

func (t *table) next(buf []byte) ([]byte, int64, error) {
	f, ok := t.pull()
	if !ok {
		return nil, 0, t.end()
	}
	t.found = true
	if f.Plain < 0 || f.Plain > MaxFrame || f.Stored <= 0 || f.Stored > maxStored {
		return nil, 0, coffer.E(coffer.KindCorrupt, stepFind, "the frame table claims %d plain and %d stored bytes", f.Plain, f.Stored)
	}
	// In steps, so that a claim costs no memory before its bytes are there.
	b := buf[:0]
	for left := int(f.Stored); left > 0; {
		n := min(left, 2*FrameSize)
		var err error
		if b, err = readMore(t.src, b, n); err != nil {
			return nil, 0, cut(err)
		}
		left -= n
	}
	return b, f.Plain, nil
}

// end wants the stream to end where the table does.
func (t *table) end() error {
	var one [1]byte
	switch _, err := io.ReadFull(t.src, one[:]); {
	case err == nil:
		return coffer.E(coffer.KindCorrupt, stepFind, "there are bytes behind the last frame")
	case err != io.EOF:
		return cut(err)
	case !t.found:
		return coffer.E(coffer.KindCorrupt, stepFind, "there is no frame at all")
	}
	return io.EOF
}

var _ frameSource = (*table)(nil)
