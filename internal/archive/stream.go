package archive

import (
	"context"
	"io"
	"iter"
	"sync/atomic"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// Stream reads the whole plain stream. Every part's sum is checked before a byte
// of it is decoded; io.EOF is given only after the last part, the end of the
// encryption and the plain length were proven right. Errors name the object and
// the part. Close ends what runs for it.
func (a *Archive) Stream(ctx context.Context) (io.ReadCloser, error) {
	const op = "read the archive"
	if err := a.Check(ctx); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	s, err := a.stream(ctx, nil)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	return s, nil
}

func (a *Archive) stream(ctx context.Context, checked func(int64)) (*plainReader, error) {
	if err := a.mayDecrypt(); err != nil {
		return nil, err
	}
	frames, err := a.frameTable(ctx)
	if err != nil {
		return nil, err
	}
	s := &plainReader{a: a, parts: a.newPartReader(ctx, checked)}
	if err := s.open(frames); err != nil {
		s.parts.close()
		return nil, err
	}
	return s, nil
}

func (a *Archive) mayDecrypt() error {
	if a.m.Encrypted() && len(a.want.Identities) == 0 {
		return coffer.E(coffer.KindForbidden, "decrypt the archive", "backup %s is encrypted and no identity was given", a.m.Backup).
			WithHint("give the identity file that opens data key %s", a.m.Key)
	}
	return nil
}

// frameTable is the index's, or nil where the index cannot be had for whatever
// reason: then the frames are found by their headers, which is just as safe.
func (a *Archive) frameTable(ctx context.Context) (iter.Seq[codec.Frame], error) {
	t, err := a.index(ctx)
	switch {
	case err == nil:
		return t.frames(), nil
	case ctx.Err() != nil:
		return nil, err
	}
	return nil, nil
}

// plainReader is the plain stream.
type plainReader struct {
	a     *Archive
	parts *partReader
	src   io.Reader // parts, or what age makes of them
	dec   io.ReadCloser
	n     int64
	err   error

	closed atomic.Bool
}

func (s *plainReader) open(frames iter.Seq[codec.Frame]) (err error) {
	s.src = s.parts
	if s.a.m.Encrypted() {
		if s.src, err = codec.Decrypt(s.parts, s.a.want.Identities...); err != nil {
			return s.a.name(err)
		}
	}
	s.dec, err = codec.NewReader(s.src, s.a.m.Compression, s.a.want.Workers, frames)
	return err
}

// name puts the data's objects into an error that names none.
func (a *Archive) name(err error) error {
	first := a.p.at(a.m.Volumes[0].Name)
	if len(a.m.Volumes) > 1 {
		first += " and its further volumes"
	}
	return coffer.Wrap("decode object "+first, err)
}

// Read gives plain bytes.
func (s *plainReader) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.closed.Load() {
		return 0, coffer.E(coffer.KindCanceled, "read the archive", "the reader is closed")
	}
	n, err := s.dec.Read(p)
	s.n += int64(n)
	if want := s.a.m.Sizes.Plain; s.n > want {
		s.err = s.a.name(coffer.E(coffer.KindCorrupt, "", "it holds more than the %d plain bytes of the manifest", want))
		return 0, s.err
	}
	if err == io.EOF {
		err = s.end()
	}
	if err != nil && err != io.EOF {
		err = s.a.name(err)
	}
	s.err = err
	return n, err
}

// end proves that nothing is missing and nothing follows.
func (s *plainReader) end() error {
	if want := s.a.m.Sizes.Plain; s.n != want {
		return coffer.E(coffer.KindCorrupt, "", "it holds %d plain bytes, the manifest says %d", s.n, want)
	}
	for _, src := range []io.Reader{s.src, s.parts} { // the age file ends, then the last part
		var one [1]byte
		if _, err := io.ReadFull(src, one[:]); err == nil {
			return coffer.E(coffer.KindCorrupt, "", "there are bytes behind its last frame")
		} else if err != io.EOF {
			return err
		}
	}
	return io.EOF
}

// Close ends the fetches and the decoding; a Read under way fails.
func (s *plainReader) Close() error {
	s.closed.Store(true)
	s.parts.cancel() // first, so that no read under way blocks the decoder's end
	err := s.dec.Close()
	s.parts.close()
	return err
}

var _ io.ReadCloser = (*plainReader)(nil)
