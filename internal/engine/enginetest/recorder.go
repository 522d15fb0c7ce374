package enginetest

import (
	"bytes"
	"context"
	"io"
	"iter"
	"sync"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// Recorder keeps a stream and its entries in memory. With FailAt and Err set,
// the write that would pass FailAt bytes fails.
type Recorder struct {
	FailAt int64
	Err    error

	mu      sync.Mutex
	data    bytes.Buffer
	entries []engine.Entry
}

// Write keeps p.
func (r *Recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Err != nil && int64(r.data.Len()+len(p)) > r.FailAt {
		return 0, r.Err
	}
	return r.data.Write(p)
}

// Entry keeps e.
func (r *Recorder) Entry(e engine.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, e)
	return nil
}

// Len is the number of bytes kept.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.data.Len()
}

// Layer gives the stream back as the backup id that stands at pos.
func (r *Recorder) Layer(id coffer.BackupID, pos coffer.Position) *Layer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &Layer{ID: id, At: pos, Data: bytes.Clone(r.data.Bytes()), Files: r.entries}
}

// Layer is an engine.Layer in memory.
type Layer struct {
	ID    coffer.BackupID
	At    coffer.Position
	Data  []byte
	Files []engine.Entry
}

// Backup is the layer's id.
func (l *Layer) Backup() coffer.BackupID { return l.ID }

// Position is where the layer's backup stands.
func (l *Layer) Position() coffer.Position { return l.At }

// PlainBytes is the stream's length.
func (l *Layer) PlainBytes() int64 { return int64(len(l.Data)) }

// Stream reads the whole stream.
func (l *Layer) Stream(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.Data)), nil
}

// Range reads n bytes from off.
func (l *Layer) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off+n > int64(len(l.Data)) {
		return nil, coffer.E(coffer.KindInvalid, "read a range", "%d bytes from %d of %d", n, off, len(l.Data))
	}
	return io.NopCloser(bytes.NewReader(l.Data[off : off+n])), nil
}

// Entries yields the files of the stream.
func (l *Layer) Entries(context.Context) iter.Seq2[engine.Entry, error] {
	return func(yield func(engine.Entry, error) bool) {
		for _, e := range l.Files {
			if !yield(e, nil) {
				return
			}
		}
	}
}

var (
	_ engine.Sink  = (*Recorder)(nil)
	_ engine.Layer = (*Layer)(nil)
)
