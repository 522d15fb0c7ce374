package trovestore

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"github.com/cofferdb/coffer"
)

// What the bytes of an unzipped and of a zipped stream begin with.
var (
	streamMagic = []byte("XBSTCK01")
	gzipMagic   = []byte{0x1f, 0x8b, 0x08}
)

// stored reads an object's bytes and sums them: as a whole, and segment by segment as
// the store has listed them.
type stored struct {
	r    io.ReadCloser
	name string
	size int64 // as the store said; more or less is an error
	n    int64

	sha hash.Hash // of the whole
	md5 hash.Hash // of the segment, or where there are none of the whole

	segments []segment
	index    int
	left     int64 // of the segment
}

func openStored(ctx context.Context, src Source, o Object) (*stored, error) {
	r, err := src.Store.Open(ctx, o.Name, 0, -1)
	if err != nil {
		return nil, coffer.Wrap("read Trove's backup "+o.Name, err)
	}
	s := &stored{r: r, name: o.Name, size: o.Size, sha: sha256.New(), md5: md5.New(), segments: o.segments, index: -1}
	if err := s.next(); err != nil {
		r.Close()
		return nil, err
	}
	return s, nil
}

func (s *stored) corrupt(format string, args ...any) error {
	return coffer.E(coffer.KindCorrupt, "read Trove's backup "+s.name, format, args...)
}

// Read gives stored bytes; io.EOF only after all of them.
func (s *stored) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 {
		s.n += int64(n)
		if s.n > s.size {
			return 0, s.corrupt("it has more than the %d bytes that the store says", s.size)
		}
		s.sha.Write(p[:n])
		if serr := s.sum(p[:n]); serr != nil {
			return 0, serr
		}
	}
	if err == io.EOF && s.n != s.size {
		return n, s.corrupt("it ends after %d of %d bytes", s.n, s.size)
	}
	return n, err
}

// sum takes bytes into the MD5, or into those of the segments.
func (s *stored) sum(p []byte) error {
	if len(s.segments) == 0 {
		s.md5.Write(p)
		return nil
	}
	for len(p) > 0 && s.index < len(s.segments) {
		n := int(min(s.left, int64(len(p))))
		s.md5.Write(p[:n])
		p, s.left = p[n:], s.left-int64(n)
		if s.left == 0 {
			if err := s.next(); err != nil {
				return err
			}
		}
	}
	return nil
}

// next judges the segment that has ended and goes on to the next that has bytes.
func (s *stored) next() error {
	for {
		if s.index >= 0 && s.index < len(s.segments) {
			if sum := hex.EncodeToString(s.md5.Sum(nil)); sum != s.segments[s.index].md5 {
				return s.corrupt("segment %d has the MD5 %s, and %s was written", s.index, sum, s.segments[s.index].md5)
			}
		}
		s.index++
		s.md5.Reset()
		if s.index >= len(s.segments) {
			return nil
		}
		if s.left = s.segments[s.index].size; s.left > 0 {
			return nil
		}
	}
}

// sha256 is of all bytes; io.EOF must have been read.
func (s *stored) sha256() string { return hex.EncodeToString(s.sha.Sum(nil)) }

// checksums are what Trove may have recorded for the bytes that were read: their MD5, or
// of segments, which have been compared, the MD5 of their MD5s. One segment may have
// become the object.
func (s *stored) checksums() []string {
	if len(s.segments) == 0 {
		return []string{hex.EncodeToString(s.md5.Sum(nil))}
	}
	all := md5.New()
	for _, one := range s.segments {
		io.WriteString(all, one.md5)
	}
	out := []string{hex.EncodeToString(all.Sum(nil))}
	if len(s.segments) == 1 {
		out = append(out, s.segments[0].md5)
	}
	return out
}

// plain is a backup's plain stream.
type plain struct {
	*stored
	r   io.Reader
	kdf string // by which the key was derived; "" is not encrypted
	n   int64
}

// openPlain opens the layers of an object.
func openPlain(ctx context.Context, src Source, o Object) (_ *plain, err error) {
	f, err := formOf(o.Name)
	if err != nil {
		return nil, err
	}
	s, err := openStored(ctx, src, o)
	if err != nil {
		return nil, err
	}
	p := &plain{stored: s, r: bufio.NewReaderSize(s, 256<<10)}
	defer func() {
		if err != nil {
			s.r.Close()
		}
	}()
	begins := streamMagic
	if f.zipped {
		begins = gzipMagic
	}
	if f.encrypted {
		if p.r, p.kdf, err = decrypt(p.r, src.Passphrase, begins); err != nil {
			return nil, coffer.Wrap("read Trove's backup "+o.Name, err)
		}
	}
	if f.zipped {
		if p.r, err = gzip.NewReader(p.r); err == io.EOF {
			return nil, p.corrupt("there is nothing in it")
		} else if err != nil {
			return nil, p.judge(err)
		}
	}
	return p, nil
}

// judge says what an error of a layer means: one that is no error of ours tells of bytes
// that are not what was written.
func (p *plain) judge(err error) error {
	switch k := coffer.KindOf(err); {
	case err == nil || err == io.EOF:
		return err
	case k == coffer.KindInternal:
		return p.corrupt("it cannot be unpacked: %w", err)
	}
	return coffer.Wrap("read Trove's backup "+p.name, err)
}

// Read gives plain bytes; io.EOF only after the stored bytes have ended too.
func (p *plain) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if err == io.EOF && p.stored.n != p.size {
		return n, p.corrupt("something follows the end of its stream: %d of %d bytes were read", p.stored.n, p.size)
	}
	return n, p.judge(err)
}

// Close ends the reading.
func (p *plain) Close() error { return p.stored.r.Close() }
