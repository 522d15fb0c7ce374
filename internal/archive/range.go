package archive

import (
	"bytes"
	"context"
	"io"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// maxWindow is how many stored bytes a range reads from the store at a time.
const maxWindow = 4 << 20

// ageChunk is what age encrypts at a time; a window leaves room for two.
const ageChunk = 64 << 10

// Range reads n plain bytes from off without what lies before, by the index's
// frame table: KindUnsupported without a usable index. The frames' own checksums
// (and age's) guard it; part sums do not, since no part is read as a whole. Any
// number of ranges can be open at a time; each holds some megabytes.
func (a *Archive) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	const op = "read a range of the archive"
	if off < 0 || n < 0 || off > a.m.Sizes.Plain-n {
		return nil, coffer.E(coffer.KindInvalid, op, "%d bytes from %d are not within %d", n, off, a.m.Sizes.Plain)
	}
	if err := a.mayDecrypt(); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	t, err := a.index(ctx)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	first, err := t.find(off)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	r := &rangeReader{a: a, table: t, at: first, left: n}
	if n == 0 {
		return r, nil
	}
	if err := r.open(ctx, off, n); err != nil {
		return nil, coffer.Wrap(op, a.name(err))
	}
	return r, nil
}

// Stored gives the stored bytes, from and to, of the frames that n plain bytes from
// off lie in: what a [Archive.Range] of them reads.
func (a *Archive) Stored(ctx context.Context, off, n int64) (from, to int64, err error) {
	const op = "find a range of the archive"
	if off < 0 || n <= 0 || off > a.m.Sizes.Plain-n {
		return 0, 0, coffer.E(coffer.KindInvalid, op, "%d bytes from %d are not within %d", n, off, a.m.Sizes.Plain)
	}
	t, err := a.index(ctx)
	if err != nil {
		return 0, 0, coffer.Wrap(op, err)
	}
	first, err := t.find(off)
	if err != nil {
		return 0, 0, coffer.Wrap(op, err)
	}
	last, err := t.find(off + n - 1)
	if err != nil {
		return 0, 0, coffer.Wrap(op, err)
	}
	if _, from, err = t.ends(first - 1); err == nil {
		_, to, err = t.ends(last)
	}
	return from, to, coffer.Wrap(op, err)
}

// rangeReader decodes one frame after another.
type rangeReader struct {
	a     *Archive
	table *indexFile
	src   io.ReaderAt // the concatenated frames
	dec   *codec.Decoder
	at    int64 // the next frame
	skip  int64 // plain bytes of it before the range
	left  int64 // plain bytes still to give

	stored, plain, rest []byte
	err                 error
}

func (r *rangeReader) open(ctx context.Context, off, n int64) error {
	plain, from, err := r.table.ends(r.at - 1)
	if err != nil {
		return err
	}
	r.skip = off - plain
	last, err := r.table.find(off + n - 1)
	if err != nil {
		return err
	}
	_, to, err := r.table.ends(last)
	if err != nil {
		return err
	}
	v := &volumesAt{ctx: ctx, a: r.a, window: min(maxWindow, to-from+2*ageChunk)}
	r.src = v
	if r.a.m.Encrypted() {
		var size int64
		v.opening = true
		defer func() { v.opening = false }()
		if r.src, size, err = codec.DecryptAt(v, r.a.m.DataBytes(), r.a.want.Identities...); err != nil {
			return err
		}
		_, end, err := r.table.ends(r.table.count - 1)
		if err != nil {
			return err
		}
		if end != size {
			return coffer.E(coffer.KindCorrupt, "", "it holds %d bytes of frames, the index says %d", size, end)
		}
	}
	r.dec, err = codec.NewDecoder(r.a.m.Compression)
	return err
}

// Read gives the range's bytes.
func (r *rangeReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		if r.left == 0 {
			r.err = io.EOF
			break
		}
		if err := r.next(); err != nil {
			r.err = r.a.name(err)
		}
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.left -= int64(n)
	return n, nil
}

// next reads and decodes one frame.
func (r *rangeReader) next() error {
	plain0, stored0, err := r.table.ends(r.at - 1)
	if err != nil {
		return err
	}
	plain1, stored1, err := r.table.ends(r.at)
	if err != nil {
		return err
	}
	size := stored1 - stored0
	if int64(cap(r.stored)) < size {
		r.stored = make([]byte, size)
	}
	r.stored = r.stored[:size]
	if _, err := io.ReadFull(io.NewSectionReader(r.src, stored0, size), r.stored); err != nil {
		return coffer.E(coffer.KindOf(err), "", "frame %d: %w", r.at, err).WithHint("%s", coffer.HintOf(err))
	}
	if r.plain, err = r.dec.Decode(r.plain, r.stored, plain1-plain0); err != nil {
		return coffer.E(coffer.KindOf(err), "", "frame %d: %w", r.at, err)
	}
	if int64(len(r.plain)) != plain1-plain0 {
		return coffer.E(coffer.KindCorrupt, "", "frame %d has %d plain bytes, the index says %d", r.at, len(r.plain), plain1-plain0)
	}
	r.rest = r.plain[r.skip:]
	r.rest = r.rest[:min(int64(len(r.rest)), r.left)]
	r.at, r.skip = r.at+1, 0
	return nil
}

// Close releases the decoder.
func (r *rangeReader) Close() error {
	if r.dec != nil {
		r.dec.Close()
		r.dec = nil
	}
	if r.err == nil {
		r.err = coffer.E(coffer.KindInternal, "read a range of the archive", "the reader is closed")
	}
	return nil
}

// volumesAt reads the volumes as one run of stored bytes, through a window, since
// age asks for little at a time. It is for one reader.
type volumesAt struct {
	ctx    context.Context // of this one range
	a      *Archive
	window int64
	off    int64 // of buf
	buf    []byte
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

// want fills the window with what is at at.
func (v *volumesAt) want(at, total int64) error {
	if !v.opening {
		return v.load(at, min(v.window, total-at))
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

var (
	_ io.ReadCloser = (*rangeReader)(nil)
	_ io.ReaderAt   = (*volumesAt)(nil)
)
