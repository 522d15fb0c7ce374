package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/message"
)

const opSynthesize = "join the chain into a full backup"

// synthesize joins the order's chain into a new full, from store to store. To the
// control plane it is a backup like any other: intent, parts, grant, manifest. The
// database is not asked and need not run.
func (a *Agent) synthesize(ctx context.Context, o message.Order, e *entry, d *diary) (ended, error) {
	begun := a.Now()
	if err := a.mayRead(ctx, o); err != nil {
		return ended{}, err
	}
	chain, total, err := a.layers(ctx, o)
	defer closeAll(chain)
	if err != nil {
		return ended{}, err
	}
	l, ok := chain[len(chain)-1].(layer)
	if !ok {
		return ended{}, coffer.E(coffer.KindInternal, opSynthesize, "the chain is of no archives")
	}
	last := l.Archive.Manifest()
	eng, err := a.synthesizer(last.Method)
	if err != nil {
		return ended{}, err
	}
	summary := a.summary(o, d)
	d.dataBytes(last.Sizes.Data)
	d.at("merge", 0, 0, a.Now())
	g := &grant{deadline: a.Config.Deadline, clock: a.Boottime}
	w, err := a.create(ctx, o, last.Stream, begun, g)
	if coffer.IsKind(err, coffer.KindConflict) {
		return unknown("the backup's names are taken: " + err.Error()), nil // as of any backup
	}
	if err != nil {
		return ended{}, err
	}
	a.step("intent")
	res, err := eng.Synthesize(ctx, sink{w, d}, chain, summary, a.options(d))
	if err != nil {
		return ended{}, a.abort(ctx, w, err)
	}
	a.step("tool ended")
	d.event(coffer.Event{At: a.Now(), Level: coffer.Info, Code: "synthesized", Text: fmt.Sprintf(
		"%d backups of %d bytes were joined into a full of %d; the database was not asked", len(chain), total, w.Plain())})
	return a.seal(ctx, o, e, d, w, g, a.synthesized(o, last, res), res)
}

// mayRead refuses, before anything is written, an encrypted chain for which this
// agent has no identity.
func (a *Agent) mayRead(ctx context.Context, o message.Order) error {
	tried := map[coffer.KeyID]bool{"": true}
	for _, l := range o.Chain {
		if tried[l.Key] {
			continue
		}
		tried[l.Key] = true
		p, err := a.place(ctx, l.Store, o.Project, l.Container)
		if err != nil {
			return err
		}
		ids, err := a.identities(ctx, p, l.Key)
		if err == nil && len(ids) == 0 {
			err = coffer.E(coffer.KindForbidden, "open the data key", "this agent holds no identity")
		}
		if coffer.IsKind(err, coffer.KindForbidden) {
			return coffer.E(coffer.KindForbidden, opSynthesize, "backup %s is encrypted: %w", l.Backup, err).
				WithHint("give the agent beside the database the operator's identity (--identity FILE), or take a full backup")
		}
		if err != nil {
			return coffer.Wrap(opSynthesize, err)
		}
	}
	return nil
}

// synthesizer gives the engine of the chain's method, bound to no server.
func (a *Agent) synthesizer(method string) (engine.Synthesizer, error) {
	eng, err := a.Engines.Engine(coffer.Conn{})
	if err == nil {
		eng, err = with(eng, method)
	}
	if err != nil {
		return nil, coffer.Wrap("choose the engine", err)
	}
	s, ok := eng.(engine.Synthesizer)
	if !ok {
		return nil, coffer.E(coffer.KindUnsupported, opSynthesize, "backups by %s cannot be joined", method).WithHint("take a full backup")
	}
	return s, nil
}

// summary is what this agent knows of the chain's end. Without it the full is as good
// to restore, and the next increment will ask for another full.
func (a *Agent) summary(o message.Order, d *diary) []byte {
	base, err := a.base(o.Instance.ID, &o.Chain[len(o.Chain)-1])
	if err != nil {
		d.event(coffer.Event{At: a.Now(), Level: coffer.Warn, Code: "no_parent",
			Text: "no increment will be able to stand on it: " + err.Error()})
	}
	return base.Summary
}

// synthesized is the commit record of a full that stands where the last link does.
func (a *Agent) synthesized(o message.Order, last archive.Manifest, res engine.Result) archive.Manifest {
	res.Tool = last.Tool
	m := a.manifest(o, engine.Facts{Datastore: last.Datastore, DataBytes: last.Sizes.Data}, res, last.Started.Add(time.Microsecond))
	m.Finished = last.Finished.Add(time.Microsecond)
	m.Synthesized = &archive.Synthesized{
		Parent: archive.Parent{ID: last.Backup, ManifestSHA256: o.Chain[len(o.Chain)-1].ManifestSHA256}, At: a.Now().UTC(),
	}
	return m
}

// seal stores what is left, keeps what the next increment must know, and asks for the
// commit.
func (a *Agent) seal(ctx context.Context, o message.Order, e *entry, d *diary, w *archive.Writer, g *grant, m archive.Manifest, res engine.Result) (ended, error) {
	d.at("upload", w.Plain(), w.Plain(), a.Now())
	sealed, err := w.Finish(ctx, m)
	if err != nil {
		return ended{}, a.abort(ctx, w, err)
	}
	a.step("parts stored")
	d.at("commit", w.Plain(), w.Plain(), a.Now())
	return a.commit(ctx, o, e, w, g, sealed, tail{
		Backup: coffer.BackupID(o.Job), ManifestSHA256: sealed.SHA256, Position: res.Position, Summary: res.Summary,
	})
}
