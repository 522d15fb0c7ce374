package agent

import (
	"cmp"
	"context"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/message"
)

// sink hands the engine's stream and its file table to the archive.
type sink struct {
	w *archive.Writer
	d *diary
}

func (s sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.d.stored(s.w.Stored())
	return n, err
}

func (s sink) Entry(e engine.Entry) error { return s.w.Index(e) }

// backup runs one backup. The order of its ends is the whole point: the tool is
// waited for and has said its closing words, every part is answered for, the
// grant is asked, and only then the manifest is written.
func (a *Agent) backup(ctx context.Context, o message.Order, e *entry, d *diary) (ended, error) {
	begun := a.Now()
	eng, facts, base, err := a.probe(ctx, o, d)
	if err != nil {
		return ended{}, err
	}
	g := &grant{deadline: a.Config.Deadline, clock: a.Boottime}
	w, err := a.create(ctx, o, facts.Method.Stream(), begun, g)
	if coffer.IsKind(err, coffer.KindConflict) {
		// Somebody has begun this very id before, in a past that the records have
		// lost: it may be whole, so nobody fails it unseen.
		return unknown("the backup's names are taken: " + err.Error()), nil
	}
	if err != nil {
		return ended{}, err
	}
	a.step("intent")
	if o.Wanted != "" {
		d.event(coffer.Event{At: a.Now(), Level: coffer.Info, Code: "container", Text: "container " + o.Wanted + " belongs to another project: the backup is in " + o.Container})
	}
	res, err := eng.Backup(ctx, sink{w, d}, base, a.options(d))
	if err != nil {
		return ended{}, a.abort(ctx, w, err)
	}
	a.step("tool ended")
	d.at("upload", w.Plain(), w.Plain(), a.Now())
	sealed, err := w.Finish(ctx, a.manifest(o, facts, res, begun))
	if err != nil {
		return ended{}, a.abort(ctx, w, err)
	}
	a.step("parts stored")
	for _, text := range res.Warnings {
		if slices.Contains(facts.Warnings, text) {
			continue // told before the tool began
		}
		d.event(coffer.Event{At: a.Now(), Level: coffer.Warn, Code: "warning", Text: text})
	}
	d.event(holds(res.Holds, a.Now()))
	d.at("commit", w.Plain(), w.Plain(), a.Now())
	return a.commit(ctx, o, e, w, g, sealed, tail{
		Backup: coffer.BackupID(o.Job), ManifestSHA256: sealed.SHA256, Position: res.Position, Summary: res.Summary,
	})
}

// probe looks at the server, and at the chain in the store, before anything is
// written.
func (a *Agent) probe(ctx context.Context, o message.Order, d *diary) (engine.Engine, engine.Facts, engine.Base, error) {
	var none engine.Facts
	eng, err := a.Engines.Engine(o.Instance.Conn)
	if err == nil {
		eng, err = with(eng, o.Method)
	}
	if err != nil {
		return nil, none, engine.Base{}, coffer.Wrap("choose the engine", err)
	}
	d.at("probe", 0, 0, a.Now())
	base, err := a.base(o.Instance.ID, o.Parent)
	if err != nil {
		return nil, none, base, err
	}
	if o.Parent != nil {
		if err := a.chainStands(ctx, o); err != nil {
			return nil, none, base, err
		}
	}
	facts, err := eng.Probe(ctx, base)
	if err != nil {
		return nil, none, base, coffer.Wrap("look at the server", err)
	}
	d.dataBytes(facts.DataBytes)
	for _, text := range facts.Warnings {
		d.event(coffer.Event{At: a.Now(), Level: coffer.Warn, Code: "probe", Text: text})
	}
	facts.Method = cmp.Or(facts.Method, engine.MariaBackup)
	d.event(coffer.Event{At: a.Now(), Level: coffer.Info, Code: "method", Text: "made by " + facts.Method.Class(o.Parent != nil)})
	a.step("probed")
	return eng, facts, base, nil
}

// methodical is an engine that has more than one method.
type methodical interface {
	With(method string) (engine.Engine, error)
}

// with gives the engine for one method; "" is the engine's own choice. An engine
// without a choice has one method, which it takes for every name.
func with(eng engine.Engine, method string) (engine.Engine, error) {
	if m, ok := eng.(methodical); ok {
		return m.With(method)
	}
	return eng, nil
}

// chainStands refuses an increment onto a chain of which something is gone.
func (a *Agent) chainStands(ctx context.Context, o message.Order) error {
	for _, l := range o.Chain {
		p, err := a.place(ctx, l.Store, o.Project, l.Container)
		if err != nil {
			return err
		}
		ar, err := archive.Open(ctx, p, l.Backup, archive.Want{ManifestSHA256: l.ManifestSHA256})
		if err == nil {
			err = ar.Check(ctx)
			_ = ar.Close() // nothing was read but the manifest
		}
		if coffer.IsKind(err, coffer.KindNotFound, coffer.KindCorrupt, coffer.KindUnsupported) {
			return coffer.E(coffer.KindNeedFull, "look at the chain that the increment stands on", "backup %s is not whole: %w", l.Backup, err).
				WithHint("take a full backup of this instance")
		}
		if err != nil {
			return coffer.Wrap("look at the chain that the increment stands on", err)
		}
	}
	return nil
}

func (a *Agent) place(ctx context.Context, name string, p coffer.ProjectID, container string) (archive.Place, error) {
	s, err := a.Stores.Open(ctx, name)
	if err != nil {
		return archive.Place{}, coffer.Wrap("open the store "+name, err)
	}
	return archive.Place{Store: s, Prefix: coffer.Prefix(p, container)}, nil
}

func (a *Agent) create(ctx context.Context, o message.Order, stream string, begun time.Time, g *grant) (*archive.Writer, error) {
	p, err := a.place(ctx, o.Store, o.Project, o.Container)
	if err != nil {
		return nil, err
	}
	opt := archive.Options{
		Compression: codec.Compression(a.Config.Compression), Workers: a.Config.Workers,
		SpoolDir: a.Config.SpoolDir, InFlight: a.Config.InFlight, Stream: stream,
		MayCommit: g.stands,
	}
	if o.Instance.Recipient != "" {
		opt.Recipient, err = age.ParseX25519Recipient(o.Instance.Recipient)
		if err != nil {
			return nil, coffer.E(coffer.KindInvalid, "read the instance's data key", "%w", err)
		}
	}
	w, err := archive.Create(ctx, p, archive.Intent{
		Installation: o.Installation, Backup: coffer.BackupID(o.Job), Project: o.Project,
		Instance: o.Instance.ID, Runner: a.runner(), Begun: begun,
	}, opt)
	return w, coffer.Wrap("begin the archive", err)
}

func (a *Agent) options(d *diary) engine.Options {
	opt := a.Config.Options
	opt.SpoolDir, opt.SpoolBytes = a.Config.SpoolDir, a.Config.SpoolBytes
	opt.Progress = func(p engine.Progress) { d.at(p.Phase, p.Plain, p.Total, a.Now()) }
	opt.Event = a.teller(d)
	return opt
}

// teller gives what puts an engine's events into the diary.
func (a *Agent) teller(d *diary) func(coffer.Event) {
	return func(e coffer.Event) {
		if e.At.IsZero() {
			e.At = a.Now()
		}
		d.event(e)
	}
}

func (a *Agent) manifest(o message.Order, f engine.Facts, r engine.Result, begun time.Time) archive.Manifest {
	m := archive.Manifest{
		Installation: o.Installation, Backup: coffer.BackupID(o.Job), Runner: a.runner(),
		Project: o.Project, Instance: o.Instance.ID, Datastore: f.Datastore,
		Tool: r.Tool, Method: r.Method, Key: o.Instance.Key, Position: r.Position,
		Root: coffer.BackupID(o.Root), Depth: o.Depth, Started: begun.UTC(), Finished: a.Now().UTC(),
	}
	m.Sizes.Data = f.DataBytes
	if o.Parent != nil {
		m.Parent = &archive.Parent{ID: o.Parent.Backup, ManifestSHA256: o.Parent.ManifestSHA256}
	}
	return m
}

// abort removes what was written and gives the first cause back.
func (a *Agent) abort(ctx context.Context, w *archive.Writer, cause error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer stop()
	a.step("abort")
	if err := w.Abort(ctx); err != nil {
		a.Log.Warn("could not remove a failed backup's parts; the sweep will", "err", err)
	}
	return cause
}

// abortTimeout bounds the undoing of a failed backup; the sweep does the rest.
const abortTimeout = 30 * time.Second

func holds(h engine.Holds, now time.Time) coffer.Event {
	return coffer.Event{
		At: now, Level: coffer.Info, Code: "holds",
		Text: "others waited: DDL " + h.DDL.Round(time.Millisecond).String() +
			", non-transactional writers " + h.NonTrans.Round(time.Millisecond).String() +
			", commits " + h.Commit.Round(time.Millisecond).String(),
		Facts: map[string]string{"ddl": h.DDL.String(), "nontrans": h.NonTrans.String(), "commit": h.Commit.String()},
	}
}
