package trovestore

import (
	"context"
	"io"
	"iter"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// Known is what was found of a backup when it was brought in, and what it is held to
// since.
type Known struct {
	Backup   coffer.BackupID
	SHA256   string // of the stored bytes
	Sizes    coffer.Sizes
	Position coffer.Position
}

// Layer is a Trove backup as a restore reads it. It has no index: its chain is restored
// step by step.
type Layer struct {
	src   Source
	o     Object
	known Known
}

var _ engine.Layer = (*Layer)(nil)

// Open finds a backup that was read before, and refuses one of another size.
func Open(ctx context.Context, src Source, name string, k Known) (*Layer, error) {
	o, err := Look(ctx, src, name)
	if err != nil {
		return nil, err
	}
	if o.Size != k.Sizes.Stored || k.SHA256 == "" {
		return nil, coffer.E(coffer.KindCorrupt, "open Trove's backup "+name, "it has %d bytes, and had %d when it was brought in", o.Size, k.Sizes.Stored).
			WithHint("somebody has replaced the object")
	}
	return &Layer{src, o, k}, nil
}

// Backup is its id here.
func (l *Layer) Backup() coffer.BackupID { return l.known.Backup }

// Position is what was found in it.
func (l *Layer) Position() coffer.Position { return l.known.Position }

// PlainBytes are those of the whole stream.
func (l *Layer) PlainBytes() int64 { return l.known.Sizes.Plain }

// Stream reads the whole plain stream. io.EOF is given only after the stored bytes
// have the sum that they had when the backup was brought in.
func (l *Layer) Stream(ctx context.Context) (io.ReadCloser, error) {
	p, err := openPlain(ctx, l.src, l.o)
	if err != nil {
		return nil, err
	}
	return &held{p, l.known}, nil
}

// Range is KindUnsupported: there is no index.
func (l *Layer) Range(context.Context, int64, int64) (io.ReadCloser, error) {
	return nil, l.noIndex()
}

// Entries is KindUnsupported: there is no index.
func (l *Layer) Entries(context.Context) iter.Seq2[engine.Entry, error] {
	return func(yield func(engine.Entry, error) bool) { yield(engine.Entry{}, l.noIndex()) }
}

func (l *Layer) noIndex() error {
	return coffer.E(coffer.KindUnsupported, "read Trove's backup "+l.o.Name, "it has no index")
}

// held is a plain stream whose end is compared.
type held struct {
	*plain
	known Known
}

// Read gives plain bytes.
func (h *held) Read(b []byte) (int, error) {
	n, err := h.plain.Read(b)
	if h.plain.n > h.known.Sizes.Plain {
		return 0, h.corrupt("it unpacks to more than the %d bytes that it had", h.known.Sizes.Plain)
	}
	if err != io.EOF {
		return n, err
	}
	if sum := h.sha256(); sum != h.known.SHA256 || h.plain.n != h.known.Sizes.Plain {
		return n, h.corrupt("its SHA-256 is %s and not %s, as when it was brought in", sum, h.known.SHA256)
	}
	return n, io.EOF
}
