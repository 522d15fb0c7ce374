package agent

import (
	"context"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/trovestore"
)

// troveLayer opens one of Trove's own backups, held to what was found when it was
// brought in.
func (a *Agent) troveLayer(ctx context.Context, l message.Link) (engine.Layer, error) {
	const op = "read a backup of Trove's"
	if l.Origin != coffer.OriginTrove || a.Trove == nil {
		return nil, coffer.E(coffer.KindUnsupported, op, "this agent reads no backups of %s's", l.Origin)
	}
	at, err := trovestore.ParseLocation(l.Location)
	if err != nil {
		return nil, err
	}
	src, err := a.Trove.TroveSource(ctx, l.Store, at)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	return trovestore.Open(ctx, src, at.Object, trovestore.Known{
		Backup: l.Backup, SHA256: l.ManifestSHA256, Sizes: l.Sizes, Position: l.Position,
	})
}
