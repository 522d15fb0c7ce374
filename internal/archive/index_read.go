package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"iter"
	"os"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// indexFile is an index in the spool: as it was stored, and its frame table in a
// form that can be searched. Nothing of it is on the heap.
type indexFile struct {
	raw   *os.File // as stored, its sum checked
	size  int64
	table *os.File // a record a frame: the ends of its plain and stored bytes
	count int64
	ids   []age.Identity // nil for an index that is not encrypted
}

// index gives the index, fetched once. KindUnsupported says why it cannot be
// used; any other error is the store's.
func (a *Archive) index(ctx context.Context) (*indexFile, error) {
	const op = "read the index"
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.table != nil {
		return a.table, nil
	}
	if a.m.Index == nil {
		return nil, coffer.E(coffer.KindUnsupported, op, "backup %s has none", a.m.Backup)
	}
	t, err := a.loadIndex(ctx)
	switch {
	case coffer.IsKind(err, coffer.KindCorrupt, coffer.KindNotFound, coffer.KindInvalid):
		return nil, coffer.E(coffer.KindUnsupported, op, "object %s cannot be used: %w", a.p.at(a.m.Index.Name), err).
			WithHint("the backup can still be restored as a whole")
	case err != nil:
		return nil, coffer.Wrap(op, err)
	}
	a.table = t
	return t, nil
}

func (a *Archive) loadIndex(ctx context.Context) (t *indexFile, err error) {
	if err := a.checkObject(ctx, a.m.Index.Name, a.m.Index.Size); err != nil {
		return nil, err
	}
	t = &indexFile{size: a.m.Index.Size}
	if a.m.Encrypted() {
		t.ids = a.want.Identities
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if t.raw, err = spoolFile(a.want.SpoolDir); err != nil {
		return t, err
	}
	if t.table, err = spoolFile(a.want.SpoolDir); err != nil {
		return t, err
	}
	err = again(ctx, a.want.Retry, "fetch the index", func(ctx context.Context) error { return a.fetchIndex(ctx, t.raw) })
	if err != nil {
		return t, err
	}
	return t, a.buildTable(t, t.lines())
}

// fetchIndex copies the index into the spool and checks its sum.
func (a *Archive) fetchIndex(ctx context.Context, to *os.File) error {
	name := a.p.at(a.m.Index.Name)
	if _, err := to.Seek(0, io.SeekStart); err != nil {
		return coffer.E(coffer.KindInternal, "", "%w", err)
	}
	r, err := a.p.Store.Open(ctx, name, 0, a.m.Index.Size)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(h, spoolWriter{to}), io.LimitReader(r, a.m.Index.Size))
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return readError(name, err)
	}
	if n != a.m.Index.Size || hex.EncodeToString(h.Sum(nil)) != a.m.Index.SHA256 {
		return coffer.E(coffer.KindCorrupt, "", "it is not the one that was written")
	}
	return nil
}

// lines reads the index from the spool, line by line; a line is good until the
// next.
func (t *indexFile) lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		src := io.Reader(io.NewSectionReader(t.raw, 0, t.size))
		if t.ids != nil {
			var err error
			if src, err = codec.Decrypt(bufio.NewReaderSize(src, 128<<10), t.ids...); err != nil {
				yield(nil, err)
				return
			}
		}
		dec, err := codec.NewReader(src, codec.Zstd, 1, nil)
		if err != nil {
			yield(nil, err)
			return
		}
		defer dec.Close()
		eachLine(dec, yield)
	}
}

// eachLine yields the lines of r, each at most maxLine long.
func eachLine(r io.Reader, yield func([]byte, error) bool) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine+1)
	for s.Scan() {
		if !yield(s.Bytes(), nil) {
			return
		}
	}
	if err := s.Err(); err == bufio.ErrTooLong {
		yield(nil, coffer.E(coffer.KindCorrupt, "", "a line is longer than %d bytes", maxLine))
	} else if err != nil {
		yield(nil, err)
	}
}

func (t *indexFile) close() error {
	var err error
	for _, f := range []*os.File{t.raw, t.table} {
		if f != nil {
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}
	}
	return err
}

// Entries yields the file table's lines as they were given to Writer.Index.
// KindUnsupported without a usable index.
func (a *Archive) Entries(ctx context.Context) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		t, err := a.index(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		if t.raw == nil { // it was rebuilt
			yield(nil, coffer.E(coffer.KindUnsupported, "read the index", "backup %s has none that could be used", a.m.Backup))
			return
		}
		for line, err := range t.lines() {
			switch {
			case err != nil:
				yield(nil, coffer.Wrap("read the index", err))
				return
			case bytes.HasPrefix(line, []byte(headPrefix)), bytes.HasPrefix(line, []byte(framesPrefix)):
				continue
			}
			if !yield(bytes.Clone(line), nil) {
				return
			}
		}
	}
}
