package taskmanager

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

const project = coffer.ProjectID("p")

// desk is a task manager with real records, a store in memory and one instance.
type desk struct {
	t   *testing.T
	db  *records.DB
	mem *storetest.Memory
	st  store.Full
	tm  *TaskManager
	in  coffer.InstanceID
}

func (d *desk) Open(context.Context, string) (store.Full, error) { return d.st, nil }

func (d *desk) URL(_, object string) string { return object }

func newDesk(t *testing.T) *desk {
	t.Helper()
	db, err := records.Open(t.Context(), filepath.Join(t.TempDir(), "r.db"))
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, db: db, mem: storetest.NewMemory(), in: coffer.InstanceID(coffer.NewUUID())}
	d.st = d.mem
	d.tm = &TaskManager{
		ID: "tm", Boot: "b", Records: db, Bus: local.New(), Stores: d, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Settler: &settle.Settler{Records: db, Stores: d, Now: time.Now},
	}
	if err := db.CreateInstance(t.Context(), coffer.Instance{ID: d.in, Project: project, Agent: "a", Status: "ACTIVE"}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) close() {
	if err := d.db.Close(); err != nil {
		d.t.Error(err)
	}
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

const runner = coffer.Runner("a/1")

// claimed is a backup that a runner has claimed.
func (d *desk) claimed() coffer.Job {
	d.t.Helper()
	b, err := d.db.CreateBackup(d.t.Context(), records.NewBackup{Project: project, Instance: d.in, Name: "b", Store: "s", Quota: -1})
	d.must(err)
	j, err := d.db.Claim(d.t.Context(), coffer.JobID(b.ID), runner, time.Now())
	d.must(err)
	return j
}

func (d *desk) place() archive.Place {
	return archive.Place{Store: d.st, Prefix: coffer.Prefix(project, "")}
}

// written begins the job's archive and gives its writer.
func (d *desk) written(j coffer.Job) *archive.Writer {
	d.t.Helper()
	w, err := archive.Create(d.t.Context(), d.place(), archive.Intent{
		Installation: d.db.Installation(), Backup: j.Backup, Project: project, Instance: d.in, Runner: j.Runner,
	}, archive.Options{Workers: 1, SpoolDir: d.t.TempDir()})
	d.must(err)
	_, err = w.Write(bytes.Repeat([]byte("row "), 1000))
	d.must(err)
	return w
}

func (d *desk) finished(j coffer.Job) (*archive.Writer, archive.Sealed) {
	d.t.Helper()
	w := d.written(j)
	s, err := w.Finish(d.t.Context(), archive.Manifest{Runner: j.Runner, Root: j.Backup})
	d.must(err)
	return w, s
}

func (d *desk) failed(j coffer.Job) {
	d.t.Helper()
	ok, err := d.db.Fail(d.t.Context(), j.ID, "", records.Ending{Error: "lost"})
	d.must(err)
	if !ok {
		d.t.Fatal("not FAILED")
	}
}

func (d *desk) names() (out []string) {
	for o, err := range d.mem.List(d.t.Context(), "") {
		d.must(err)
		_, rest, _ := strings.Cut(o.Name, ".")
		out = append(out, rest)
	}
	return out
}

func (d *desk) job(id coffer.JobID) coffer.Job {
	d.t.Helper()
	j, err := d.db.JobByID(d.t.Context(), id)
	d.must(err)
	return j
}

// The row proves that a FAILED backup is ours: what became of its intent does not
// matter.
func TestSweepsAFailedBackupWithoutAnIntent(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"spoiled", "removed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			defer d.close()
			j := d.claimed()
			w, _ := d.finished(j)
			defer w.Abort(context.WithoutCancel(t.Context()))
			intent := coffer.Prefix(project, "") + archive.IntentName(j.Backup)
			if how == "spoiled" {
				d.mem.Spoil(intent, func([]byte) []byte { return []byte("{") })
			} else {
				d.must(d.mem.Delete(t.Context(), intent))
			}
			d.failed(j)
			if _, err := d.tm.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := slices.DeleteFunc(d.names(), func(n string) bool { return n == "intent.json" }); len(left) > 0 {
				t.Errorf("the sweep left %q", left)
			}
		})
	}
}

// A FAILED backup may be deleted while its runner only sleeps: what the runner
// writes when it wakes up is dead before it comes, and goes.
func TestDeletedFailedBackupStaysDead(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	ctx := t.Context()
	j := d.claimed()
	w, s := d.finished(j)
	if ok, why, err := d.db.Grant(ctx, j.ID, runner, s.SHA256, time.Now()); !ok || err != nil {
		t.Fatal(why, err)
	}
	if ok, err := d.tm.Settler.Bury(ctx, d.job(j.ID)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := d.tm.Settler.Buried(ctx, d.job(j.ID), "no manifest"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	del, err := d.db.CreateJob(ctx, records.NewJob{Kind: coffer.JobDelete, Project: project, Backup: j.Backup, Now: time.Now()})
	d.must(err)
	dj, err := d.db.Claim(ctx, del.ID, d.tm.runner(), time.Now())
	d.must(err)
	d.tm.init()
	d.must(d.tm.delete(ctx, dj, &progress{}))

	if out, err := w.Commit(ctx); out != archive.Done { // the sleeper wakes up
		t.Fatal(out, err)
	}
	if _, err := archive.Open(ctx, d.place(), j.Backup, archive.Want{}); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("a deleted FAILED backup can be opened: %v", err)
	}
	if _, err := d.tm.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if left := d.names(); slices.Contains(left, "manifest.json") || !slices.Contains(left, "dead.json") {
		t.Errorf("with its runner alive there are %q", left)
	}
	d.must(d.db.Heartbeat(ctx, coffer.Agent{ID: "a", Boot: "2"})) // the runner is replaced
	d.tm.Timings.Grace = time.Nanosecond
	if _, err := d.tm.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if left := d.names(); !slices.Contains(left, "dead.json") {
		t.Errorf("what the runner had asked of the store may still come, and there are %q", left)
	}
	if _, err := d.tm.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if left := d.names(); len(left) > 0 {
		t.Errorf("with its runner replaced there are %q", left)
	}
}

// A manifest of a FAILED row without a tombstone (older records were put back) is
// nobody's to delete.
func TestSweepKeepsAManifestWithoutATombstone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	j := d.claimed()
	w, _ := d.finished(j)
	if out, err := w.Commit(t.Context()); out != archive.Done {
		t.Fatal(out, err)
	}
	d.failed(j)
	before := d.names()
	d.must(d.db.Heartbeat(t.Context(), coffer.Agent{ID: "a", Boot: "2"}))
	if _, err := d.tm.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := d.names(); !slices.Equal(before, after) {
		t.Errorf("%q became %q", before, after)
	}
}

// After a pause of the observer itself one drained queue proves nothing: the beats
// are still on their way.
func TestAPauseOfTheObserverLosesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		j := d.claimed()
		look := func(pause time.Duration) bool {
			time.Sleep(pause)
			_, err := d.db.RaiseCounter(t.Context(), "drained")
			d.must(err)
			d.must(d.tm.Rescue(t.Context()))
			return d.job(j.ID).State == coffer.Failed
		}
		look(time.Second)
		look(time.Second)
		if look(10 * time.Minute) {
			t.Fatal("a runner was lost by a pause of who watches it")
		}
		for n := time.Duration(0); !look(time.Second); n += time.Second {
			if n > 2*coffer.LeaseLost {
				t.Fatal("a silent runner is never lost")
			}
		}
	})
}

// One-shot runs rescue before they begin, while the loop does the same.
func TestRescuesDoNotMeet(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	d.claimed()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if err := d.tm.Rescue(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A commit record that this version cannot read ends the job within its bound.
func TestAnUnreadableManifestEndsTheJob(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	ctx := t.Context()
	d.tm.Dead = func(coffer.Runner) bool { return true }
	j := d.claimed()
	w, s := d.finished(j)
	text := bytes.Replace(s.JSON, []byte(`"needs": []`), []byte(`"needs": ["tomorrow"]`), 1)
	if bytes.Equal(text, s.JSON) {
		t.Fatal("the manifest has another form")
	}
	defer w.Abort(context.WithoutCancel(ctx))
	sum := store.Bytes(text).SHA256()
	if ok, why, err := d.db.Grant(ctx, j.ID, runner, sum, time.Now()); !ok || err != nil {
		t.Fatal(why, err)
	}
	_, err := d.mem.Put(ctx, coffer.Prefix(project, "")+archive.ManifestName(j.Backup), store.Bytes(text), nil)
	d.must(err)
	d.must(d.tm.Rescue(ctx))
	d.must(d.tm.Rescue(ctx))
	if got := d.job(j.ID); got.State != coffer.Failed {
		t.Errorf("the job is %s", got.State)
	}
}

// away is a store that does not answer writes.
type away struct{ store.Full }

func (away) Put(ctx context.Context, _ string, _ store.Body, _ store.Meta) (store.Object, error) {
	return store.Object{}, coffer.E(coffer.KindUnavailable, "", "%w", errors.New("away"))
}

// A store that is away keeps the rescuer from nobody else's jobs.
func TestATombstoneDoesNotHoldUpTheRescuer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		ctx := t.Context()
		j := d.claimed()
		if ok, why, err := d.db.Grant(ctx, j.ID, runner, strings.Repeat("0", 64), time.Now()); !ok || err != nil {
			t.Fatal(why, err)
		}
		d.must(d.db.MarkLost(ctx, j.ID, time.Now()))
		d.st = away{d.mem}
		begun := time.Now()
		d.must(d.tm.Rescue(ctx))
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("one pass took %v", took)
		}
		if got := d.job(j.ID); !got.Dying || got.State != coffer.Saving {
			t.Fatalf("%+v", got)
		}
		d.st = d.mem
		d.must(d.tm.Rescue(ctx))
		time.Sleep(time.Minute)
		d.must(d.tm.Rescue(ctx))
		if got := d.job(j.ID); got.State != coffer.Failed {
			t.Errorf("the job is %s", got.State)
		}
	})
}

// A job that is heard and never claimed ends within a bound, too.
func TestAJobThatNobodyClaimsEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		b, err := d.db.CreateBackup(ctx, records.NewBackup{Project: project, Instance: d.in, Name: "b", Store: "s", Quota: -1})
		d.must(err)
		ready, gone := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(gone)
			deaf := func(context.Context, bus.Message) (any, error) { return nil, nil }
			if err := d.tm.Bus.Serve(ctx, message.GuestAgent(d.in), deaf, func() { close(ready) }); err != nil {
				t.Error(err)
			}
		}()
		<-ready
		d.tm.init()
		const step = 50 * time.Minute
		for n := time.Duration(0); n < d.tm.Timings.MaxQueue; n += step {
			d.must(d.tm.ring(ctx, nil))
			if got := d.job(coffer.JobID(b.ID)); got.State != coffer.New {
				t.Fatalf("after %s it is %s", n, got.State)
			}
			time.Sleep(step)
		}
		d.must(d.tm.ring(ctx, nil))
		if got := d.job(coffer.JobID(b.ID)); got.State != coffer.Failed {
			t.Errorf("after a day the job is %s", got.State)
		}
		stop()
		<-gone
	})
}

// A manifest that stands on another chain than the row makes nothing COMPLETED.
func TestAManifestOfAnotherChainIsNoSuccess(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	ctx := t.Context()
	j := d.claimed()
	w := d.written(j)
	other := coffer.BackupID(coffer.NewUUID())
	s, err := w.Finish(ctx, archive.Manifest{
		Runner: j.Runner, Root: other, Depth: 1, Parent: &archive.Parent{ID: other, ManifestSHA256: strings.Repeat("0", 64)},
	})
	d.must(err)
	if ok, why, err := d.db.Grant(ctx, j.ID, runner, s.SHA256, time.Now()); !ok || err != nil {
		t.Fatal(why, err)
	}
	if out, err := w.Commit(ctx); out != archive.Done {
		t.Fatal(out, err)
	}
	if done, why, err := d.tm.Settler.Complete(ctx, d.job(j.ID)); done || err != nil || why == "" {
		t.Errorf("done %v, why %q, err %v", done, why, err)
	}
}
