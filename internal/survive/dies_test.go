package survive

import (
	"context"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// TestDatabaseDiesInTheCopy kills the server while its data is copied, and later
// takes an increment onto the backup before.
func TestDatabaseDiesInTheCopy(t *testing.T) {
	t.Parallel()
	src := newSource(t, 32<<20, testenv.MariaDBOptions{LogBin: true})
	w := newWorld(t, src, settings{})
	full := w.good("")
	src.change(t)
	// Little fits between the tool and the first part: the copy is under way.
	f := w.faulty(storetest.Fault{Op: storetest.Part, N: 1, Do: func(context.Context) { src.Kill() }})
	b := w.backup("")
	f.VerifyAllHit(t)
	w.use(w.file)
	// The error holds the tool's own last words.
	w.failed(b, "it said last: [00] ", coffer.KindTool)
	w.gone(b.ID)
	src.Restart()
	src.change(t)
	next := w.backup(full.ID)
	if next.State != coffer.Completed {
		w.failed(next, "", coffer.KindNeedFull)
		next = w.good("")
	}
	w.restores(next)
}
