package codec

import (
	"errors"
	"io"
)

// readAhead is the buffer between a source and who looks at single bytes of it.
const readAhead = 256 << 10

// markedReader marks the errors of src as src's own, so that they are told apart
// from what a format's reader says about the bytes. io.EOF stays what it is.
type markedReader struct{ src io.Reader }

func (m markedReader) Read(p []byte) (int, error) {
	n, err := m.src.Read(p)
	return n, mark(err)
}

type markedReaderAt struct{ src io.ReaderAt }

func (m markedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.src.ReadAt(p, off)
	return n, mark(err)
}

// sourceError is a marked error.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

func mark(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &sourceError{err}
}

// unmark is the source's own error inside err, or nil.
func unmark(err error) error {
	var e *sourceError
	if errors.As(err, &e) {
		return e.err
	}
	return nil
}

var (
	_ io.Reader   = markedReader{}
	_ io.ReaderAt = markedReaderAt{}
)
