package agent

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/plan"
	"github.com/cofferdb/coffer/internal/stored"
)

// Host runs restored servers on this machine.
type Host interface {
	Prepare(ctx context.Context, id coffer.InstanceID, port int) (host.Slot, error)
	Start(ctx context.Context, s host.Slot, options map[string]string) (coffer.Conn, error)
	Remove(ctx context.Context, id coffer.InstanceID) error
	Free() (int64, error)
	Dir() string
	Running() []host.Running
	Slots() ([]host.Slot, error)
	Run(ctx context.Context) error
}

// serverOptions is what an engine can say of the server that restored files
// need: options that must match the data.
type serverOptions interface {
	ServerOptions(dir string) (map[string]string, error)
}

// restore turns a chain into a new running server, or into a folder of files. A
// restore that fails leaves nothing that looks whole.
func (a *Agent) restore(ctx context.Context, o message.Order, e *entry, d *diary) (ended, error) {
	if o.Target != nil && o.Target.Table != nil {
		return a.restoreTable(ctx, o, e, d)
	}
	eng, err := a.Engines.Engine(coffer.Conn{})
	if err != nil {
		return ended{}, coffer.Wrap("choose the engine", err)
	}
	layers, total, err := a.layers(ctx, o)
	defer closeAll(layers)
	if err != nil {
		return ended{}, err
	}
	method := o.Chain[0].Method
	if l, ok := layers[0].(layer); ok {
		method = l.Archive.Manifest().Method
	}
	if eng, err = with(eng, method); err != nil {
		return ended{}, coffer.Wrap("choose the engine", err)
	}
	d.at("restore", 0, total, a.Now())
	if o.Target != nil && o.Target.Dir != "" {
		return a.restoreFiles(ctx, o, e, d, eng, layers, total)
	}
	return a.restoreServer(ctx, o, e, d, eng, layers, total)
}

func (a *Agent) target(dir string, o message.Order, d *diary, total int64) engine.Target {
	var databases []string
	if o.Target != nil {
		databases = o.Target.Databases
	}
	return engine.Target{Dir: dir, Databases: databases, Way: wanted(o), Event: a.teller(d), Progress: func(p engine.Progress) {
		if p.Total == 0 {
			p.Total = total
		}
		d.at(p.Phase, p.Plain, p.Total, a.Now())
	}}
}

// filesOwner is who owns restored files: this process's user, and as root the
// user of the database's own server, or else nobody: no tool runs as root.
func filesOwner() (uid, gid int) {
	if os.Geteuid() != 0 {
		return os.Geteuid(), os.Getegid()
	}
	const nobody = 65534
	u, err := user.Lookup("mysql")
	if err != nil {
		return nobody, nobody
	}
	uid, err = strconv.Atoi(u.Uid)
	if err != nil {
		return nobody, nobody
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return nobody, nobody
	}
	return uid, gid
}

// emptyDir makes dir, or accepts it if it is there and empty.
func emptyDir(dir string) error {
	const op = "look at the restore's folder"
	if !filepath.IsAbs(dir) {
		return coffer.E(coffer.KindInvalid, op, "%q is not an absolute path", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return coffer.E(coffer.KindForbidden, op, "%w", err).WithHint("choose a folder that this process may make")
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	if len(list) > 0 {
		return coffer.E(coffer.KindConflict, op, "%s is not empty (it holds %q)", dir, list[0].Name()).
			WithHint("restore into an empty folder: nothing is ever overwritten")
	}
	return nil
}

// room checks the free space before the first byte is read.
func (a *Agent) room(dir string, o message.Order) error {
	free, err := freeBytes(dir)
	if err != nil {
		return coffer.E(coffer.KindInternal, "measure the free space", "%w", err)
	}
	need := need(o)
	if free < need {
		return coffer.E(coffer.KindNoSpace, "look at the restore's folder", "%s has %d bytes free and the restore needs %d", dir, free, need).
			WithHint("free space there, or restore elsewhere")
	}
	return nil
}

// need is the space that the order's restore takes.
func need(o message.Order) int64 {
	chain := make([]coffer.Backup, len(o.Chain))
	for i, l := range o.Chain {
		chain[i] = coffer.Backup{Position: l.Position, Sizes: l.Sizes}
	}
	return plan.NeedOf(chain, wanted(o))
}

// wanted is the way that was asked for; "" is none.
func wanted(o message.Order) coffer.Way {
	if o.Target == nil {
		return ""
	}
	return o.Target.Way
}

func (a *Agent) restoreServer(ctx context.Context, o message.Order, e *entry, d *diary, eng engine.Engine, layers []engine.Layer, total int64) (ended, error) {
	if a.Host == nil {
		return ended{}, coffer.E(coffer.KindUnsupported, "restore into a server", "this agent does not run servers")
	}
	port := 0
	if o.Target != nil {
		port = o.Target.Port
	}
	e.Slot = o.Instance.ID
	if err := a.journal.put(*e); err != nil {
		return ended{}, coffer.Wrap("note the new server in the journal", err)
	}
	conn, err := a.makeServer(ctx, o, d, eng, layers, total, port)
	if err != nil {
		undo, stop := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer stop()
		if rerr := a.Host.Remove(undo, o.Instance.ID); rerr != nil {
			a.Log.Error("could not remove a half-made server; it holds the mark of an unfinished restore", "instance", o.Instance.ID, "err", rerr)
		}
		return ended{}, err
	}
	ds := layersDatastore(layers)
	return ended{Outcome: string(message.Ended), Conn: &conn, Datastore: ds}, nil
}

func (a *Agent) makeServer(ctx context.Context, o message.Order, d *diary, eng engine.Engine, layers []engine.Layer, total int64, port int) (coffer.Conn, error) {
	slot, err := a.Host.Prepare(ctx, o.Instance.ID, port)
	if err != nil {
		return coffer.Conn{}, coffer.Wrap("make the new server's folder", err)
	}
	if err := a.room(slot.DataDir, o); err != nil {
		return coffer.Conn{}, err
	}
	t := a.target(slot.DataDir, o, d, total)
	t.UID, t.GID = slot.UID, slot.GID
	if err := eng.Restore(ctx, t, layers); err != nil {
		return coffer.Conn{}, coffer.Wrap("restore the chain", err)
	}
	a.step("restored")
	d.at("start", total, total, a.Now())
	var opts map[string]string
	if so, ok := eng.(serverOptions); ok {
		if opts, err = so.ServerOptions(slot.DataDir); err != nil {
			return coffer.Conn{}, coffer.Wrap("read what the data needs of a server", err)
		}
	}
	conn, err := a.Host.Start(ctx, slot, opts)
	return conn, coffer.Wrap("start the restored server", err)
}

// layer is an archive as an engine reads it.
type layer struct{ stored.Layer }

// closeAll ends the archives; what they may say by then is of no use.
func closeAll(layers []engine.Layer) {
	for _, l := range layers {
		if l, ok := l.(layer); ok {
			_ = l.Close()
		}
	}
}

func layersDatastore(layers []engine.Layer) *coffer.Datastore {
	l, ok := layers[len(layers)-1].(layer)
	if !ok {
		return nil
	}
	ds := l.Archive.Manifest().Datastore
	return &ds
}

// layers opens the whole chain, every manifest compared with its row, before
// anything is written.
func (a *Agent) layers(ctx context.Context, o message.Order) (out []engine.Layer, total int64, err error) {
	for i, l := range o.Chain {
		if l.Origin != coffer.OriginOwn {
			one, err := a.troveLayer(ctx, l)
			if err != nil {
				return out, 0, coffer.Wrap("open backup "+string(l.Backup), err)
			}
			out, total = append(out, one), total+one.PlainBytes()
			continue
		}
		p, err := a.place(ctx, l.Store, o.Project, l.Container)
		if err != nil {
			return out, 0, err
		}
		want := archive.Want{ManifestSHA256: l.ManifestSHA256, Workers: a.Config.Workers}
		if l.Key != "" {
			if want.Identities, err = a.identities(ctx, p, l.Key); err != nil {
				return out, 0, err
			}
		}
		ar, err := archive.Open(ctx, p, l.Backup, want)
		if err != nil {
			return out, 0, coffer.Wrap("open backup "+string(l.Backup), err)
		}
		out = append(out, layer{stored.Layer{Archive: ar}})
		if err := ar.Check(ctx); err != nil {
			return out, 0, coffer.Wrap("look at backup "+string(l.Backup), err)
		}
		m := ar.Manifest()
		if i > 0 && (m.Parent == nil || m.Parent.ID != o.Chain[i-1].Backup || m.Parent.ManifestSHA256 != o.Chain[i-1].ManifestSHA256) {
			return out, 0, coffer.E(coffer.KindCorrupt, "open the chain", "backup %s does not name backup %s as its parent", l.Backup, o.Chain[i-1].Backup)
		}
		total += m.Sizes.Plain
	}
	if len(out) == 0 {
		return nil, 0, coffer.E(coffer.KindNotFound, "open the chain", "the order names no backup")
	}
	return out, total, nil
}
