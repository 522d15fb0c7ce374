package agent

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/message"
)

// tail is what the agent keeps of an instance's newest backup: the engine's
// summary of its chain, bound to that backup by its manifest's sum. The agent
// cannot read stored indexes, so without it there is no increment.
type tail struct {
	Backup         coffer.BackupID `json:"backup"`
	ManifestSHA256 string          `json:"manifest_sha256"`
	Position       coffer.Position `json:"position"`
	Summary        []byte          `json:"summary"`
}

func (a *Agent) tailPath(b coffer.BackupID, in coffer.InstanceID) string {
	return filepath.Join(a.Config.StateDir, "chains", string(in), string(b)+".json")
}

func (a *Agent) keepTail(in coffer.InstanceID, t tail) error {
	path := a.tailPath(t.Backup, in)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := writeDurably(path, b); err != nil {
		return err
	}
	return a.trimTails(in)
}

// base is the parent as the engine wants it; KindNeedFull when this agent does
// not know the parent's chain.
func (a *Agent) base(in coffer.InstanceID, parent *message.Link) (engine.Base, error) {
	const op = "find what the increment stands on"
	if parent == nil {
		return engine.Base{}, nil
	}
	raw, err := os.ReadFile(a.tailPath(parent.Backup, in))
	var t tail
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	if err != nil {
		return engine.Base{}, coffer.E(coffer.KindNeedFull, op, "this agent keeps no summary of the chain that ends in backup %s", parent.Backup).
			WithHint("take a full backup of this instance")
	}
	if t.ManifestSHA256 != parent.ManifestSHA256 {
		return engine.Base{}, coffer.E(coffer.KindNeedFull, op, "the agent's summary is of another backup than %s", parent.Backup).
			WithHint("take a full backup of this instance")
	}
	return engine.Base{Backup: parent.Backup, Position: t.Position, Summary: t.Summary}, nil
}

// keepTails bounds what one instance keeps: the newest few summaries.
const keepTails = 8

// trimTails removes all but the newest summaries of an instance.
func (a *Agent) trimTails(in coffer.InstanceID) error {
	dir := filepath.Join(a.Config.StateDir, "chains", string(in))
	list, err := os.ReadDir(dir)
	if err != nil || len(list) <= keepTails {
		return err
	}
	type aged struct {
		name string
		at   int64
	}
	var all []aged
	for _, e := range list {
		if fi, err := e.Info(); err == nil {
			all = append(all, aged{e.Name(), fi.ModTime().UnixNano()})
		}
	}
	for len(all) > keepTails {
		old := 0
		for i := range all {
			if all[i].at < all[old].at {
				old = i
			}
		}
		if err := os.Remove(filepath.Join(dir, all[old].name)); err != nil {
			return err
		}
		all = append(all[:old], all[old+1:]...)
	}
	return nil
}
