package api

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/rest"
)

func ownBackupView(b coffer.Backup, failed *rest.Error) rest.Backup {
	v := rest.Backup{
		ID: b.ID, Project: b.Project, Instance: b.Instance, Name: b.Name, State: b.State, Parent: b.Parent, Root: b.Root,
		Depth: b.Depth, Type: b.Type, Method: b.Method, Datastore: b.Datastore, Store: b.Store, Container: b.Container,
		Location: b.Location, Manifest: b.Manifest, Origin: b.Origin, Key: b.Key, Position: b.Position, Sizes: b.Sizes, Refs: b.Refs, Pins: b.Pins,
		Dying: b.Dying, Deleting: b.Deleting, Error: failed,
		CreatedAt: b.Created.UTC(), UpdatedAt: b.Updated.UTC(), EndedAt: orNilTime(b.Ended),
	}
	if !b.Verified.At.IsZero() {
		v.Verified = &b.Verified
	}
	return v
}

// ownBackup shows what Trove has no words for: sizes, position, verdict, the
// chain, and why a backup failed.
func (a *api) ownBackup(r request) (reply, error) {
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	chain, err := a.Records.Chain(r.Context(), b.Project, b.ID)
	if err != nil && !coffer.IsKind(err, coffer.KindCorrupt) {
		return reply{}, err
	}
	made, err := a.Records.Job(r.Context(), b.Project, coffer.JobID(b.ID))
	if err != nil { // that it is not there takes nothing away from the backup
		made = coffer.Job{}
	}
	out := rest.BackupBody{Backup: ownBackupView(b, whyFailed(b, made)), Chain: []coffer.BackupID{}}
	out.Backup.Synthesized = made.Spec.Synthesize
	for _, link := range chain {
		out.Chain = append(out.Chain, link.ID)
	}
	return reply{http.StatusOK, out}, nil
}

// whyFailed is a backup's error with the kind that its job knows.
func whyFailed(b coffer.Backup, made coffer.Job) *rest.Error {
	return problem(cmp.Or(made.ErrKind, coffer.KindInternal), b.Error, b.Hint)
}

// ownDelete is the delete that tells its job.
func (a *api) ownDelete(r request) (reply, error) {
	j, err := a.deleteBackup(r)
	if err != nil {
		return reply{}, err
	}
	return started(j), nil
}

// backupVerify starts a job that reads every byte of a backup.
func (a *api) backupVerify(r request) (reply, error) {
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	j, err := a.Records.CreateJob(r.Context(), records.NewJob{
		Kind: coffer.JobVerify, Project: b.Project, Instance: b.Instance, Backup: b.ID, Now: a.Now(),
	})
	if err != nil {
		return reply{}, err
	}
	a.ring(r, j.ID)
	return started(j), nil
}

// restoreCreate starts a restore into a folder or into a new instance, or of one table.
func (a *api) restoreCreate(r request) (reply, error) {
	var in rest.RestoreBody
	if err := ownBody(r.Request, &in); err != nil {
		return reply{}, err
	}
	t, err := checkTarget(r, in.Restore.Target)
	if err != nil {
		return reply{}, err
	}
	b, err := a.backup(r, string(in.Restore.Backup))
	if err != nil {
		return reply{}, err
	}
	if t, err = a.tableTarget(r, b, t); err != nil {
		return reply{}, err
	}
	if err := a.knownAgent(r, t.Agent); err != nil {
		return reply{}, err
	}
	j, _, err := a.startRestore(r, b, t)
	if err != nil {
		return reply{}, err
	}
	return started(j), nil
}

// checkTarget refuses a target that can never work: a folder that is not
// absolute, a port out of range, a name and a folder at once. A folder is of the
// agent's machine, which is the operator's.
func checkTarget(r request, t coffer.Target) (coffer.Target, error) {
	const op = "read the restore's target"
	switch {
	case t.Dir != "" && !strings.HasPrefix(t.Dir, "/"):
		return t, coffer.E(coffer.KindInvalid, op, "the folder %q is not an absolute path", t.Dir)
	case t.Dir != "" && (t.Name != "" || t.Port != 0):
		return t, coffer.E(coffer.KindInvalid, op, "a folder has neither a name nor a port").
			WithHint("leave out dir to make a running instance")
	case t.Port < 0 || t.Port > 65535:
		return t, coffer.E(coffer.KindInvalid, op, "%d is no port", t.Port)
	case len(t.Name) > 255 || len(t.Dir) > 4096:
		return t, coffer.E(coffer.KindInvalid, op, "the name or the folder is too long")
	}
	if t.Dir != "" && !r.caller.Admin {
		return t, coffer.E(coffer.KindForbidden, op, "only an admin may restore into a folder of a host").
			WithHint("leave out dir to make a running instance")
	}
	var err error
	if t.Way, err = coffer.ParseWay(string(t.Way)); err != nil {
		return t, err
	}
	t.Agent = coffer.AgentID(strings.ToLower(string(t.Agent)))
	if t.Table != nil {
		return t, checkTable(r, t)
	}
	return t, nil
}

// knownAgent refuses an agent that has never been heard of; "" is any.
func (a *api) knownAgent(r request, id coffer.AgentID) error {
	if id == "" {
		return nil
	}
	agents, err := a.Records.Agents(r.Context())
	if err != nil {
		return err
	}
	for _, g := range agents {
		if g.ID == id {
			return nil
		}
	}
	return coffer.E(coffer.KindNotFound, "find the agent", "no agent %s", id).WithHint("name none, and the one with the most room is taken")
}
