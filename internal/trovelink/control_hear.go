package trovelink

import (
	"context"
	"math"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
)

// heartbeat notes that a guest lives.
func (c *Control) heartbeat(ctx context.Context, b Beat) (message.None, error) {
	in, err := c.guest(ctx, b.InstanceID)
	if err != nil {
		return message.None{}, err
	}
	agent := AgentOf(in.ID)
	a, err := c.Records.Agent(ctx, agent)
	if err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
		return message.None{}, coffer.Wrap("read the guest", err)
	}
	return message.None{}, c.Records.Heartbeat(ctx, coffer.Agent{ID: agent, Boot: "trove", Version: "trove", Beat: a.Beat + 1, Seen: c.Now()})
}

// guest is an instance whose guest is Trove's.
func (c *Control) guest(ctx context.Context, id string) (coffer.Instance, error) {
	in, err := c.Records.InstanceByID(ctx, coffer.InstanceID(id))
	if err != nil {
		return in, coffer.Wrap("find the guest", err)
	}
	if !IsGuest(in) || in.Deleted {
		return in, coffer.E(coffer.KindForbidden, "hear a guest", "instance %.40q has none of Trove's", id)
	}
	return in, nil
}

// running is the running backup of a guest that a report is about. Reports are told
// apart by the state that they say and by the row's, which only moves on; the time
// that they carry is not looked at, so a clock that was set back loses none.
func (c *Control) running(ctx context.Context, instance, backup string) (coffer.Job, bool, error) {
	in, err := c.guest(ctx, instance)
	if err != nil {
		return coffer.Job{}, false, err
	}
	j, err := c.Records.JobByID(ctx, coffer.JobID(backup))
	if err != nil {
		return j, false, coffer.Wrap("find the backup", err)
	}
	if j.Kind != coffer.JobBackup || j.Instance != in.ID || j.Runner != coffer.NewRunner(AgentOf(in.ID), boot) {
		return j, false, coffer.E(coffer.KindForbidden, "hear a guest", "backup %.40q is none that guest %s was given", backup, in.ID)
	}
	return j, j.State == coffer.Building, nil
}

// updateBackup takes of a guest's report what it may say: the size, and how it ended.
// Any other column of the row is not its to write.
func (c *Control) updateBackup(ctx context.Context, u Update) (message.None, error) {
	j, runs, err := c.running(ctx, u.InstanceID, u.BackupID)
	if err != nil || !runs {
		return message.None{}, err
	}
	if u.Size != nil && (math.IsNaN(*u.Size) || *u.Size < 0 || *u.Size > 1<<33) {
		return message.None{}, coffer.E(coffer.KindInvalid, "hear a guest", "the size %v is none", *u.Size)
	}
	switch u.State {
	case building:
		_, err = c.Records.Report(ctx, records.Report{
			Job: j.ID, Runner: j.Runner, Seq: j.Seq + 1, Beat: j.Beat + 1, Phase: phaseBegun, Progress: j.Progress, Data: bytesOf(u.Size), Now: c.Now(),
		})
	case completed:
		err = c.complete(ctx, j, u)
	case failed:
		_, err = c.Records.Fail(ctx, j.ID, j.Runner, records.Ending{
			Kind: coffer.KindTool, Error: "the guest reports that the backup failed", Hint: "its reason follows as an event of the job", Now: c.Now(),
		})
	default:
		err = coffer.E(coffer.KindInvalid, "hear a guest", "a guest cannot say that a backup is %.20q", u.State)
	}
	return message.None{}, err
}

// bytesOf is a size in GiB.
func bytesOf(size *float64) int64 {
	if size == nil {
		return 0
	}
	return int64(*size * gib)
}

// complete believes the guest that its backup is stored, as far as what it says can
// be true: the object is named after the backup and lies in its container.
func (c *Control) complete(ctx context.Context, j coffer.Job, u Update) error {
	const op = "hear that a guest's backup is stored"
	b, err := c.Records.BackupByID(ctx, j.Backup)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	_, name, object, err := split(u.Location)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(object, string(b.ID)+".") || name != b.Container || len(u.Location) > 1024 {
		return coffer.E(coffer.KindForbidden, op, "%.200q is not where backup %s goes", u.Location, b.ID)
	}
	if !isMD5(u.Checksum) {
		return coffer.E(coffer.KindInvalid, op, "the checksum %.40q is none", u.Checksum)
	}
	kind := ""
	if u.BackupType == "full" || u.BackupType == "incremental" {
		kind = u.BackupType
	}
	_, err = c.Records.Complete(ctx, j.ID, records.Completion{
		Sizes: coffer.Sizes{Data: bytesOf(u.Size)}, Location: u.Location, Checksum: u.Checksum, Type: kind, Method: Method, Now: c.Now(),
	})
	return coffer.Wrap(op, err)
}

func isMD5(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// notifyFailed keeps a guest's reason: in the job's diary, and as its error if it is
// heard before the report that says FAILED. The two come in any order, or at once.
func (c *Control) notifyFailed(ctx context.Context, n NoteFailed) (message.None, error) {
	instance, _ := n.Note["instance_id"].(string)
	backup, _ := n.Note["backup_id"].(string)
	if backup == "" {
		return message.None{}, nil // about something else
	}
	j, runs, err := c.running(ctx, instance, backup)
	if err != nil {
		return message.None{}, err
	}
	if !runs && j.State != coffer.Failed {
		return message.None{}, nil
	}
	reason := "the guest says: " + clipTo(n.Message, 4000)
	err = c.Records.AddEvents(ctx, j.ID, []coffer.Event{{At: c.Now(), Level: coffer.Fail, Code: Method, Text: reason}})
	if err == nil && runs {
		_, err = c.Records.Fail(ctx, j.ID, j.Runner, records.Ending{Kind: coffer.KindTool, Error: reason, Now: c.Now()})
	}
	return message.None{}, err
}
