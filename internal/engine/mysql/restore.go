package mysql

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

// restoreEnv is what a restore needs beside its target and its layers.
type restoreEnv struct {
	Backup  string            // path of the tool
	Dialect dialect           // its own; the zero one is mariadb-backup's
	Log     func(line string) // told every line of the tool; may be nil
}

func (e restoreEnv) dialect() dialect {
	if e.Dialect.prepare == nil {
		return dialectOf(engine.MariaBackup)
	}
	return e.Dialect
}

// incompleteMarker stands in the target while it must not be used: the first
// thing a restore writes, the last it removes.
const incompleteMarker = "RESTORE-INCOMPLETE"

const opRestore = "restore the data folder"

// restore fills target from layers, the full first: the full is extracted in
// place and prepared, then each increment is extracted beside it and applied. The
// folder is then what a server can be started on, with the options that
// serverOptions gives; no copying follows.
//
// A restore that fails leaves the target empty; if it cannot be emptied, the
// marker stays in it and says so.
func restore(ctx context.Context, env restoreEnv, target engine.Target, layers []engine.Layer) (err error) {
	if err := checkTarget(target); err != nil {
		return coffer.Wrap(opRestore, err)
	}
	if err := checkLayers(layers); err != nil {
		return coffer.Wrap(opRestore, err)
	}
	root, err := os.OpenRoot(target.Dir)
	if err != nil {
		return coffer.Wrap(opRestore, err)
	}
	defer root.Close()
	if err := mark(root); err != nil {
		return coffer.Wrap(opRestore, err)
	}
	r := &restorer{env: env, target: target, root: root, lowerCase: layers[len(layers)-1].Position().LowerCase}
	for _, l := range layers {
		r.total += l.PlainBytes()
	}
	if err = r.clearScratch(); err == nil {
		err = r.chosen(ctx, layers)
	}
	if err == nil {
		err = r.seal()
	}
	if err != nil {
		return coffer.Wrap(opRestore, errors.Join(err, empty(root)))
	}
	return nil
}

const incompleteText = `This data folder is being restored, or its restore has failed.
No server must be started on it. Remove the folder and restore again.
`

// mark writes the marker, if no other restore has.
func mark(root *os.Root) error {
	f, err := root.OpenFile(incompleteMarker, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return coffer.E(coffer.KindConflict, "mark the target", "another restore has begun there")
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(incompleteText)
	return errors.Join(err, f.Close())
}

// restorer is one run of restore.
type restorer struct {
	env         restoreEnv
	target      engine.Target
	root        *os.Root
	done, total int64 // plain bytes
	lowerCase   int   // the server's lower_case_table_names
}

func (r *restorer) run(ctx context.Context, layers []engine.Layer) error {
	if err := r.extract(ctx, r.root, layers[0], nil); err != nil {
		return coffer.Wrap("unpack backup "+string(layers[0].Backup()), err)
	}
	if err := r.prepare(ctx, "", layers[0], len(layers) == 1); err != nil {
		return coffer.Wrap("prepare backup "+string(layers[0].Backup()), err)
	}
	for i, l := range layers[1:] {
		if err := r.increment(ctx, l, layers[i].Position(), i+2 == len(layers)); err != nil {
			return coffer.Wrap("apply backup "+string(l.Backup()), err)
		}
	}
	return nil
}

// increment applies one layer. Its files stand beside the target, so that the tool
// can move them, and are gone afterwards.
func (r *restorer) increment(ctx context.Context, l engine.Layer, parent coffer.Position, last bool) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(r.target.Dir), r.scratch())
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := r.extract(ctx, root, l, &parent); err != nil {
		return err
	}
	return r.prepare(ctx, dir, l, last)
}

// scratch is how the names of the folders for increments begin.
func (r *restorer) scratch() string { return "." + filepath.Base(r.target.Dir) + "-increment-" }

// clearScratch removes what a restore into this target left beside it when it was
// killed. Nobody else has one: the marker is ours.
func (r *restorer) clearScratch() error {
	parent := filepath.Dir(r.target.Dir)
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), r.scratch()) {
			if err := os.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// extract unpacks a layer, makes it harmless, and checks that it is the one that
// was expected; parent is nil for a full.
func (r *restorer) extract(ctx context.Context, root *os.Root, l engine.Layer, parent *coffer.Position) error {
	stream, err := l.Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	err = xbstream.Extract(ctx, &counted{r: stream, restorer: r}, root, xbstream.ExtractOptions{MaxBytes: l.PlainBytes()})
	if err != nil {
		return err
	}
	if err := checkCheckpoints(root, l.Position(), parent); err != nil {
		return err
	}
	if err := disarm(root, r.env.dialect()); err != nil {
		return err
	}
	return r.own(root)
}

// counted tells of the progress with every read.
type counted struct {
	r        io.Reader
	restorer *restorer
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.restorer.done += int64(n)
	c.restorer.progress("unpack")
	return n, err
}

func (r *restorer) progress(phase string) {
	if r.target.Progress != nil {
		r.target.Progress(engine.Progress{Phase: phase, Plain: r.done, Total: r.total})
	}
}

// seal makes the restored folder ready for a server, and durable; the marker goes
// last.
func (r *restorer) seal() error {
	if err := finishFolder(r.root); err != nil {
		return err
	}
	if err := r.noteNames(); err != nil {
		return err
	}
	if err := r.own(r.root); err != nil {
		return err
	}
	dir, err := r.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return coffer.Wrap("write the folder to disk", err)
	}
	if err := r.tellSealed(); err != nil {
		return coffer.Wrap("note that the folder is whole", err)
	}
	if err := r.root.Remove(incompleteMarker); err != nil {
		return err
	}
	return dir.Sync()
}
