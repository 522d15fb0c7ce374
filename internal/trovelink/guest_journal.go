package trovelink

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// order is the one backup that a guest was asked for, on disk from before the message
// is acknowledged until Trove has heard how it ended. The caller's token is not in it.
type order struct {
	Info    BackupInfo     `json:"info"`
	Answers map[string]any `json:"answers"`          // the part of the context that goes back
	End     *Update        `json:"end,omitempty"`    // the last report; nil while it runs
	Failure string         `json:"failed,omitempty"` // why, if it did
}

func (g *Guest) journal() string { return filepath.Join(g.Dir, "backup.json") }

// read is the order that was not brought to its end, or nil.
func (g *Guest) read() (*order, error) {
	const op = "read the journal"
	raw, err := os.ReadFile(g.journal())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	o := &order{}
	if err := json.Unmarshal(raw, o); err != nil {
		return nil, coffer.E(coffer.KindCorrupt, op, "%s: %w", g.journal(), err).WithHint("remove the file; Trove shows the backup BUILDING until its status is reset")
	}
	return o, nil
}

func (g *Guest) write(o *order) error {
	raw, err := json.Marshal(o)
	if err != nil {
		return coffer.E(coffer.KindInternal, "write the journal", "%w", err)
	}
	return replace(g.journal(), raw)
}

// settle brings an order of an earlier life to its end: what was reported is reported
// again, and what still ran is FAILED, since its tool has ended with us.
func (g *Guest) settle(ctx context.Context, o *order) {
	if o.End == nil {
		o.End = &Update{BackupID: o.Info.ID, State: failed}
		o.Failure = "the agent was restarted while the backup ran"
		if err := g.write(o); err != nil {
			g.Log.Warn("could not keep how a backup ended", "backup", o.Info.ID, "err", err)
		}
	}
	g.finish(ctx, o)
}

// finish tells Trove how an order ended, and forgets it.
func (g *Guest) finish(ctx context.Context, o *order) {
	r := Request{}
	r.Project, _ = o.Answers["project_id"].(string)
	r.RequestID, _ = o.Answers["request_id"].(string)
	switch n := o.Answers["trove_notification"].(type) {
	case Note:
		r.Note = n
	case map[string]any:
		r.Note = n
	}
	var why error
	if o.Failure != "" {
		why = errors.New(o.Failure)
	}
	if !g.update(ctx, r, *o.End) || !g.say(ctx, r, why) {
		return
	}
	if err := os.Remove(g.journal()); err != nil {
		g.Log.Warn("could not end the journal: the backup is reported once more at the next start", "err", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = false
}

// stood is what an increment onto a backup needs, beside what the store says.
type stood struct {
	Checksum string          `json:"checksum"`
	Position coffer.Position `json:"position"`
	Summary  []byte          `json:"summary"`
}

// kept is how many backups can be stood on.
const kept = 16

func (g *Guest) standing(backup string) string {
	return filepath.Join(g.Dir, "base-"+backup+".json")
}

// keep remembers a good backup, and forgets the oldest beyond a few.
func (g *Guest) keep(backup string, s stood) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return coffer.E(coffer.KindInternal, "keep the backup's position", "%w", err)
	}
	if err := replace(g.standing(backup), raw); err != nil {
		return err
	}
	all, err := filepath.Glob(g.standing("*"))
	if err != nil || len(all) <= kept {
		return nil
	}
	age := func(name string) int64 {
		fi, err := os.Stat(name)
		if err != nil {
			return 0
		}
		return fi.ModTime().UnixNano()
	}
	slices.SortFunc(all, func(a, b string) int { return int(age(a)/1e6 - age(b)/1e6) })
	for _, name := range all[:len(all)-kept] {
		os.Remove(name) // one that stays is removed the next time
	}
	return nil
}

// base is what an increment onto p stands on. A backup that this agent did not take
// cannot be stood on: nobody knows whether the database still has its past.
func (g *Guest) base(p Parent) (engine.Base, error) {
	const op = "find the parent"
	_, _, object, err := split(p.Location)
	if err != nil {
		return engine.Base{}, err
	}
	id := object[:max(0, len(object)-len(objectName("")))]
	if checkID(id) != nil || objectName(id) != object {
		return engine.Base{}, needFull("%s is none of its own", p.Location)
	}
	raw, err := os.ReadFile(g.standing(id))
	if errors.Is(err, fs.ErrNotExist) {
		return engine.Base{}, needFull("this agent does not know backup %s", id)
	}
	var s stood
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return engine.Base{}, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	if s.Checksum != p.Checksum {
		return engine.Base{}, needFull("backup %s had checksum %s, not %.40s", id, s.Checksum, p.Checksum)
	}
	return engine.Base{Backup: coffer.BackupID(id), Position: s.Position, Summary: s.Summary}, nil
}

func needFull(format string, args ...any) error {
	return coffer.E(coffer.KindNeedFull, "find the parent", format, args...).WithHint("take a full backup")
}
