package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/message"
)

// tableWork is what the journal keeps of a table's restore: enough to take back all
// that it made outside of this process.
type tableWork struct {
	Dir  string `json:"dir"` // of the throw-away server
	Temp string `json:"temp,omitempty"`
	File string `json:"file,omitempty"` // of the dump, and which file that was
	Node string `json:"node,omitempty"`
	// Set once something may be in a running server.
	Loading bool         `json:"loading,omitempty"`
	Conn    coffer.Conn  `json:"conn,omitzero"`
	Table   coffer.Table `json:"table"`
}

// tableDirPrefix begins the names of the folders of throw-away servers.
const tableDirPrefix = ".coffer-table-"

// restoreTable takes one table out of a chain, into a running server or a file.
func (a *Agent) restoreTable(ctx context.Context, o message.Order, e *entry, d *diary) (ended, error) {
	t := *o.Target.Table
	chain, _, err := a.layers(ctx, o)
	defer closeAll(chain)
	if err != nil {
		return ended{}, err
	}
	eng, err := a.tableEngine(chain, o.Instance.Conn, t)
	if err != nil {
		return ended{}, err
	}
	work := &tableWork{Dir: filepath.Join(a.tableRoot(), tableDirPrefix+string(o.Job)), Table: t, Conn: o.Instance.Conn}
	e.Table = work
	if t.Dump != "" {
		work.Temp = filepath.Join(filepath.Dir(t.Dump), "."+filepath.Base(t.Dump)+"."+o.Job.Short()+".partial")
	}
	if err := a.journal.put(*e); err != nil {
		return ended{}, coffer.Wrap("note the table in the journal", err)
	}
	if err := os.Mkdir(work.Dir, 0o700); err != nil {
		return ended{}, coffer.E(coffer.KindForbidden, "make the folder of a throw-away server", "%w", err)
	}
	order := a.tableOrder(o, t, d)
	order.Dir = work.Dir
	order.Loading = func() error {
		work.Loading = true
		err := a.journal.put(*e)
		a.step("loading")
		return coffer.Wrap("note the load in the journal", err)
	}
	if err = a.takeTable(ctx, eng, order, chain, e); err != nil {
		a.undoTable(context.WithoutCancel(ctx), e.Job, *work)
		return ended{}, err
	}
	if err := os.RemoveAll(work.Dir); err != nil {
		a.Log.Warn("could not remove a throw-away server's folder", "dir", work.Dir, "err", err)
	}
	a.step("table restored")
	return ended{Outcome: string(message.Ended)}, nil
}

func (a *Agent) takeTable(ctx context.Context, eng engine.TableRestorer, order engine.TableOrder, chain []engine.Layer, e *entry) error {
	look, err := eng.LookTable(ctx, order, chain)
	if err != nil {
		return err
	}
	free, err := freeBytes(order.Dir)
	if err != nil {
		return coffer.E(coffer.KindInternal, "measure the free space", "%w", err)
	}
	if free < look.Need {
		return coffer.E(coffer.KindNoSpace, "look at the throw-away server's folder", "%s has %d bytes free and the table needs %d", order.Dir, free, look.Need).
			WithHint("free space there")
	}
	if order.Load {
		_, err := eng.RestoreTable(ctx, order, chain)
		return err
	}
	return a.dumpTable(ctx, eng, order, chain, e)
}

// dumpTable writes the table's SQL into a file that appears whole or not at all, and
// in nobody's place.
func (a *Agent) dumpTable(ctx context.Context, eng engine.TableRestorer, order engine.TableOrder, chain []engine.Layer, e *entry) error {
	w, file := e.Table, e.Table.Table.Dump
	if err := newFile(file); err != nil {
		return err
	}
	f, err := os.OpenFile(w.Temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return coffer.E(coffer.KindForbidden, "make the dump's file", "%w", err).WithHint("choose a folder that this process may write to")
	}
	order.Dump = f
	res, err := eng.RestoreTable(ctx, order, chain)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		w.Node, err = nodeOf(w.Temp)
	}
	if err != nil {
		return err
	}
	w.File = file
	if err := a.journal.put(*e); err != nil {
		return coffer.Wrap("note the dump in the journal", err)
	}
	if err := os.Link(w.Temp, file); err != nil {
		return coffer.E(coffer.KindConflict, "name the dump's file", "%w", err).WithHint("nothing is ever overwritten: choose another name")
	}
	if err := errors.Join(os.Remove(w.Temp), syncDir(filepath.Dir(file))); err != nil {
		return coffer.Wrap("name the dump's file", err)
	}
	order.Event(coffer.Event{Level: coffer.Info, Code: "table.dumped", Text: tableText(res, file)})
	return nil
}

// newFile refuses a file that is there, or whose folder is not.
func newFile(path string) error {
	const op = "look at the dump's file"
	if _, err := os.Lstat(path); err == nil {
		return coffer.E(coffer.KindConflict, op, "%s is there", path).WithHint("nothing is ever overwritten: choose another name")
	}
	if fi, err := os.Stat(filepath.Dir(path)); err != nil || !fi.IsDir() {
		return coffer.E(coffer.KindNotFound, op, "there is no folder %s on the agent's machine", filepath.Dir(path))
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tableEngine is the engine that made the chain, bound to the server that the table
// goes into.
func (a *Agent) tableEngine(chain []engine.Layer, conn coffer.Conn, t coffer.Table) (engine.TableRestorer, error) {
	if t.Dump != "" {
		conn = coffer.Conn{}
	}
	eng, err := a.Engines.Engine(conn)
	if err == nil {
		if l, ok := chain[0].(layer); ok {
			eng, err = with(eng, l.Archive.Manifest().Method)
		}
	}
	if err != nil {
		return nil, coffer.Wrap("choose the engine", err)
	}
	if tables, ok := eng.(engine.TableRestorer); ok {
		return tables, nil
	}
	return nil, coffer.E(coffer.KindUnsupported, "choose the engine", "one table cannot be taken out of this backup")
}

func (a *Agent) tableOrder(o message.Order, t coffer.Table, d *diary) engine.TableOrder {
	uid, gid := filesOwner()
	return engine.TableOrder{
		Job: o.Job, Database: t.Database, Name: t.Name, As: t.As, Replace: t.Replace, Load: t.Dump == "", UID: uid, GID: gid,
		Event: a.teller(d), Progress: func(p engine.Progress) { d.at(p.Phase, p.Plain, p.Total, a.Now()) },
	}
}

// tableRoot is where throw-away servers have their files: a folder that their user
// can pass through.
func (a *Agent) tableRoot() string {
	switch {
	case a.Host != nil:
		return a.Host.Dir()
	case os.Geteuid() == 0:
		return os.TempDir()
	}
	return a.Config.StateDir
}

// undoTable takes back what a failed or killed restore of a table has made; what
// cannot be is said in the log.
func (a *Agent) undoTable(ctx context.Context, job coffer.JobID, w tableWork) {
	var errs []error
	if strings.HasPrefix(filepath.Base(w.Dir), tableDirPrefix) {
		errs = append(errs, os.RemoveAll(w.Dir))
	}
	if w.Temp != "" {
		errs = append(errs, removeFile(w.Temp))
	}
	if w.File != "" {
		if node, err := nodeOf(w.File); err == nil && node == w.Node {
			errs = append(errs, removeFile(w.File))
		}
	}
	if w.Loading {
		errs = append(errs, a.dropLoad(ctx, job, w))
	}
	if err := errors.Join(errs...); err != nil {
		a.Log.Error("could not remove what a failed restore of a table has made", "job", job, "err", err, "hint", coffer.HintOf(err))
	}
}

func removeFile(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (a *Agent) dropLoad(ctx context.Context, job coffer.JobID, w tableWork) error {
	eng, err := a.Engines.Engine(w.Conn)
	if err != nil {
		return coffer.Wrap("choose the engine", err)
	}
	t, ok := eng.(engine.TableRestorer)
	if !ok {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, abortTimeout)
	defer stop()
	return t.DropLoad(ctx, engine.TableOrder{Job: job, Database: w.Table.Database, As: w.Table.As})
}
