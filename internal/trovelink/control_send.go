package trovelink

import (
	"context"
	"errors"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/retry"
)

// boot stands in a runner's name for the life of a guest, of which Trove tells nothing.
// The agent's own is another one, so that nobody waits for the guest to be replaced
// before a failed backup is forgotten: it writes nothing into Coffer's stores.
const boot = "trove-guest"

// start sends a job to its guest. A guest that gets a backup twice takes it twice, so
// it is sent once: the row is claimed before, and the message is sent again only if
// the broker has returned it. Until a queue is there the intent stays due.
func (c *Control) start(ctx context.Context, b bus.Bus, in coffer.Instance, id coffer.JobID) error {
	const op = "send a backup to a Trove guest"
	to := message.GuestAgent(in.ID)
	if b.Pending(to) < 0 {
		return coffer.E(coffer.KindUnavailable, op, "guest %s has no queue", in.ID)
	}
	job, err := c.Records.JobByID(ctx, id)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if job.Kind != coffer.JobBackup {
		return coffer.E(coffer.KindUnsupported, op, "a Trove guest does no %s", job.Kind)
	}
	if job.State != coffer.New { // it was sent
		return nil
	}
	login, err := c.Login(ctx, in.Project)
	if err != nil {
		return coffer.Wrap("log in for the guest", err)
	}
	info, err := c.info(ctx, in, job, login)
	if err != nil {
		return err
	}
	runner := coffer.NewRunner(AgentOf(in.ID), boot)
	if _, err := c.Records.Claim(ctx, id, runner, c.Now()); err != nil {
		return coffer.Wrap(op, err)
	}
	return c.send(ctx, b, to, job, runner, info, login)
}

// send casts a claimed backup, again while the broker returns it. Whether a guest has
// got it may stay open, as when we die here: if it has not, it reports no begin, and
// the job is FAILED soon. It is never sent twice.
func (c *Control) send(ctx context.Context, b bus.Bus, to bus.Target, job coffer.Job, runner coffer.Runner, info BackupInfo, login Login) error {
	const op = "send a backup to a Trove guest"
	patience := c.resend
	if patience == (retry.Policy{}) {
		patience = retry.Policy{Min: 200 * time.Millisecond, Max: time.Second, For: 8 * time.Second}
	}
	var open error // sent, but to no known effect
	err := patience.Do(withContext(ctx, requestOf(job, info, login)), op, func(ctx context.Context) error {
		err := createBackup.Cast(ctx, b, to, createArgs{BackupInfo: info})
		if err != nil && !errors.Is(err, bus.ErrNobody) {
			open = err
			return nil
		}
		return err
	})
	ctx = context.WithoutCancel(ctx)
	text := "a Trove guest takes it: no commit is granted, nobody reads what it stores, and nothing proves who reports"
	if open != nil {
		text += "; whether it has the order is not known: " + open.Error()
	}
	if err == nil {
		return c.Records.AddEvents(ctx, job.ID, []coffer.Event{{At: c.Now(), Level: coffer.Warn, Code: Method, Text: text}})
	}
	_, ferr := c.Records.Fail(ctx, job.ID, runner, records.Ending{
		Kind: coffer.KindOf(err), Error: "the guest could not be reached: " + err.Error(), Hint: "ask again when the guest runs", Now: c.Now(),
	})
	return coffer.Wrap("write FAILED", ferr)
}

// info is the order in Trove's words.
func (c *Control) info(ctx context.Context, in coffer.Instance, job coffer.Job, login Login) (BackupInfo, error) {
	b, err := c.Records.BackupByID(ctx, job.Backup)
	if err != nil {
		return BackupInfo{}, coffer.Wrap("read the backup", err)
	}
	name := b.Container
	info := BackupInfo{
		ID: string(b.ID), Name: b.Name, Description: b.Description, InstanceID: string(in.ID), BackupType: b.Type,
		Datastore: in.Datastore.Type, DatastoreVersion: in.Datastore.Version, StorageDriver: "swift",
		SwiftContainer: &name, SwiftURL: login.Account,
	}
	if b.Parent == "" {
		return info, nil
	}
	p, err := c.Records.BackupByID(ctx, b.Parent)
	if err != nil {
		return BackupInfo{}, coffer.Wrap("read the parent", err)
	}
	if p.Method != Method {
		return BackupInfo{}, coffer.E(coffer.KindNeedFull, "read the parent", "backup %s is none of the guest's", p.ID).WithHint("take a full backup")
	}
	info.Parent = &Parent{Location: p.Location, Checksum: p.Checksum}
	return info, nil
}

// requestOf is the context that a Trove guest expects: who asks, with what it may
// reach the store, and the notification without which its handlers fail.
func requestOf(job coffer.Job, info BackupInfo, login Login) map[string]any {
	request := "req-" + string(job.ID)
	var parent any
	if job.Spec.Target == nil && info.Parent != nil {
		parent = info.Parent.Location
	}
	return map[string]any{
		"auth_token": login.Token, "user": login.User, "project_id": string(job.Project), "request_id": request, "roles": []string{"member"},
		"service_catalog": []any{map[string]any{
			"type": "object-store", "name": "swift", "endpoints": []any{map[string]any{"region": login.Region, "publicURL": login.Account}},
		}},
		"trove_notification": map[string]any{
			"notification_classname": "trove.common.notification.DBaaSBackupCreate", "request_id": request, "server_type": "guest",
			"client_ip": "127.0.0.1", "server_ip": "127.0.0.1", "tenant_id": string(job.Project), "name": info.Name,
			"instance_id": info.InstanceID, "description": info.Description, "parent_id": parent, "backup_id": info.ID,
		},
	}
}
