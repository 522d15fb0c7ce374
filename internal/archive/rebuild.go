package archive

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// Rebuild makes the frame table anew, where the index cannot be used, by reading all
// of the data once, with all that [Archive.Stream] checks. plain gets the plain
// bytes. Afterwards [Archive.Range] works, and [Archive.Entries] still does not: the
// file table is the engine's to make, from those bytes. KindUnsupported: the frames
// cannot be told by their headers.
func (a *Archive) Rebuild(ctx context.Context, plain io.Writer) error {
	const op = "make the index anew"
	if a.m.Compression != codec.Zstd {
		return coffer.E(coffer.KindUnsupported, op, "the frames of a %s stream are not told by their headers", a.m.Compression)
	}
	if err := a.mayDecrypt(); err != nil {
		return coffer.Wrap(op, err)
	}
	if err := a.Check(ctx); err != nil {
		return coffer.Wrap(op, err)
	}
	f, err := spoolFile(a.want.SpoolDir)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	t := &indexFile{table: f}
	if err := a.refill(ctx, t, plain); err != nil {
		f.Close()
		return coffer.Wrap(op, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.table != nil {
		err = a.table.close()
	}
	a.table = t
	return coffer.Wrap(op, err)
}

// refill reads all frames.
func (a *Archive) refill(ctx context.Context, t *indexFile, plain io.Writer) error {
	s := &plainReader{a: a, parts: a.newPartReader(ctx, nil)}
	defer s.parts.close()
	s.src = s.parts
	if a.m.Encrypted() {
		var err error
		if s.src, err = codec.Decrypt(s.parts, a.want.Identities...); err != nil {
			return a.name(err)
		}
	}
	dec, err := codec.NewDecoder(a.m.Compression)
	if err != nil {
		return err
	}
	defer dec.Close()
	var stored int64
	var buf []byte
	out := bufio.NewWriter(spoolWriter{t.table})
	src := bufio.NewReaderSize(s.src, 1<<20)
	for frame, err := range codec.Frames(src) {
		if err == nil {
			buf, err = dec.Decode(buf, frame, -1)
		}
		if err != nil {
			return a.name(err)
		}
		s.n, stored, t.count = s.n+int64(len(buf)), stored+int64(len(frame)), t.count+1
		rec := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(s.n)), uint64(stored))
		if _, err := out.Write(rec); err != nil {
			return err
		}
		if _, err := plain.Write(buf); err != nil {
			return err
		}
	}
	s.src = src
	if err := s.end(); err != io.EOF {
		return a.name(err)
	}
	if t.count != a.m.Frames {
		return a.name(coffer.E(coffer.KindCorrupt, "", "it holds %d frames, the manifest says %d", t.count, a.m.Frames))
	}
	return out.Flush()
}
