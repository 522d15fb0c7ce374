package archive_test

import (
	"testing"

	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// A small archive is four requests to write: intent, data, index and manifest. Data
// beyond what is written at once take an upload.
func TestSmallArchivesTakeNoUploads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ plain, begun, put int }{
		{plain: 1, put: 4},
		{plain: 4 << 10, put: 4},
		{plain: 1 << 19, put: 4},
		{plain: 1 << 20, begun: 1, put: 3}, // it does not compress
		{plain: 3 << 20, begun: 1, put: 3},
	} {
		f := &storetest.Faulty{Full: storetest.NewMemory()}
		p := archive.Place{Store: f, Prefix: prefix}
		plain := content(5, c.plain)
		s := commit(t, p, backupA, plain, archive.Options{Workers: 1, Retry: quick})
		if got := f.Calls(storetest.Put); got != c.put {
			t.Errorf("%d bytes took %d puts, want %d", c.plain, got, c.put)
		}
		for _, op := range []storetest.Op{storetest.Begin, storetest.Complete} {
			if got := f.Calls(op); got != c.begun {
				t.Errorf("%d bytes took %s %d times, want %d", c.plain, op, got, c.begun)
			}
		}
		mustRead(t, p, backupA, want(s.SHA256), plain)
	}
}
