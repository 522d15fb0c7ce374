package api

import (
	"context"
	"math"
	"net/http"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/trove"
)

// Importer finds where backups lie that Trove has written.
type Importer interface {
	// Find says by which store's credentials the object at the location is read, and
	// in which container it is. It has seen the object. Unless any is set, only an
	// account of the project's own is looked at.
	Find(ctx context.Context, location string, p coffer.ProjectID, any bool) (store, container string, err error)
}

// maxImport bounds the size of an import, which the caller says, in GiB.
const maxImport = 1 << 20

// backupImport brings a backup in that Trove has written. Trove believes the caller and
// answers RESTORED; here the backup is NEW until it was read to its end.
func (a *api) backupImport(r request, o, from *object) (reply, error) {
	ds, ok := a.version(from.str("local_datastore_version_id"))
	if !ok {
		return reply{}, coffer.E(coffer.KindInvalid, "", "Datastore version '%s' cannot be found.", from.str("local_datastore_version_id"))
	}
	location := from.str("remote_location")
	if a.Importer == nil {
		return reply{}, coffer.E(coffer.KindUnsupported, "", "Importing a backup from %s is not supported by this server.", location)
	}
	size := from.number("size")
	if !(size >= 0 && size <= maxImport) {
		return reply{}, coffer.E(coffer.KindInvalid, "", "The size %v is no size in GiB.", size)
	}
	ds.VersionID = versionID(ds)
	n := records.NewImport{
		Project: r.project(), Name: o.str("name"), Parent: coffer.BackupID(strings.ToLower(o.str("parent_id"))), Datastore: ds,
		Location: location, Size: int64(math.Round(size * (1 << 30))), Quota: a.Quota, Now: a.Now(),
	}
	if o.has("description") {
		d := o.str("description")
		n.Description = &d
	}
	if n.Parent != "" {
		if _, err := a.Records.Backup(r.Context(), n.Project, n.Parent); err != nil {
			return reply{}, errNothing(string(n.Parent))
		}
	}
	var err error
	if n.Store, n.Container, err = a.Importer.Find(r.Context(), location, n.Project, r.caller.Admin); err != nil {
		a.Log.InfoContext(r.Context(), "an import was refused", "project", n.Project, "err", err)
		if coffer.IsKind(err, coffer.KindUnavailable) {
			return reply{}, err
		}
		return reply{}, coffer.E(coffer.KindInvalid, "", "Failed to restore backup from %s", location).WithHint("%s", coffer.HintOf(err))
	}
	b, _, err := a.Records.CreateImport(r.Context(), n)
	if coffer.IsKind(err, coffer.KindQuota) {
		return reply{}, errQuota()
	}
	if err != nil {
		return reply{}, err
	}
	a.ring(r, coffer.JobID(b.ID))
	return reply{http.StatusAccepted, trove.BackupBody{Backup: backupView(b)}}, nil
}

func errQuota() error {
	return refusal(http.StatusRequestEntityTooLarge, trove.OverLimit, "Quota exceeded for resources: ['backups'].")
}

// quota is the project's own, else the configured one.
func (a *api) quota(r request) (int, error) {
	own, err := a.Records.Quota(r.Context(), r.project())
	if err != nil || own != records.NoQuota {
		return own, err
	}
	return max(a.Quota, -1), nil
}
