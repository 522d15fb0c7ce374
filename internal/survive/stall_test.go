package survive

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
)

// The tool's words at which its last stages begin.
const (
	flush    = "Starting BACKUP STAGE FLUSH"
	blockDDL = "Started BACKUP STAGE BLOCK_DDL"
)

// teeing makes the tool write its log into a file too, whose path it gives.
func (w *world) teeing() (log string) {
	w.t.Helper()
	log = filepath.Join(w.dir, "toollog")
	real := testenv.Need(w.t, "mariadb-backup", "bash", "tee")[0]
	text := "#!/bin/bash\nif [ \"$1\" = --version ] || [[ \"$*\" != *--backup* ]]; then exec " + real + " \"$@\"; fi\n" +
		"set -o pipefail; { " + real + " \"$@\" 2>&1 >&3 3>&- | tee " + log + " >&2; } 3>&1\n"
	w.must(os.WriteFile(w.tool, []byte(text), 0o755))
	return log
}

func said(log, words string) bool {
	b, _ := os.ReadFile(log) // it may not be there yet
	return strings.Contains(string(b), words)
}

// heavyTail adds what the tool copies only while it holds its locks, and what does
// not shrink to nothing.
func (s *source) heavyTail(t *testing.T) {
	t.Helper()
	s.Exec(t, "USE "+workload.DefaultSchema, "CREATE TABLE tail (b TEXT NOT NULL) ENGINE=CSV",
		"INSERT INTO tail SELECT CONCAT_WS('', MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND())) FROM seq_1_to_60000")
	s.sum(t)
}

// lateTail adds what the tool copies after BLOCK_DDL: a file of the kind that
// describes a trigger, which the server never looks at.
func (s *source) lateTail(t *testing.T) {
	t.Helper()
	b := make([]byte, 16<<20)
	rand.Read(b)
	if err := os.WriteFile(filepath.Join(s.DataDir, workload.DefaultSchema, "late.TRN"), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// stallFrom makes the store take nothing, for d, from the moment at which cond is
// true; past is asked at the end.
func (w *world) stallFrom(d time.Duration, cond, past func() bool) *stalled {
	f := w.faulty()
	st := &stalled{}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for !cond() {
			if wait(ctx, 2*time.Millisecond); ctx.Err() != nil {
				return
			}
		}
		ch := make(chan struct{})
		f.Stall(ch)
		st.calls.Store(int64(f.Calls(storetest.AnyOp)))
		wait(ctx, d)
		st.waited.Store(int64(f.Calls(storetest.AnyOp)) - st.calls.Load())
		st.past.Store(past())
		f.Stall(nil)
		close(ch)
		st.over.Store(true)
	})
	w.t.Cleanup(func() { stop(); done.Wait() })
	return st
}

// stalled is what became of a stall.
type stalled struct {
	calls, waited atomic.Int64 // how many calls there were at its begin, and came during it
	past, over    atomic.Bool
}

// stall runs a backup into a store that stalls, while a writer, a writer of
// non-transactional tables and a DDL client measure what they feel of it.
func stall(t *testing.T, where string, opt engine.Options, redoMB int, d time.Duration) {
	src := newSource(t, 24<<20, testenv.MariaDBOptions{LogFileMB: redoMB})
	src.heavyTail(t)
	w := newWorld(t, src, settings{options: opt})
	log := w.teeing()
	src.write(t, workload.Options{Seed: 9, Pause: 10 * time.Millisecond, NonTrans: true, DDL: true})
	at := func() bool { return said(log, blockDDL) }
	if where == "flush" {
		at = func() bool { return said(log, flush) }
	}
	if where == "copy" {
		at = func() bool { return said(log, "Streaming ") }
	}
	st := w.stallFrom(d, at, func() bool { return said(log, flush) })
	within(t, time.Minute, "the clients work", func() bool { return src.writer.Done() > 50 })
	quiet := src.writer.Stalls()
	src.writer.ResetStalls()
	b := w.settled(w.begin(), 3*time.Minute)
	felt := src.writer.Stalls()
	t.Logf("%s: %s %s; felt %+v, before %+v; %d calls waited", where, b.State, b.Error, felt, quiet, st.waited.Load())
	if !st.over.Load() || st.waited.Load() == 0 {
		t.Error("the store did not stall while the backup ran")
	}
	if st.past.Load() != (where != "copy") {
		t.Errorf("the stall fell into another phase: at its end the tool was past %q: %v", flush, st.past.Load())
	}
	const slack = time.Second
	if felt.Commit > opt.MaxBlock+slack || felt.NonTrans > opt.MaxBlockNonTrans+slack || felt.DDL > opt.MaxDDLWait+opt.MaxBlockNonTrans+slack {
		t.Errorf("clients waited %+v; the bounds are %+v", felt, opt)
	}
	w.use(w.file)
	switch b.State {
	case coffer.Completed:
		w.restores(b)
	case coffer.Failed:
		w.failed(b, "", coffer.KindTool, coffer.KindNoSpace)
		w.gone(b.ID)
		w.restores(w.good(""))
	}
}

// begin asks for a full.
func (w *world) begin() coffer.BackupID {
	w.t.Helper()
	b, err := w.create("")
	w.must(err)
	return b.ID
}

// TestStoreStalls: the store takes nothing for longer than any bound of a hold.
func TestStoreStalls(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"copy", "flush"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			stall(t, where, engine.Options{MaxDDLWait: 2 * time.Second, MaxBlockNonTrans: 3 * time.Second, MaxBlock: 2 * time.Second}, 96, 7*time.Second)
		})
	}
}

// TestHeavyStoreStalls is the same for a minute, under the default bounds, and also
// in the tool's last stages.
func TestHeavyStoreStalls(t *testing.T) {
	heavy(t)
	for _, where := range []string{"copy", "flush", "lock"} {
		t.Run(where, func(t *testing.T) {
			stall(t, where, engine.Options{MaxDDLWait: 30 * time.Second, MaxBlockNonTrans: 60 * time.Second, MaxBlock: 10 * time.Second}, 768, time.Minute)
		})
	}
}
