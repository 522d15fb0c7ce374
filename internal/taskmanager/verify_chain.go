package taskmanager

import (
	"context"
	"os"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/stored"
)

// lookAtChain looks over the indexes of the chain that ends in an increment:
// KindCorrupt names a table of which pages are in none of its backups. Where the
// indexes cannot be read, or do not list pages, it says nothing.
func (t *TaskManager) lookAtChain(ctx context.Context, b coffer.Backup) error {
	if b.Parent == "" {
		return nil
	}
	chain, err := t.Records.Chain(ctx, b.Project, b.ID)
	if err != nil {
		return coffer.Wrap("read the chain", err)
	}
	positions := make([]coffer.Position, len(chain))
	for i, c := range chain {
		positions[i] = c.Position
	}
	system, err := layers.SystemFiles(b.Position.DataFilePath)
	if err != nil || coffer.Mergeable(positions) != nil {
		return nil // as with a chain of which less is known
	}
	var open []engine.Layer
	for _, c := range chain {
		a, err := t.openLink(ctx, c)
		if coffer.IsKind(err, coffer.KindCorrupt, coffer.KindNotFound) {
			return nil // that backup's own verify says so
		}
		if err != nil {
			return err
		}
		defer a.Close()
		open = append(open, stored.Layer{Archive: a})
	}
	spool, err := os.CreateTemp("", "coffer-pages-")
	if err != nil {
		return coffer.Wrap("make room for the page lists", err)
	}
	defer spool.Close()
	if err := os.Remove(spool.Name()); err != nil {
		return coffer.Wrap("make room for the page lists", err)
	}
	p, err := layers.Join(ctx, open, system, spool)
	if err == nil {
		err = p.Check(ctx)
	}
	if coffer.IsKind(err, coffer.KindUnsupported, coffer.KindForbidden) {
		return nil
	}
	return coffer.Wrap("look over the chain's indexes", err)
}

func (t *TaskManager) openLink(ctx context.Context, b coffer.Backup) (*archive.Archive, error) {
	place, err := settle.Place(ctx, t.Stores, b.Store, b.Project, b.Container)
	if err != nil {
		return nil, err
	}
	ids, err := t.identities(ctx, place, b.Key)
	if err != nil {
		return nil, err
	}
	return archive.Open(ctx, place, b.ID, archive.Want{ManifestSHA256: b.Manifest, Identities: ids})
}
