package api

import (
	"net/http"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/trove"
)

// maxKey bounds an Idempotency-Key, in bytes.
const maxKey = 255

// shaped reads and checks a body, and gives the object under its one key.
func (a *api) shaped(r request, s *schema, key string) (*object, error) {
	v, err := troveBody(r.Request)
	if err != nil {
		return nil, err
	}
	if err := s.validate(v); err != nil {
		return nil, err
	}
	o, ok := v.(*object)
	if !ok {
		return nil, errPuzzle()
	}
	return o.obj(key), nil
}

func (a *api) backupCreate(r request) (reply, error) {
	o, err := a.shaped(r, a.schemas.backup, "backup")
	if err != nil {
		return reply{}, err
	}
	container := o.str("swift_container")
	if !shellSafe(container) || !walled(container) {
		return reply{}, coffer.E(coffer.KindInvalid, "", "The value is not allowed: %s.", container)
	}
	if from := o.obj("restore_from"); from != nil {
		return a.backupImport(r, o, from)
	}
	if !o.has("instance") {
		return reply{}, coffer.E(coffer.KindInvalid, "", "instance is missing.")
	}
	in, err := a.instance(r, o.str("instance"))
	if err != nil {
		return reply{}, err
	}
	if in.Status != "ACTIVE" && in.Status != "HEALTHY" {
		return reply{}, errNotActionable(in.ID, in.Status)
	}
	b, err := a.createBackup(r, in, o, container)
	if err != nil {
		return reply{}, err
	}
	a.ring(r, coffer.JobID(b.ID))
	return reply{http.StatusAccepted, trove.BackupBody{Backup: backupView(b)}}, nil
}

func (a *api) createBackup(r request, in coffer.Instance, o *object, container string) (coffer.Backup, error) {
	key := r.Header.Get("Idempotency-Key")
	if len(key) > maxKey {
		return coffer.Backup{}, coffer.E(coffer.KindInvalid, "", "The Idempotency-Key is longer than %d bytes.", maxKey)
	}
	if len(a.Stores) == 0 {
		return coffer.Backup{}, coffer.E(coffer.KindUnsupported, "", "This server has no store for backups.").
			WithHint("name one in its configuration")
	}
	n := records.NewBackup{
		Project: in.Project, Instance: in.ID, Name: o.str("name"),
		Parent: coffer.BackupID(strings.ToLower(o.str("parent_id"))), Incremental: o.int("incremental") == 1,
		Container: container, Store: a.Stores[0], Key: key, Quota: a.Quota, Now: a.Now(),
	}
	var err error
	if n.Method, err = chosenMethod(r, o); err != nil {
		return coffer.Backup{}, err
	}
	if o.has("description") {
		d := o.str("description")
		n.Description = &d
	}
	if err := a.place(r, in, &n); err != nil {
		return coffer.Backup{}, err
	}
	b, err := a.Records.CreateBackup(r.Context(), n)
	switch {
	case coffer.IsKind(err, coffer.KindNotFound) && n.Parent != "":
		return coffer.Backup{}, errNothing(string(n.Parent))
	case coffer.IsKind(err, coffer.KindUnprocessable, coffer.KindBusy):
		return coffer.Backup{}, errNotActionable(in.ID, "BACKUP")
	case coffer.IsKind(err, coffer.KindQuota):
		return coffer.Backup{}, errQuota()
	}
	return b, err
}

// chosenMethod is how an admin wants the backup to be made; "" leaves it to the
// agent. A dump is never an increment.
func chosenMethod(r request, o *object) (coffer.Method, error) {
	name := o.str("method")
	if name == "" {
		return "", nil
	}
	if !r.caller.Admin {
		return "", refusal(http.StatusForbidden, trove.Forbidden, "Only an administrator chooses the method of a backup.")
	}
	m, err := coffer.ParseMethod(name)
	if err != nil {
		return "", coffer.E(coffer.KindInvalid, "", "%w", err).WithHint("%s", coffer.HintOf(err))
	}
	if !m.Increments() && (o.has("parent_id") || o.int("incremental") == 1) {
		return "", coffer.NoIncrement(m)
	}
	return m, nil
}

// place chooses the container, where that is not left to the records: where it is the
// project's own, and where a key is for this container too.
func (a *api) place(r request, in coffer.Instance, n *records.NewBackup) (err error) {
	n.Default = coffer.FillContainer(a.DefaultContainer, in.Project, in.ID)
	own := a.Placer != nil && a.Placer.Own(n.Store)
	if n.Container == "" && (own || n.Key != "") {
		if n.Container, err = a.strategy(r, in); err != nil {
			return err
		}
	}
	if !own {
		if n.Container == "" && n.Key != "" {
			n.Container = n.Default
		}
		return nil
	}
	used, wanted, err := a.Placer.Choose(r.Context(), n.Store, in.Project, in.ID, n.Container)
	if err != nil {
		return err
	}
	if n.Container = used; used != wanted {
		n.Wanted = wanted
	}
	return nil
}

// strategy is the container of the instance's strategy, else of the project's; "" is
// neither.
func (a *api) strategy(r request, in coffer.Instance) (string, error) {
	for _, id := range []coffer.InstanceID{in.ID, ""} {
		found, err := a.Records.Strategies(r.Context(), in.Project, &id)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return found[0].Container, nil
		}
	}
	return "", nil
}

func errNotActionable(id coffer.InstanceID, status string) error {
	return refusal(http.StatusUnprocessableEntity, trove.UnprocessableEntity, "Instance "+string(id)+
		" is not currently available for an action to be performed (instance status was "+status+").")
}

// shellSafe reports whether quoting s for a shell would change nothing: Trove's
// rule for a container in a request.
func shellSafe(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("@%+=:,./_-", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// walled reports whether s stays a name below its project: no component of it is
// empty or dots, and none holds a control character.
func walled(s string) bool {
	if s == "" {
		return true
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' })
}
