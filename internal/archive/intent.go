package archive

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// IntentFormat is the only format of an intent.
const IntentFormat = "coffer-intent/1"

// Intent is the first object of a backup: it says whose the orphans are, should
// nothing else ever follow.
type Intent struct {
	Format       string                `json:"format"` // filled by Create
	Installation coffer.InstallationID `json:"installation"`
	Backup       coffer.BackupID       `json:"backup"`
	Project      coffer.ProjectID      `json:"project"`
	Instance     coffer.InstanceID     `json:"instance"`
	Runner       coffer.Runner         `json:"runner"`
	Begun        time.Time             `json:"begun"` // filled by Create when zero
}

// maxSmall bounds intents, tombstones and statements, in bytes.
const maxSmall = 1 << 20

func (in Intent) check() error {
	const op = "check the intent"
	switch {
	case in.Format != IntentFormat:
		return coffer.E(coffer.KindUnsupported, op, "unknown format %q", in.Format)
	case !isID(string(in.Backup)):
		return coffer.E(coffer.KindInvalid, op, "%q is no backup id", in.Backup)
	case in.Installation == "" || in.Runner == "":
		return coffer.E(coffer.KindInvalid, op, "an intent names its installation and its runner")
	case !in.Project.Valid():
		return coffer.E(coffer.KindInvalid, op, "%q is no project id", in.Project)
	}
	return nil
}

// readIntent reads id's intent. KindCorrupt if it is none.
func readIntent(ctx context.Context, p Place, pol retry.Policy, id coffer.BackupID) (Intent, error) {
	name := p.at(IntentName(id))
	b, err := readWhole(ctx, p.Store, pol, name, maxSmall)
	if err != nil {
		return Intent{}, coffer.Wrap("read the intent", err)
	}
	var in Intent
	if err := json.Unmarshal(b, &in); err != nil {
		return Intent{}, coffer.E(coffer.KindCorrupt, "read the intent", "object %s: %w", name, err)
	}
	if err := in.check(); err != nil {
		return Intent{}, coffer.E(coffer.KindCorrupt, "read the intent", "object %s: %w", name, err)
	}
	if in.Backup != id {
		return Intent{}, coffer.E(coffer.KindCorrupt, "read the intent", "object %s is the intent of backup %s", name, in.Backup)
	}
	return in, nil
}
