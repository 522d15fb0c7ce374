package api

import (
	"net/http"
	"slices"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/trove"
)

// instanceCreate makes an instance of a backup. An empty one, or a replica, this
// service does not make.
func (a *api) instanceCreate(r request) (reply, error) {
	o, err := a.shaped(r, a.schemas.instance, "instance")
	if err != nil {
		return reply{}, err
	}
	if o.has("replica_of") {
		return reply{}, a.refuseReplica(r, o)
	}
	if n := o.int("replica_count"); n > 1 {
		return reply{}, coffer.E(coffer.KindInvalid, "", "Replica count only valid when creating replicas. Cannot create %d instances.", n)
	}
	want, err := a.wantedDatastore(o.obj("datastore"))
	if err != nil {
		return reply{}, err
	}
	if f := flavorOf(o.vals["flavorRef"]); f != "" && f != flavorID {
		return reply{}, coffer.E(coffer.KindInvalid, "", "Resource %s cannot be found.", f)
	}
	point := o.obj("restorePoint")
	if point == nil {
		return reply{}, coffer.E(coffer.KindUnsupported, "", "An instance is made of a backup here: name one as restorePoint.").
			WithHint("a running database is registered with POST %s/{project}/instances", ownPrefix)
	}
	b, err := a.restorable(r, point.str("backupRef"), want, o.obj("volume"))
	if err != nil {
		return reply{}, err
	}
	_, in, err := a.startRestore(r, b, coffer.Target{Name: o.str("name")})
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, trove.InstanceBody{Instance: a.instanceView(r, in, false, true)}}, nil
}

// refuseReplica says what Trove says of a replica's request that cannot be, and
// of one that could be that it is not supported.
func (a *api) refuseReplica(r request, o *object) error {
	for _, k := range []struct{ key, word string }{
		{"flavorRef", "flavor"}, {"datastore", "datastore"}, {"volume", "volume"}, {"locality", "locality"},
	} {
		if o.has(k.key) {
			return coffer.E(coffer.KindInvalid, "", "Cannot specify %s when creating replicas.", k.word)
		}
	}
	in, err := a.instance(r, o.str("replica_of"))
	if err != nil {
		return err
	}
	return coffer.E(coffer.KindUnsupported, "", "The 'replication' operation is not supported for the '%s' datastore.", in.Datastore.Type)
}

// wantedDatastore is the product that a request names, or nil for any.
func (a *api) wantedDatastore(o *object) (*trove.DatastoreItem, error) {
	if o == nil || !o.has("type") {
		return nil, nil
	}
	name := o.str("type")
	d, ok := a.datastore(name)
	if !ok {
		return nil, errNoDatastore(name)
	}
	v := o.str("version")
	if v != "" && !slices.ContainsFunc(d.Versions, func(x trove.DatastoreVersion) bool { return x.ID == v || x.Name == v }) {
		return nil, coffer.E(coffer.KindInvalid, "", "Datastore version '%s' cannot be found.", v)
	}
	return &d, nil
}

// restorable finds a backup and checks, in Trove's order, that the request may
// restore it: there, whole, not larger than the volume, of the product.
func (a *api) restorable(r request, id string, want *trove.DatastoreItem, volume *object) (coffer.Backup, error) {
	b, err := a.backup(r, id)
	if err != nil {
		return coffer.Backup{}, err
	}
	if !b.State.Usable() {
		return coffer.Backup{}, coffer.E(coffer.KindConflict, "",
			"Unable to create instance because backup %s is not completed. Actual state: %s.", b.ID, b.State)
	}
	if volume != nil {
		size := volume.int("size")
		if b.Sizes.GiB() > float64(size) {
			return coffer.Backup{}, coffer.E(coffer.KindForbidden, "",
				"Backup is too large for given flavor or volume. Backup size: %v GBs. Available size: %d GBs.", b.Sizes.GiB(), size)
		}
	}
	if want != nil && want.Name != b.Datastore.Type {
		return coffer.Backup{}, coffer.E(coffer.KindInvalid, "",
			"The datastore from which the backup was taken, %s, does not match the destination datastore of %s.", b.Datastore.Type, want.Name)
	}
	return b, nil
}

// startRestore makes a restore's job and, if it makes a server, the row
// of the new instance, which is shown as BUILD until the job ends.
func (a *api) startRestore(r request, b coffer.Backup, t coffer.Target) (coffer.Job, coffer.Instance, error) {
	t, err := a.placed(r, b, t)
	if err != nil {
		return coffer.Job{}, coffer.Instance{}, err
	}
	n := records.NewJob{
		Kind: coffer.JobRestore, Project: b.Project, Backup: b.ID, Spec: coffer.Spec{Target: &t}, Now: a.Now(),
	}
	if t.Table != nil {
		n.Instance = t.Table.Into
	}
	if a.Keys != nil && t.Server() {
		id, err := a.layInstance(r, b, t)
		if err != nil {
			return coffer.Job{}, coffer.Instance{}, err
		}
		n.Instance = id
	}
	j, err := a.Records.CreateJob(r.Context(), n)
	if err != nil {
		a.dropLaid(r, n)
		return coffer.Job{}, coffer.Instance{}, err
	}
	a.ring(r, j.ID)
	if !t.Server() {
		return j, coffer.Instance{}, nil
	}
	in, err := a.Records.Instance(r.Context(), b.Project, j.Instance)
	return j, in, err
}

// layInstance keeps the row of a restored instance before its job, because its
// data key belongs to the instance's id.
func (a *api) layInstance(r request, b coffer.Backup, t coffer.Target) (coffer.InstanceID, error) {
	in := coffer.Instance{
		ID: coffer.InstanceID(coffer.NewUUID()), Project: b.Project, Name: t.Name, Kind: coffer.Hosted, Agent: t.Agent,
		Datastore: b.Datastore, Status: "BUILD", Created: a.Now(),
	}
	if in.Name == "" {
		in.Name = b.Name
	}
	var err error
	if in.Key, in.Recipient, err = a.Keys.NewDataKey(r.Context(), b.Store, b.Project, in.ID); err != nil {
		return "", coffer.Wrap("make the instance's data key", err)
	}
	return in.ID, a.Records.CreateInstance(r.Context(), in)
}

func (a *api) dropLaid(r request, n records.NewJob) {
	if n.Instance == "" {
		return
	}
	if err := a.Records.DeleteInstance(r.Context(), n.Project, n.Instance); err != nil {
		a.Log.WarnContext(r.Context(), "an instance that is not made stays in the records", "instance", n.Instance, "err", err)
	}
}
