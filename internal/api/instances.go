package api

import (
	"cmp"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/trove"
)

// instance finds an instance that the caller may see: his project's; an admin's,
// any.
func (a *api) instance(r request, id string) (coffer.Instance, error) {
	if !coffer.IsUUID(id) {
		return coffer.Instance{}, errNothing(id)
	}
	iid := coffer.InstanceID(strings.ToLower(id))
	in, err := a.Records.Instance(r.Context(), r.project(), iid)
	if coffer.IsKind(err, coffer.KindNotFound) && r.caller.Admin {
		in, err = a.Records.InstanceByID(r.Context(), iid)
		if err == nil && in.Deleted {
			return coffer.Instance{}, errNothing(id)
		}
	}
	if coffer.IsKind(err, coffer.KindNotFound) {
		return coffer.Instance{}, errNothing(id)
	}
	return in, err
}

// busy are the instances of a project that a backup runs on, which Trove shows as
// their status.
func (a *api) busy(r request, project coffer.ProjectID) (map[coffer.InstanceID]bool, error) {
	out := map[coffer.InstanceID]bool{}
	for _, s := range []coffer.State{coffer.New, coffer.Building, coffer.Saving} {
		jobs, err := a.Records.Jobs(r.Context(), records.JobFilter{Project: project, Kind: coffer.JobBackup, State: s, Limit: records.MaxPage})
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			out[j.Instance] = !j.Lost
		}
	}
	return out, nil
}

// instanceView is an instance as Trove shows it; detailed or as in a list.
func (a *api) instanceView(r request, in coffer.Instance, busy, detailed bool) trove.Instance {
	v := trove.Instance{
		ID: string(in.ID), Name: in.Name, Status: in.Status, OperatingStatus: operating(in.Status),
		Links:     a.links(r, "instances", string(in.ID)),
		Flavor:    trove.FlavorRef{ID: flavorID, Links: a.links(r, "flavors", flavorID)},
		Datastore: trove.InstanceDatastore{Type: in.Datastore.Type, Version: in.Datastore.Version},
		Region:    a.Region,
		Volume:    &trove.Volume{Size: max(1, in.VolumeGiB)},
	}
	if busy && in.Status == "ACTIVE" {
		v.Status, v.OperatingStatus = "BACKUP", ""
	}
	if r.caller.Admin {
		v.TenantID = string(in.Project)
	}
	if host := in.Conn.Host; net.ParseIP(host) != nil {
		public := false
		v.Access.IsPublic = &public
		v.IP = []string{host}
		v.Addresses = []trove.Address{{Address: host, Type: "private"}}
	}
	if !detailed {
		return v
	}
	created, updated := trove.Time{Time: in.Created}, trove.Time{Time: in.Updated}
	v.Created, v.Updated, v.ServiceStatusUpdated = &created, &updated, &updated
	v.Datastore.VersionNumber = in.Datastore.Version
	if r.caller.Admin {
		v.InstanceAdmin = &trove.InstanceAdmin{}
	}
	return v
}

// operating is Trove's word for the database's health where only the instance's
// status is known.
func operating(status string) string {
	switch status {
	case "ACTIVE", "HEALTHY":
		return "HEALTHY"
	case "ERROR", "FAILED":
		return "ERROR"
	case "SHUTDOWN":
		return "SHUTDOWN"
	}
	return ""
}

func (a *api) instanceList(r request) (reply, error) { return a.instancePage(r, false) }

func (a *api) instanceDetail(r request) (reply, error) { return a.instancePage(r, true) }

// instancePage is one page by id, shown with the newest first.
func (a *api) instancePage(r request, detailed bool) (reply, error) {
	q := r.URL.Query()
	limit := instancesPage
	if s := last(q, "limit"); s != "" {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 0 {
			return reply{}, errPuzzle()
		}
		if n > 0 {
			limit = min(n, instancesPage)
		}
	}
	rows, err := a.Records.Instances(r.Context(), r.project(), coffer.InstanceID(last(q, "marker")), limit+1)
	if err != nil {
		return reply{}, err
	}
	busy, err := a.busy(r, r.project())
	if err != nil {
		return reply{}, err
	}
	out := trove.Instances{Instances: []trove.Instance{}}
	if len(rows) > limit {
		rows = rows[:limit]
		out.Links = a.nextLink(r, string(rows[limit-1].ID))
	}
	slices.SortStableFunc(rows, func(x, y coffer.Instance) int { return cmp.Compare(y.Created.UnixMicro(), x.Created.UnixMicro()) })
	for _, in := range rows {
		out.Instances = append(out.Instances, a.instanceView(r, in, busy[in.ID], detailed))
	}
	return reply{http.StatusOK, out}, nil
}

func (a *api) instanceShow(r request) (reply, error) {
	in, err := a.instance(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	busy, err := a.busy(r, in.Project)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, trove.InstanceBody{Instance: a.instanceView(r, in, busy[in.ID], true)}}, nil
}

// instanceDelete forgets an instance; its backups are kept. The agent stops
// looking after it, and ends the server if we had made it.
func (a *api) instanceDelete(r request) (reply, error) {
	in, err := a.instance(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	err = a.Records.DeleteInstance(r.Context(), in.Project, in.ID)
	switch {
	case coffer.IsKind(err, coffer.KindUnprocessable):
		return reply{}, errNotActionable(in.ID, "BACKUP")
	case coffer.IsKind(err, coffer.KindNotFound):
		return reply{}, errNothing(string(in.ID))
	case err != nil:
		return reply{}, err
	}
	if in.Agent == "" {
		return reply{status: http.StatusAccepted}, nil // a restore that came to no agent
	}
	if err := message.Forget.Cast(r.Context(), a.Bus, message.HostAgent(in.Agent), message.InstanceRef{Instance: in.ID}); err != nil {
		a.Log.WarnContext(r.Context(), "the agent did not hear that its instance was deleted", "instance", in.ID, "agent", in.Agent, "err", err)
	}
	return reply{status: http.StatusAccepted}, nil
}

// instanceAction does the one action there is here: reset_status, an admin's way
// to stop whatever occupies an instance.
func (a *api) instanceAction(r request) (reply, error) {
	v, err := troveBody(r.Request)
	if err != nil {
		return reply{}, err
	}
	o, ok := v.(*object)
	if v == nil || ok && len(o.keys) == 0 {
		return reply{}, coffer.E(coffer.KindInvalid, "", "Invalid request body.")
	}
	if !ok {
		return reply{}, errPuzzle()
	}
	action := ""
	for _, k := range o.keys {
		switch k {
		case "restart", "resize", "promote_to_replica_source", "eject_replica_source", "reset_status":
			action = k
		}
	}
	in, err := a.instance(r, r.PathValue("id"))
	switch {
	case err != nil:
		return reply{}, err
	case action == "":
		return reply{}, errPuzzle()
	case action != "reset_status":
		return reply{}, coffer.E(coffer.KindUnsupported, "", "The '%s' operation is not supported for the '%s' datastore.", action, in.Datastore.Type)
	}
	reset := o.obj(action)
	if reset == nil {
		return reply{}, errPuzzle()
	}
	if !r.caller.Admin {
		rule := "instance:reset_status"
		if reset.has("force_delete") {
			rule = "instance:force_delete"
		}
		return reply{}, errPolicy(rule)
	}
	return reply{status: http.StatusAccepted}, a.stopAll(r, in)
}

// stopAll asks every running job of an instance to stop.
func (a *api) stopAll(r request, in coffer.Instance) error {
	for _, s := range []coffer.State{coffer.New, coffer.Building, coffer.Saving} {
		jobs, err := a.Records.Jobs(r.Context(), records.JobFilter{Project: in.Project, Instance: in.ID, State: s, Limit: records.MaxPage})
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if j.Kind == coffer.JobDelete {
				continue
			}
			if _, err := a.cancelJob(r, j); err != nil && !coffer.IsKind(err, coffer.KindConflict) {
				return err
			}
		}
	}
	return nil
}
