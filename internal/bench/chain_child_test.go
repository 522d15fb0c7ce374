package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	layer "github.com/cofferdb/coffer/internal/stored"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/xbstream"
)

const (
	fetchEnv    = "COFFER_BENCH_FETCH"
	benchPrefix = "bench/"
)

// taker takes backups of a server into a folder, each onto the one before.
type taker struct {
	files  store.Full
	engine *mysql.Engine
	dir    string
	base   engine.Base
	root   coffer.BackupID
	parent *archive.Parent
	depth  int
}

func newTaker(b *testing.B, s *testenv.Server, bin, dir string) *taker {
	b.Helper()
	files, err := file.New(dir, file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	eng, err := mysql.New(mysql.Config{
		Conn: coffer.Conn{Socket: s.Socket, CredentialsFile: s.CredentialsFile}, Guard: []string{bin, "guard"}, StateDir: dir,
	})
	if err != nil {
		b.Fatal(err)
	}
	return &taker{files: files, engine: eng, dir: dir}
}

func (t *taker) take(b *testing.B) coffer.BackupID {
	b.Helper()
	id, err := t.run(b.Context())
	if err != nil {
		b.Fatalf("%v %s", err, coffer.HintOf(err))
	}
	return id
}

func (t *taker) run(ctx context.Context) (coffer.BackupID, error) {
	id, instance := coffer.BackupID(coffer.NewUUID()), coffer.InstanceID(coffer.NewUUID())
	facts, err := t.engine.Probe(ctx, t.base)
	if err != nil {
		return "", err
	}
	w, err := archive.Create(ctx, archive.Place{Store: t.files, Prefix: benchPrefix}, archive.Intent{
		Installation: "bench", Backup: id, Project: "bench", Instance: instance, Runner: "bench/1",
	}, archive.Options{SpoolDir: t.dir})
	if err != nil {
		return "", err
	}
	res, err := t.engine.Backup(ctx, sink{w}, t.base, engine.Options{})
	if err != nil {
		return "", errors.Join(err, w.Abort(ctx))
	}
	if t.root == "" {
		t.root = id
	}
	sealed, err := w.Finish(ctx, archive.Manifest{
		Installation: "bench", Backup: id, Runner: "bench/1", Project: "bench", Instance: instance, Datastore: facts.Datastore,
		Tool: res.Tool, Method: res.Method, Position: res.Position, Root: t.root, Parent: t.parent, Depth: t.depth,
		Started: time.Now().UTC(), Finished: time.Now().UTC(),
	})
	if err != nil {
		return "", errors.Join(err, w.Abort(ctx))
	}
	if done, err := w.Commit(ctx); done != archive.Done {
		return "", fmt.Errorf("the commit is %s: %w", done, err)
	}
	t.parent, t.depth = &archive.Parent{ID: id, ManifestSHA256: sealed.SHA256}, t.depth+1
	t.base = engine.Base{Backup: id, Position: res.Position, Summary: res.Summary}
	return id, nil
}

// fetching is one restore, or the unpacking of one backup, that a child carries out.
type fetching struct {
	Dir      string
	IDs      []coffer.BackupID
	Way      engine.Way
	Unpack   bool
	Target   string
	UID, GID int
}

// fetch does it and gives the exit code.
func fetch(spec string) int {
	var f fetching
	err := json.Unmarshal([]byte(spec), &f)
	if err == nil {
		err = profiled(string(f.Way), func() error { return f.do(context.Background()) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err, coffer.HintOf(err))
		return 1
	}
	return 0
}

// profiled does something, and keeps its CPU profile where COFFER_BENCH_PROFILE says.
func profiled(what string, do func() error) error {
	dir := os.Getenv(profileEnv)
	if dir == "" {
		return do()
	}
	f, err := os.CreateTemp(dir, "restore-"+what+"-*.pprof")
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = do()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

// do is an agent's way from the manifests to the folder.
func (f fetching) do(ctx context.Context) error {
	debug.SetMemoryLimit(192 << 20)
	files, err := file.New(f.Dir, file.Options{})
	if err != nil {
		return err
	}
	var chain []engine.Layer
	for _, id := range f.IDs {
		a, err := archive.Open(ctx, archive.Place{Store: files, Prefix: benchPrefix}, id, archive.Want{})
		if err != nil {
			return err
		}
		defer a.Close()
		chain = append(chain, layer.Layer{Archive: a})
	}
	if f.Unpack {
		return f.unpack(ctx, chain[0])
	}
	eng, err := mysql.New(mysql.Config{Guard: []string{"/bin/false"}})
	if err != nil {
		return err
	}
	return eng.Restore(ctx, engine.Target{Dir: f.Target, UID: f.UID, GID: f.GID, Way: f.Way}, chain)
}

func (f fetching) unpack(ctx context.Context, l engine.Layer) error {
	r, err := l.Stream(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	root, err := os.OpenRoot(f.Target)
	if err != nil {
		return err
	}
	defer root.Close()
	return xbstream.Extract(ctx, r, root, xbstream.ExtractOptions{MaxBytes: l.PlainBytes()})
}
