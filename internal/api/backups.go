package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/trove"
)

func orNil[S ~string](s S) *string {
	if s == "" {
		return nil
	}
	v := string(s)
	return &v
}

// backupView is a backup as Trove shows it.
func backupView(b coffer.Backup) trove.Backup {
	v := trove.Backup{
		ID: string(b.ID), Name: b.Name, Description: b.Description,
		LocationRef: orNil(b.Location), InstanceID: orNil(b.Instance), ParentID: orNil(b.Parent),
		Created: trove.Time{Time: b.Created}, Updated: trove.Time{Time: b.Updated},
		Status: string(b.State), ProjectID: string(b.Project),
	}
	if b.Sizes.Data > 0 {
		size := trove.GiB(b.Sizes.GiB())
		v.Size = &size
	}
	if b.Datastore.Type != "" {
		v.Datastore = &trove.Datastore{Type: b.Datastore.Type, Version: b.Datastore.Version, VersionID: versionID(b.Datastore)}
	}
	return v
}

// backup finds a backup that the caller may see: his project's; an admin's, any.
func (a *api) backup(r request, id string) (coffer.Backup, error) {
	if !coffer.IsUUID(id) {
		return coffer.Backup{}, errNothing(id)
	}
	bid := coffer.BackupID(strings.ToLower(id))
	b, err := a.Records.Backup(r.Context(), r.project(), bid)
	if coffer.IsKind(err, coffer.KindNotFound) && r.caller.Admin {
		b, err = a.Records.BackupByID(r.Context(), bid)
		if err == nil && b.Deleted {
			return coffer.Backup{}, errNothing(id)
		}
	}
	if coffer.IsKind(err, coffer.KindNotFound) {
		return coffer.Backup{}, errNothing(id)
	}
	return b, err
}

func (a *api) backupList(r request) (reply, error) {
	q := r.URL.Query()
	f := records.BackupFilter{Project: r.project()}
	if p, all := last(q, "project_id"), truthy(last(q, "all_projects")); p != "" || all {
		if !r.caller.Admin {
			return reply{}, errPolicy("backup:index:all_projects")
		}
		f.Project, f.All = coffer.ProjectID(p), p == ""
	}
	f.Instance = coffer.InstanceID(last(q, "instance_id"))
	if name := last(q, "datastore"); name != "" {
		ds, ok := a.datastore(name)
		if !ok {
			return reply{}, errNoDatastore(name)
		}
		f.Datastore = ds.Name
	}
	return a.backupPage(r, f)
}

func (a *api) backupPage(r request, f records.BackupFilter) (reply, error) {
	var err error
	if f.Offset, f.Limit, err = window(r.URL.Query()); err != nil {
		return reply{}, err
	}
	out := trove.Backups{Backups: []trove.Backup{}}
	if f.Limit > 0 { // Trove answers 0 with an empty page and a link to it
		rows, err := a.Records.Backups(r.Context(), f)
		if err != nil {
			return reply{}, err
		}
		for _, b := range rows {
			out.Backups = append(out.Backups, backupView(b))
		}
	}
	if len(out.Backups) == f.Limit {
		out.Links = a.nextLink(r, strconv.Itoa(f.Offset+f.Limit))
	}
	return reply{http.StatusOK, out}, nil
}

func (a *api) backupShow(r request) (reply, error) {
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, trove.BackupBody{Backup: backupView(b)}}, nil
}

func (a *api) backupsOfInstance(r request) (reply, error) {
	in, err := a.instance(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	return a.backupPage(r, records.BackupFilter{Project: in.Project, Instance: in.ID})
}

// backupDelete asks for a delete. Whoever stands on the backup, or reads it, is
// in the way: 409, unless ?force=true or X-Coffer-Force takes the children along.
func (a *api) backupDelete(r request) (reply, error) {
	if _, err := a.deleteBackup(r); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusAccepted}, nil
}

func (a *api) deleteBackup(r request) (coffer.Job, error) {
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return coffer.Job{}, err
	}
	if b.State.Running() {
		return coffer.Job{}, coffer.E(coffer.KindUnprocessable, "", "Backup %s cannot be deleted because it is running.", b.ID)
	}
	force := truthy(last(r.URL.Query(), "force")) || truthy(r.Header.Get("X-Coffer-Force"))
	j, err := a.Records.CreateJob(r.Context(), records.NewJob{
		Kind: coffer.JobDelete, Project: b.Project, Instance: b.Instance, Backup: b.ID,
		Spec: coffer.Spec{Force: force}, Now: a.Now(),
	})
	if err != nil {
		return coffer.Job{}, err
	}
	a.ring(r, j.ID)
	return j, nil
}
