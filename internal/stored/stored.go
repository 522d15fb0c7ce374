// Package stored joins two ideas: an archive in a store, read as an engine reads one
// layer of a chain.
package stored

import (
	"context"
	"encoding/json"
	"io"
	"iter"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
)

// Layer is an open archive.
type Layer struct{ Archive *archive.Archive }

// Backup is the id of the archive's backup.
func (l Layer) Backup() coffer.BackupID { return l.Archive.Manifest().Backup }

// Position is where the backup stands, as the manifest says.
func (l Layer) Position() coffer.Position { return l.Archive.Manifest().Position }

// PlainBytes is the length of the plain stream.
func (l Layer) PlainBytes() int64 { return l.Archive.Manifest().Sizes.Plain }

// Stream reads the whole plain stream.
func (l Layer) Stream(ctx context.Context) (io.ReadCloser, error) { return l.Archive.Stream(ctx) }

// Range reads n plain bytes from off.
func (l Layer) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	return l.Archive.Range(ctx, off, n)
}

// Entries yields the index's file table.
func (l Layer) Entries(ctx context.Context) iter.Seq2[engine.Entry, error] {
	return func(yield func(engine.Entry, error) bool) {
		for raw, err := range l.Archive.Entries(ctx) {
			var e engine.Entry
			if err == nil {
				err = json.Unmarshal(raw, &e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Stored says where n plain bytes from off lie in what is stored.
func (l Layer) Stored(ctx context.Context, off, n int64) (from, to int64, err error) {
	return l.Archive.Stored(ctx, off, n)
}

// Rebuild reads the stream into plain; from then on Range goes without the index.
func (l Layer) Rebuild(ctx context.Context, plain io.Writer) error {
	return l.Archive.Rebuild(ctx, plain)
}

// Close ends the archive's reading.
func (l Layer) Close() error { return l.Archive.Close() }

var (
	_ engine.Layer     = Layer{}
	_ engine.Rebuilder = Layer{}
	_ engine.Locator   = Layer{}
)
