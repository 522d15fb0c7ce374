package layers_test

import (
	"encoding/binary"
	"testing"

	"github.com/cofferdb/coffer/internal/layers"
)

// TestExtentsByTheServersPages: an extent has 64 pages, or as many as make 1 MiB where
// the server's pages are smaller than usual; those of a compressed tablespace do not count.
func TestExtentsByTheServersPages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ server, page, extent, size int }{
		{0, 16 << 10, 64, 40}, {16 << 10, 16 << 10, 64, 40}, {16 << 10, 4 << 10, 64, 40}, {64 << 10, 64 << 10, 64, 40},
		{8 << 10, 8 << 10, 128, 56}, {4 << 10, 4 << 10, 256, 88}, {8 << 10, 1 << 10, 128, 56},
	} {
		b, used := make([]byte, c.page), c.page-c.extent-7 // and one extent that was never made
		binary.BigEndian.PutUint64(b[16:], 1400)
		binary.BigEndian.PutUint16(b[24:], 8)
		for p := range c.page - c.extent {
			d := b[150+p/c.extent*c.size:]
			binary.BigEndian.PutUint64(d, 3) // the segment that it is of
			binary.BigEndian.PutUint32(d[20:], 4)
			d[24+p%c.extent/4] |= 2 << (p % 4 * 2)
			if p >= used {
				d[24+p%c.extent/4] |= 1 << (p % 4 * 2)
			}
		}
		at := int64(2 * c.page)
		e, ok := layers.ReadExtents(b, at, c.server)
		if !ok || e.LSN != 1400 || e.Used.First() != at || e.Used.Count() != int64(used) || e.Used.Has(at+int64(used)) {
			t.Errorf("%+v: %d pages from %d, %v", c, e.Used.Count(), e.Used.First(), ok)
		}
	}
}
