package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
)

const childEnv = "COFFER_BENCH_CHILD"

// child does an errand, prints its outcome, and gives the exit code.
func child(spec string) int {
	var e errand
	err := json.Unmarshal([]byte(spec), &e)
	var o outcome
	if err == nil {
		o, err = e.do(context.Background())
	}
	if err == nil {
		o.Peak = highWater(os.Getpid())
		err = json.NewEncoder(os.Stdout).Encode(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err, coffer.HintOf(err))
		return 1
	}
	return 0
}

// do is an agent's way from the tool to the manifest, with its usual bounds.
func (e errand) do(ctx context.Context) (o outcome, err error) {
	debug.SetMemoryLimit(192 << 20) // as the program does on two cores
	files, err := file.New(e.Dir, file.Options{})
	if err != nil {
		return o, err
	}
	st := &stalling{Full: files}
	eng, err := mysql.New(mysql.Config{Conn: e.Conn, Guard: e.Guard, StateDir: e.Dir})
	if err != nil {
		return o, err
	}
	facts, err := eng.Probe(ctx, engine.Base{})
	if err != nil {
		return o, err
	}
	id, instance := coffer.BackupID(coffer.NewUUID()), coffer.InstanceID(coffer.NewUUID())
	w, err := archive.Create(ctx, archive.Place{Store: st, Prefix: "bench/"}, archive.Intent{
		Installation: "bench", Backup: id, Project: "bench", Instance: instance, Runner: "bench/1",
	}, archive.Options{SpoolDir: e.Dir})
	if err != nil {
		return o, err
	}
	res, err := eng.Backup(ctx, sink{w}, engine.Base{}, engine.Options{Progress: func(p engine.Progress) {
		if p.Phase == e.When && (p.Phase != "copy" || p.Plain > p.Total/4) {
			st.stall()
		}
	}})
	if err != nil {
		return o, errors.Join(err, w.Abort(ctx))
	}
	if _, err := w.Finish(ctx, archive.Manifest{
		Installation: "bench", Backup: id, Runner: "bench/1", Project: "bench", Instance: instance, Datastore: facts.Datastore,
		Tool: res.Tool, Method: res.Method, Position: res.Position, Root: id, Started: time.Now().UTC(), Finished: time.Now().UTC(),
	}); err != nil {
		return o, errors.Join(err, w.Abort(ctx))
	}
	if done, err := w.Commit(ctx); done != archive.Done {
		return o, fmt.Errorf("the commit is %s: %w", done, err)
	}
	return outcome{Stalled: st.took(), Commit: res.Holds.Commit}, nil
}

type sink struct{ *archive.Writer }

func (s sink) Entry(e engine.Entry) error { return s.Index(e) }

// stalling is a store that takes no part for stallFor from the first call of
// stall.
type stalling struct {
	store.Full
	mu    sync.Mutex
	from  time.Time
	waits time.Duration // the longest that a part has waited
}

func (s *stalling) stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from.IsZero() {
		s.from = time.Now()
	}
}

func (s *stalling) took() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waits
}

// rest is how long the stall has yet to last.
func (s *stalling) rest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from.IsZero() {
		return 0
	}
	rest := stallFor - time.Since(s.from)
	s.waits = max(s.waits, rest)
	return rest
}

// Part waits for the stall's end first.
func (s *stalling) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	if rest := s.rest(); rest > 0 {
		select {
		case <-time.After(rest):
		case <-ctx.Done():
		}
	}
	return s.Full.Part(ctx, u, i, off, b)
}
