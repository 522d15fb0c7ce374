package survive

import (
	"context"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// TestDatabaseDiesInTheCopy kills the server while its data is copied.
func TestDatabaseDiesInTheCopy(t *testing.T) {
	t.Parallel()
	src := newSource(t, smallData, testenv.MariaDBOptions{LogBin: true})
	w := newWorld(t, src, settings{})
	full := w.good("")
	src.change(t)
	f := w.faulty(storetest.Fault{Op: storetest.Part, N: 2, Do: func(context.Context) { src.Kill() }})
	b := w.backup("last")
	if b.State == coffer.Completed { // an increment may be a single part, sent when the tool has ended
		b = w.backup("")
	}
	f.VerifyAllHit(t)
	w.use(w.file)
	w.failed(b, "", coffer.KindTool, coffer.KindUnprocessable)
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

// TestFailedToolSaysWhy wants the tool's own last words in the backup's error.
func TestFailedToolSaysWhy(t *testing.T) {
	t.Parallel()
	src := newSource(t, smallData, testenv.MariaDBOptions{})
	w := newWorld(t, src, settings{})
	w.faulty(storetest.Fault{Op: storetest.Part, N: 1, Do: func(context.Context) { src.Kill() }})
	b := w.backup("")
	w.failed(b, "", coffer.KindTool)
	if !strings.Contains(b.Error, "[00]") && !strings.Contains(b.Error, "MariaDB") && !strings.Contains(b.Error, "Server") {
		t.Errorf("the error holds no line of the tool: %q", b.Error)
	}
	w.gone(b.ID)
}
