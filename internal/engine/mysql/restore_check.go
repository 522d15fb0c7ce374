package mysql

import (
	"os"
	"path/filepath"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// checkTarget refuses what a restore must not write to, or as.
func checkTarget(t engine.Target) error {
	if !filepath.IsAbs(t.Dir) {
		return coffer.E(coffer.KindInvalid, "check the target", "%q is not absolute", t.Dir)
	}
	if os.Geteuid() == 0 && (t.UID <= 0 || t.GID <= 0) {
		return coffer.E(coffer.KindInvalid, "check the target", "its owner is uid %d, gid %d: nothing is prepared as root", t.UID, t.GID).
			WithHint("name an owner other than root")
	}
	entries, err := os.ReadDir(t.Dir)
	if err != nil {
		return coffer.Wrap("check the target", err)
	}
	if len(entries) == 0 {
		return nil
	}
	for _, e := range entries {
		if e.Name() == incompleteMarker {
			return coffer.E(coffer.KindConflict, "check the target", "%s holds an earlier restore that failed or still runs", t.Dir).
				WithHint("make sure that no restore runs there, then remove the folder")
		}
	}
	return coffer.E(coffer.KindConflict, "check the target", "%s is not empty: it holds %s", t.Dir, entries[0].Name()).
		WithHint("give an empty folder")
}

// checkLayers refuses a chain that has a gap, before anything is run on it.
func checkLayers(layers []engine.Layer) error {
	const op = "check the chain"
	if len(layers) == 0 {
		return coffer.E(coffer.KindInvalid, op, "no backup to restore")
	}
	if p := layers[0].Position(); p.From != 0 {
		return coffer.E(coffer.KindInvalid, op, "backup %s starts at LSN %d: it is no full backup", layers[0].Backup(), p.From)
	}
	for i, l := range layers[1:] {
		before, p := layers[i].Position(), l.Position()
		id, parent := l.Backup(), layers[i].Backup()
		switch {
		case p.From == 0:
			return coffer.E(coffer.KindInvalid, op, "backup %s is a full backup in the middle of the chain", id)
		case p.From > before.To:
			return coffer.E(coffer.KindInvalid, op, "backup %s starts at LSN %d, but %s ends at %d: what is between is missing",
				id, p.From, parent, before.To)
		case p.To < before.To:
			return coffer.E(coffer.KindInvalid, op, "backup %s ends at LSN %d, before its parent %s at %d", id, p.To, parent, before.To)
		case p.Lineage.FirstLSN != before.Lineage.FirstLSN && p.Lineage.FirstLSN != 0 && before.Lineage.FirstLSN != 0:
			return coffer.E(coffer.KindInvalid, op, "backup %s is of another data folder than %s", id, parent)
		case p.PageSize != before.PageSize && p.PageSize != 0 && before.PageSize != 0:
			return coffer.E(coffer.KindInvalid, op, "backup %s has pages of %d bytes, %s of %d", id, p.PageSize, parent, before.PageSize)
		}
	}
	return nil
}

// checkCheckpoints compares what an extracted layer says of itself with what its
// manifest does. An increment's from_lsn is what the tool will compare with the
// target: its parent's end.
func checkCheckpoints(root *os.Root, p coffer.Position, parent *coffer.Position) error {
	c, err := readCheckpoints(root)
	if err != nil {
		return err
	}
	kind, from := "full-backuped", uint64(0)
	if parent != nil {
		kind, from = "incremental", parent.To
	}
	if c.kind != kind || c.from != from || c.to != p.To {
		return coffer.E(coffer.KindCorrupt, "file "+checkpointsFile, "it says %s, LSN %d to %d; the manifest wants %s, %d to %d",
			c.kind, c.from, c.to, kind, from, p.To)
	}
	return nil
}

func readCheckpoints(root *os.Root) (checkpoints, error) {
	b, err := readSmall(root, checkpointsFile)
	if err != nil {
		return checkpoints{}, err
	}
	return parseCheckpoints(b)
}
