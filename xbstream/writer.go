package xbstream

import (
	"hash/crc32"
	"io"

	"github.com/cofferdb/coffer"
)

const opWrite = "write the xbstream"

// Writer writes a stream that the stock tool's extractor takes. It holds callers
// to the format's rules with the same checks as [Reader].
type Writer struct {
	w     io.Writer
	order Order
	sizes map[string]int64 // of unfinished files
	buf   []byte
}

// NewWriter returns a Writer to w. It does not buffer.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w, sizes: make(map[string]int64)}
}

// WriteChunk appends data to the file path, as one chunk. With the flag [Rewrite]
// on all of its chunks the file replaces an earlier one.
func (w *Writer) WriteChunk(path string, flags byte, data []byte) error {
	if len(data) > MaxChunk {
		return coffer.E(coffer.KindInvalid, opWrite, "a chunk of %d bytes, more than %d", len(data), MaxChunk)
	}
	c := Chunk{
		Type: Data, Flags: flags, Path: path, Offset: w.sizes[path],
		Len: int64(len(data)), Sum: crc32.ChecksumIEEE(data),
	}
	if err := w.write(c, data); err != nil {
		return err
	}
	w.sizes[path] = c.Offset + c.Len
	return nil
}

// CloseFile ends the file path; without data before, it is an empty one.
func (w *Writer) CloseFile(path string, flags byte) error {
	delete(w.sizes, path)
	return w.write(Chunk{Type: End, Flags: flags, Path: path}, nil)
}

// WriteFile writes a whole small file: one chunk and the end.
func (w *Writer) WriteFile(path string, flags byte, data []byte) error {
	if len(data) > 0 {
		if err := w.WriteChunk(path, flags, data); err != nil {
			return err
		}
	}
	return w.CloseFile(path, flags)
}

// Rename orders that path, sent before, takes the name to.
func (w *Writer) Rename(path, to string) error {
	if err := CheckPath(to); err != nil {
		return coffer.Wrap(opWrite, err)
	}
	return w.write(Chunk{Type: Rename, Path: path, To: to}, nil)
}

// Remove orders that path, sent before, is gone.
func (w *Writer) Remove(path string) error {
	return w.write(Chunk{Type: Remove, Path: path}, nil)
}

// Close says whether the stream may end here. It writes nothing: the format has
// no trailer.
func (w *Writer) Close() error { return coffer.Wrap(opWrite, w.order.End()) }

func (w *Writer) write(c Chunk, data []byte) error {
	if err := CheckPath(c.Path); err != nil {
		return coffer.Wrap(opWrite, err)
	}
	if err := w.order.Add(c); err != nil {
		return coffer.Wrap(opWrite, err)
	}
	w.buf = AppendHeader(w.buf[:0], c)
	if _, err := w.w.Write(w.buf); err != nil {
		return coffer.Wrap(opWrite, err)
	}
	if len(data) == 0 {
		return nil
	}
	_, err := w.w.Write(data)
	return coffer.Wrap(opWrite, err)
}
