package mysql

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

// merge fills the target with the plan's files, from all layers in one pass, and
// prepares it once, as if it had been one full backup taken when the last layer was.
func (r *restorer) merge(ctx context.Context, chain []engine.Layer, p *layers.Plan) error {
	r.done, r.total = 0, p.Bytes()
	if err := p.Write(ctx, layers.Options{Create: r.create, Progress: r.advance()}); err != nil {
		return err
	}
	last := chain[len(chain)-1]
	pos := last.Position()
	var parent *coffer.Position
	if n := len(chain); n > 1 {
		was := chain[n-2].Position()
		parent = &was
	}
	if err := checkCheckpoints(r.root, pos, parent); err != nil {
		return err
	}
	if err := r.root.WriteFile(checkpointsFile, checkpointsOfFull(pos.To, pos.Last), 0o600); err != nil {
		return err
	}
	if err := disarm(r.root, r.env.dialect()); err != nil {
		return err
	}
	if err := r.own(r.root); err != nil {
		return err
	}
	return r.prepare(ctx, "", last, true)
}

// create makes one output file below the target.
func (r *restorer) create(name string) (layers.File, error) {
	if dir := path.Dir(name); dir != "." {
		if err := r.root.MkdirAll(dir, 0o700); err != nil {
			return nil, coffer.Wrap("file "+name, err)
		}
	}
	f, err := r.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, coffer.E(coffer.KindCorrupt, "file "+name, "two files have this name")
	}
	return f, coffer.Wrap("file "+name, err)
}

// advance gives what counts the bytes of several writers.
func (r *restorer) advance() func(int64) {
	var mu sync.Mutex
	return func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		r.done += n
		r.progress("merge")
	}
}

// checkedChain is joinChain for what is to be written: it refuses a chain of which pages
// of these files are in no layer. KindUnsupported says why it must be restored step by
// step, KindCorrupt that no way would do.
func checkedChain(ctx context.Context, chain []engine.Layer, dir string, keep func(string) bool) (*layers.Plan, *os.File, error) {
	p, lists, err := joinChain(ctx, chain, dir, keep)
	if err != nil {
		return nil, nil, err
	}
	if err := p.Check(ctx); err != nil {
		lists.Close()
		return nil, nil, err
	}
	return p, lists, nil
}

// joinChain plans the merge of the files that keep wants; nil is all. The page lists
// wait in a file in dir ("" is the system's temporary folder), which has no name and is
// to be closed after the plan's last use.
func joinChain(ctx context.Context, chain []engine.Layer, dir string, keep func(string) bool) (*layers.Plan, *os.File, error) {
	system, err := layers.SystemFiles(chain[len(chain)-1].Position().DataFilePath)
	if err != nil {
		return nil, nil, err
	}
	lists, err := spoolFile(dir)
	if err != nil {
		return nil, nil, coffer.Wrap("make room for the page lists", err)
	}
	p, err := layers.JoinSome(ctx, chain, system, lists, keep)
	if err != nil {
		lists.Close()
		return nil, nil, err
	}
	return p, lists, nil
}

// spoolFile is a file without a name in dir; "" is the system's temporary folder.
func spoolFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "coffer-pages-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// positionsOf are where the backups of a chain stand.
func positionsOf(chain []engine.Layer) []coffer.Position {
	all := make([]coffer.Position, len(chain))
	for i, l := range chain {
		all[i] = l.Position()
	}
	return all
}

// chosen restores by the way that was asked for, or by the first safe one.
func (r *restorer) chosen(ctx context.Context, chain []engine.Layer) error {
	positions := positionsOf(chain)
	way, reason, err := coffer.ChooseWay(positions, r.target.Way)
	if err != nil {
		return err
	}
	if len(chain) == 1 {
		return r.run(ctx, chain)
	}
	if way == engine.Stepwise {
		if err := r.lost(ctx, chain, positions); err != nil {
			return err
		}
		return r.stepwise(ctx, chain, reason)
	}
	listed := make([]engine.Layer, len(chain))
	for i, l := range chain {
		var done func()
		if listed[i], done, err = r.listed(ctx, l); err != nil {
			return err
		}
		defer done()
	}
	p, lists, err := checkedChain(ctx, listed, "", nil)
	if err == nil {
		defer lists.Close()
		r.tell(way, reason)
		return coffer.Wrap("join the backups", r.merge(ctx, listed, p))
	}
	if !coffer.IsKind(err, coffer.KindUnsupported) || r.target.Way == engine.Merged || coffer.Applicable(positions) != nil {
		return coffer.Wrap("join the backups", err)
	}
	return r.stepwise(ctx, chain, err.Error())
}

func (r *restorer) stepwise(ctx context.Context, chain []engine.Layer, reason string) error {
	r.tell(engine.Stepwise, reason)
	return r.run(ctx, chain)
}

// lost refuses a chain of which the indexes say that pages are in none of its
// backups: applied step by step it would be no better, and the tool says nothing.
func (r *restorer) lost(ctx context.Context, chain []engine.Layer, positions []coffer.Position) error {
	for _, p := range positions {
		if !p.PageLists {
			return nil
		}
	}
	_, lists, err := checkedChain(ctx, chain, "", nil)
	if err == nil {
		return lists.Close()
	}
	if coffer.IsKind(err, coffer.KindCorrupt) {
		return coffer.Wrap("look for what the backups lack", err)
	}
	return nil
}

// tell says which way is taken, and why.
func (r *restorer) tell(way engine.Way, reason string) {
	if r.target.Event != nil {
		r.target.Event(coffer.Event{
			Level: coffer.Info, Code: "restore.way", Text: "restored " + string(way) + ": " + reason, Facts: map[string]string{"method": string(way)},
		})
	}
}
