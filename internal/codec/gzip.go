package codec

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/cofferdb/coffer"
)

// gzipStream reads gzip members one after another. Nothing but their own ends
// says where they end, so one goroutine reads them all.
type gzipStream struct {
	src io.Reader
	gz  *gzip.Reader
	err error
}

// Read gives plain bytes; the first one opens the first member.
func (g *gzipStream) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.gz == nil {
		gz, err := gzip.NewReader(bufio.NewReaderSize(markedReader{g.src}, readAhead))
		if err != nil {
			g.err = explainGzip(noEOF(err))
			return 0, g.err
		}
		g.gz = gz
	}
	n, err := g.gz.Read(p)
	if err != nil {
		g.err = explainGzip(err)
	}
	return n, g.err
}

// explainGzip tells an error of the source from one of the bytes.
func explainGzip(err error) error {
	if err == io.EOF {
		return err
	}
	if cause := unmark(err); cause != nil {
		return coffer.Wrap(stepRead, cause)
	}
	return coffer.E(coffer.KindCorrupt, "decode the stream", "gzip: %w", err)
}

// Close makes later reads fail. There is nothing to release.
func (g *gzipStream) Close() error {
	if g.err == nil {
		g.err = coffer.E(coffer.KindInternal, "read the frames", "the reader is closed")
	}
	return nil
}

var _ io.ReadCloser = (*gzipStream)(nil)
