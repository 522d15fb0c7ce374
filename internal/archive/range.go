package archive

import (
	"context"
	"io"
	"weak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

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
	begin, err := t.ends(first - 1)
	if err != nil {
		return 0, 0, coffer.Wrap(op, err)
	}
	end, err := t.ends(last)
	return begin.stored, end.stored, coffer.Wrap(op, err)
}

// rangeReader decodes one frame after another.
type rangeReader struct {
	a     *Archive
	table *indexFile
	with  *ranger
	at    int64  // the next frame
	from  bounds // of its beginning
	skip  int64  // plain bytes of it before the range
	left  int64  // plain bytes still to give
	rest  []byte
	err   error
}

// bounds is where something is in the plain and in the stored bytes.
type bounds struct{ plain, stored int64 }

// ranger is what a range is read with: memory that the next one uses again, if the
// collector has not taken it meanwhile (a chain of hundreds of archives may be open),
// and what age has made of an archive's beginning and end.
type ranger struct {
	vol    *volumesAt
	src    io.ReaderAt // the concatenated frames: vol, or what age makes of it
	size   int64       // of an encrypted archive: bytes of src
	dec    *codec.Decoder
	stored []byte
	plain  []byte // of frame have, if that is not -1
	have   int64
}

// ranger gives the one that is idle, or a new one.
func (a *Archive) ranger(ctx context.Context, t *indexFile) (*ranger, error) {
	a.mu.Lock()
	g := a.idle.Value()
	a.idle = weak.Pointer[ranger]{}
	a.mu.Unlock()
	if g != nil {
		g.vol.ctx = ctx
		return g, nil
	}
	g = &ranger{vol: &volumesAt{ctx: ctx, a: a}, have: -1}
	g.src = g.vol
	var err error
	if a.m.Encrypted() {
		g.vol.opening = true
		if g.src, g.size, err = codec.DecryptAt(g.vol, a.m.DataBytes(), a.want.Identities...); err != nil {
			return nil, err
		}
		g.vol.opening = false
		end, err := t.ends(t.count - 1)
		if err != nil {
			return nil, err
		}
		if end.stored != g.size {
			return nil, coffer.E(coffer.KindCorrupt, "", "it holds %d bytes of frames, the index says %d", g.size, end.stored)
		}
	}
	g.dec, err = codec.NewDecoder(a.m.Compression)
	return g, err
}

func (r *rangeReader) open(ctx context.Context, off, n int64) error {
	var err error
	if r.from, err = r.table.ends(r.at - 1); err != nil {
		return err
	}
	r.skip = off - r.from.plain
	last, err := r.table.find(off + n - 1)
	if err != nil {
		return err
	}
	to, err := r.table.ends(last)
	if err != nil {
		return err
	}
	g, err := r.a.ranger(ctx, r.table)
	if err != nil {
		return err
	}
	r.with = g
	g.vol.until = to.stored
	if r.a.m.Encrypted() { // the chunks that these bytes are in
		const chunk = ageChunk + ageTag
		head := r.a.m.DataBytes() - g.size - (g.size+ageChunk-1)/ageChunk*ageTag
		g.vol.until = min(r.a.m.DataBytes(), head+(to.stored+ageChunk-1)/ageChunk*chunk)
	}
	return nil
}

// Read gives the range's bytes.
func (r *rangeReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		if r.left == 0 {
			r.err = io.EOF
			break
		}
		n, err := r.next(p)
		if err != nil {
			r.err = r.a.name(err)
			break
		}
		if n > 0 {
			r.left -= n
			return int(n), nil
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

// next decodes one frame: into p if the range has all of it and p has room, else into
// rest.
func (r *rangeReader) next(p []byte) (n int64, err error) {
	to, err := r.table.ends(r.at)
	if err != nil {
		return 0, err
	}
	g, size := r.with, to.plain-r.from.plain
	if r.skip == 0 && size <= r.left && size+codec.Slack <= int64(len(p)) && g.have != r.at {
		b, err := r.decode(p, to)
		if err != nil {
			return 0, err
		}
		if len(b) > 0 && &b[0] != &p[0] {
			copy(p, b)
		}
		n = size
	} else {
		if g.have != r.at {
			g.have = -1
			if g.plain, err = r.decode(g.plain, to); err != nil {
				return 0, err
			}
			g.have = r.at
		}
		r.rest = g.plain[r.skip:]
		r.rest = r.rest[:min(int64(len(r.rest)), r.left)]
	}
	r.at, r.from, r.skip = r.at+1, to, 0
	return n, nil
}

// decode reads the next frame, which ends at to, and decodes it into dst's memory.
func (r *rangeReader) decode(dst []byte, to bounds) ([]byte, error) {
	stored, err := r.with.frame(r.from.stored, to.stored-r.from.stored)
	if err != nil {
		return nil, coffer.E(coffer.KindOf(err), "", "frame %d: %w", r.at, err).WithHint("%s", coffer.HintOf(err))
	}
	b, err := r.with.dec.Decode(dst, stored, to.plain-r.from.plain)
	if err != nil {
		return nil, coffer.E(coffer.KindOf(err), "", "frame %d: %w", r.at, err)
	}
	return b, nil
}

// frame gives stored bytes, good until the next.
func (g *ranger) frame(off, n int64) ([]byte, error) {
	if g.src == io.ReaderAt(g.vol) {
		if b, err := g.vol.view(off, n); b != nil || err != nil {
			return b, err
		}
	}
	if int64(cap(g.stored)) < n {
		g.stored = make([]byte, n)
	}
	g.stored = g.stored[:n]
	_, err := io.ReadFull(io.NewSectionReader(g.src, off, n), g.stored)
	return g.stored, err
}

// Close lets the next range have what this one was read with.
func (r *rangeReader) Close() error {
	if g := r.with; g != nil {
		r.with = nil
		r.a.mu.Lock()
		if r.err == nil || r.err == io.EOF {
			r.a.idle = weak.Make(g)
		}
		r.a.mu.Unlock()
	}
	if r.err == nil || r.err == io.EOF {
		r.err = coffer.E(coffer.KindInternal, "read a range of the archive", "the reader is closed")
	}
	r.rest = nil
	return nil
}

var _ io.ReadCloser = (*rangeReader)(nil)
