package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"sync"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// IndexFormat is the format of an index; its first line says so.
const IndexFormat = "coffer-index/1"

const (
	framesALine = 4096
	maxLine     = 64 << 20 // bytes of one line of an index
)

// How the lines that are no entries begin, exactly.
const (
	headPrefix   = `{"index":`
	framesPrefix = `{"frames":`
)

type indexHead struct {
	Index  string          `json:"index"`
	Backup coffer.BackupID `json:"backup"`
}

type framesLine struct {
	Frames [][2]int64 `json:"frames"` // plain and stored bytes of each
}

// indexWriter collects the index while the data streams by, as it will be stored,
// in a file without a name. Its methods may be called from several goroutines.
type indexWriter struct {
	mu     sync.Mutex
	file   *os.File
	seal   io.WriteCloser // age; nil for none
	enc    *codec.Writer
	batch  [][2]int64
	frames int64
	err    error // the first failure
}

func newIndexWriter(dir string, id coffer.BackupID, rec age.Recipient, zstd *codec.Encoders) (*indexWriter, error) {
	f, err := spoolFile(dir)
	if err != nil {
		return nil, err
	}
	w := &indexWriter{file: f}
	dst := io.Writer(spoolWriter{f})
	if rec != nil {
		if w.seal, err = codec.Encrypt(dst, rec); err != nil {
			f.Close()
			return nil, coffer.Wrap("encrypt the index", err)
		}
		dst = w.seal
	}
	w.enc = zstd.NewWriter(dst, 1, nil)
	w.line(indexHead{Index: IndexFormat, Backup: id})
	return w, nil
}

// spoolWriter names what a full disk means.
type spoolWriter struct{ f *os.File }

func (s spoolWriter) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	if err != nil {
		return n, coffer.E(coffer.KindNoSpace, "write the index into the spool", "%w", err).
			WithHint("make room in the spool folder")
	}
	return n, nil
}

// frame notes one frame of the data.
func (w *indexWriter) frame(f codec.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames++
	w.batch = append(w.batch, [2]int64{f.Plain, f.Stored})
	if len(w.batch) == framesALine {
		w.flush()
	}
}

func (w *indexWriter) flush() {
	if len(w.batch) > 0 {
		w.line(framesLine{Frames: w.batch})
		w.batch = w.batch[:0]
	}
}

// entry notes one line of the file table.
func (w *indexWriter) entry(v any) error {
	b, err := encodeLine(v)
	if err != nil {
		return err
	}
	if b[0] != '{' || bytes.HasPrefix(b, []byte(headPrefix)) || bytes.HasPrefix(b, []byte(framesPrefix)) {
		return coffer.E(coffer.KindInvalid, "write the index", "a line is a JSON object that begins with neither %q nor %q", "index", "frames")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write(b)
	return w.err
}

func encodeLine(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, coffer.E(coffer.KindInvalid, "write the index", "%w", err)
	}
	if b.Len() > maxLine {
		return nil, coffer.E(coffer.KindInvalid, "write the index", "a line has %d bytes, more than %d", b.Len(), maxLine)
	}
	return b.Bytes(), nil
}

// line writes a line of ours. The lock is held, or not needed yet.
func (w *indexWriter) line(v any) {
	b, err := encodeLine(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.write(b)
}

func (w *indexWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.enc.Write(b)
	}
}

// finish ends the index and copies it to dst; the result is its size and sum.
func (w *indexWriter) finish(dst io.Writer) (size int64, sum string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	if w.err != nil {
		return 0, "", w.err
	}
	if err := w.enc.Close(); err != nil {
		return 0, "", coffer.Wrap("end the index", err)
	}
	if w.seal != nil {
		if err := w.seal.Close(); err != nil {
			return 0, "", coffer.Wrap("end the index", err)
		}
	}
	if _, err := w.file.Seek(0, io.SeekStart); err != nil {
		return 0, "", coffer.E(coffer.KindInternal, "read the spool", "%w", err)
	}
	h := sha256.New()
	if size, err = io.Copy(io.MultiWriter(h, dst), w.file); err != nil {
		return 0, "", coffer.Wrap("store the index", err)
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}

// drop closes everything into the void.
func (w *indexWriter) drop(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = cause
	}
	w.enc.Fail(cause)
	_ = w.enc.Close() // its answer is the cause
	_ = w.file.Close()
}
