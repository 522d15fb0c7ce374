package archive

import (
	"bytes"
	"context"
	"io"

	"github.com/cofferdb/coffer"
)

// maxWindow is how many stored bytes a range reads from the store at a time.
const maxWindow = 4 << 20

const (
	ageChunk = 64 << 10 // what age encrypts at a time
	ageTag   = 16       // what each such chunk is longer by
)

// volumesAt reads the volumes as one run of stored bytes, through a window, since
// age asks for little at a time. It is for one reader.
type volumesAt struct {
	ctx   context.Context // of the present range
	a     *Archive
	until int64 // nothing is wanted from there on
	off   int64 // of buf
	buf   []byte
	// opening: age reads its header and its last chunk, as for every range. They are
	// fetched once for all.
	opening bool
}

// edge is what age reads of an archive to open it: its beginning, or its end.
type edge struct {
	off int64
	buf []byte
}

// ReadAt implements io.ReaderAt.
func (v *volumesAt) ReadAt(p []byte, off int64) (int, error) {
	total := v.a.m.DataBytes()
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if at >= total {
			return n, io.EOF
		}
		if at < v.off || at >= v.off+int64(len(v.buf)) {
			if err := v.want(at, total); err != nil {
				return n, err
			}
		}
		n += copy(p[n:], v.buf[at-v.off:])
	}
	return n, nil
}

// view gives stored bytes where they lie in the window, which is filled if it has
// nothing of them; nil if it has only some.
func (v *volumesAt) view(off, n int64) ([]byte, error) {
	if off < v.off || off >= v.off+int64(len(v.buf)) {
		if err := v.want(off, v.a.m.DataBytes()); err != nil {
			return nil, err
		}
	}
	if b := v.buf[off-v.off:]; int64(len(b)) >= n {
		return b[:n], nil
	}
	return nil, nil
}

// want fills the window with what is at at.
func (v *volumesAt) want(at, total int64) error {
	if !v.opening {
		return v.load(at, min(maxWindow, max(v.until, at+1)-at))
	}
	v.a.mu.Lock()
	for _, e := range v.a.edges {
		if at >= e.off && at < e.off+int64(len(e.buf)) {
			v.off, v.buf = e.off, append(v.buf[:0], e.buf...)
			v.a.mu.Unlock()
			return nil
		}
	}
	v.a.mu.Unlock()
	err := v.load(at, min(2*ageChunk, total-at))
	if err == nil {
		v.a.mu.Lock()
		defer v.a.mu.Unlock()
		if len(v.a.edges) < maxEdges {
			v.a.edges = append(v.a.edges, edge{v.off, bytes.Clone(v.buf)})
		}
	}
	return err
}

// maxEdges bounds what is kept: a beginning and an end, and their double where two
// ranges begin at once.
const maxEdges = 4

// load fills the window with bytes of the one volume that at lies in.
func (v *volumesAt) load(at, size int64) error {
	start := int64(0)
	for _, vol := range v.a.m.Volumes {
		if at >= start+vol.Size {
			start += vol.Size
			continue
		}
		size = min(size, start+vol.Size-at)
		v.buf = v.buf[:0]
		return again(v.ctx, v.a.want.Retry, "read object "+v.a.p.at(vol.Name), func(ctx context.Context) error {
			return v.fetch(ctx, v.a.p.at(vol.Name), at-start, at, size)
		})
	}
	return io.EOF
}

func (v *volumesAt) fetch(ctx context.Context, name string, from, at, size int64) error {
	r, err := v.a.p.Store.Open(ctx, name, from, size)
	switch {
	case coffer.IsKind(err, coffer.KindNotFound, coffer.KindInvalid):
		return coffer.E(coffer.KindCorrupt, "", "it is missing or cut: %w", err)
	case err != nil:
		return err
	}
	if int64(cap(v.buf)) < size {
		v.buf = make([]byte, size)
	}
	buf := v.buf[:size]
	_, err = io.ReadFull(r, buf)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		v.buf = v.buf[:0]
		return readError(name, err)
	}
	v.off, v.buf = at, buf
	return nil
}

var _ io.ReaderAt = (*volumesAt)(nil)
