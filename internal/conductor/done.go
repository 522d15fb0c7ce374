package conductor

import (
	"context"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
)

// done applies a runner's last word and answers with the state that the row has
// now. A runner that says "written" is not believed: the manifest is read.
func (c *Conductor) done(ctx context.Context, a message.DoneArgs) (message.DoneReply, error) {
	if _, err := c.prove(ctx, a.Runner.Agent()); err != nil {
		return message.DoneReply{}, err
	}
	w, err := c.Records.Work(ctx, a.Job)
	if err != nil {
		return message.DoneReply{}, coffer.Wrap("read the job", err)
	}
	if w.Job.Runner != a.Runner {
		return message.DoneReply{}, coffer.E(coffer.KindConflict, "end the job", "another runner owns it")
	}
	if !w.Job.State.Running() {
		return message.DoneReply{State: w.Job.State}, nil
	}
	state, err := c.end(ctx, w, a)
	if err != nil || state != "" {
		return message.DoneReply{State: state}, err
	}
	job, err := c.Records.JobByID(ctx, a.Job)
	return message.DoneReply{State: job.State}, coffer.Wrap("read the job", err)
}

// end gives the state that the job has now; "" is for who wants to know to look.
func (c *Conductor) end(ctx context.Context, w records.Work, a message.DoneArgs) (coffer.State, error) {
	job, said := w.Job, bounded(a.Events, c.Now())
	if job.Kind == coffer.JobBackup && job.State == coffer.Saving && a.Outcome == message.Written {
		return c.written(ctx, w, said)
	}
	if a.Outcome == message.Failed && (job.Kind != coffer.JobBackup || job.State != coffer.Saving) {
		return c.failed(ctx, w, a, said)
	}
	if err := c.keep(ctx, job, said); err != nil {
		return "", err
	}
	switch {
	case a.Outcome == message.Failed: // its manifest may be there
		return "", c.look(ctx, job, clip(a.Error, maxText))
	case a.Outcome == message.Ended && job.Kind == coffer.JobRestore:
		return "", c.restored(ctx, job, a)
	}
	return "", c.look(ctx, job, "its runner cannot say how it ended")
}

// keep writes the last of a job's diary where no move does so.
func (c *Conductor) keep(ctx context.Context, job coffer.Job, said []coffer.Event) error {
	if len(said) == 0 {
		return nil
	}
	return coffer.Wrap("keep the events", c.Records.AddEvents(ctx, job.ID, said))
}

// failed turns BUILDING into FAILED. The manifest of a backup may be there when older
// records were put back: it is looked for first, and a store that does not answer
// changes nothing.
func (c *Conductor) failed(ctx context.Context, w records.Work, a message.DoneArgs, said []coffer.Event) (coffer.State, error) {
	job := w.Job
	if job.Kind == coffer.JobBackup {
		if done, _, err := c.Settler.CompleteWork(ctx, w, said); err == nil && done {
			return coffer.Completed, nil
		}
	}
	end := records.Ending{Kind: known(a.Kind), Error: clip(a.Error, maxText), Hint: clip(a.Hint, maxText), Now: c.Now(), Events: said}
	if end.Error == "" {
		end.Error = "the runner gave no reason"
	}
	failed, err := c.Records.Fail(ctx, job.ID, job.Runner, end)
	if err != nil {
		return "", coffer.Wrap("write FAILED", err)
	}
	if !failed {
		return "", c.keep(ctx, job, said)
	}
	if job.Kind != coffer.JobRestore || job.Spec.Target == nil || !job.Spec.Target.Server() {
		return coffer.Failed, nil
	}
	return coffer.Failed, c.setInstance(ctx, job.Instance, func(in *coffer.Instance) { in.Status = "ERROR" })
}

func (c *Conductor) written(ctx context.Context, w records.Work, said []coffer.Event) (coffer.State, error) {
	done, why, err := c.Settler.CompleteWork(ctx, w, said)
	if err != nil {
		return "", err
	}
	if done {
		return coffer.Completed, nil
	}
	if err := c.keep(ctx, w.Job, said); err != nil {
		return "", err
	}
	return "", c.look(ctx, w.Job, why)
}

func (c *Conductor) restored(ctx context.Context, job coffer.Job, a message.DoneArgs) error {
	if job.Spec.Target != nil && !job.Spec.Target.Server() {
		a.Conn = nil // no instance was made
	}
	if a.Conn != nil {
		err := c.setInstance(ctx, job.Instance, func(in *coffer.Instance) {
			in.Status, in.Conn, in.Agent = "ACTIVE", clipConn(*a.Conn), job.Runner.Agent()
			if a.Datastore != nil {
				in.Datastore.Type, in.Datastore.Version = clip(a.Datastore.Type, 64), clip(a.Datastore.Version, 64)
				in.Datastore.VersionID = clip(a.Datastore.VersionID, 64)
			}
		})
		if err != nil {
			return err
		}
	}
	ok, err := c.Records.Finish(ctx, job.ID, c.Now())
	if err != nil || ok || a.Conn == nil {
		return coffer.Wrap("write COMPLETED", err)
	}
	// The rescuer was quicker: the runner hears FAILED and removes the server.
	return c.setInstance(ctx, job.Instance, func(in *coffer.Instance) { in.Status = "ERROR" })
}

func (c *Conductor) setInstance(ctx context.Context, id coffer.InstanceID, f func(*coffer.Instance)) error {
	in, err := c.Records.InstanceByID(ctx, id)
	if err != nil {
		return coffer.Wrap("read the instance", err)
	}
	f(&in)
	in.Updated = c.Now()
	return coffer.Wrap("write the instance", c.Records.UpdateInstance(ctx, in))
}

// look hands the job to the rescuer, once: who asks again meanwhile adds nothing.
func (c *Conductor) look(ctx context.Context, job coffer.Job, why string) error {
	if job.Lost {
		return nil
	}
	err := c.Records.AddEvents(ctx, job.ID, []coffer.Event{{
		At: c.Now(), Level: coffer.Warn, Code: "look", Text: "the store is looked at: " + why,
	}})
	if err != nil {
		return coffer.Wrap("keep the event", err)
	}
	return coffer.Wrap("hand the job to the rescuer", c.Records.MarkLost(ctx, job.ID, c.Now()))
}

// known is a kind that there is: the words of an agent are no more than that.
func known(k coffer.Kind) coffer.Kind {
	switch k {
	case coffer.KindInvalid, coffer.KindUnauthorized, coffer.KindForbidden, coffer.KindNotFound, coffer.KindExists,
		coffer.KindConflict, coffer.KindBusy, coffer.KindQuota, coffer.KindUnprocessable, coffer.KindUnsupported,
		coffer.KindUnavailable, coffer.KindUnknown, coffer.KindCorrupt, coffer.KindKept, coffer.KindNoSpace,
		coffer.KindNeedFull, coffer.KindTool, coffer.KindCanceled:
		return k
	}
	return coffer.KindInternal
}

func clipConn(c coffer.Conn) coffer.Conn {
	return coffer.Conn{
		Socket: clip(c.Socket, maxText), Host: clip(c.Host, 255), Port: max(0, min(c.Port, 65535)),
		CredentialsFile: clip(c.CredentialsFile, maxText), DataDir: clip(c.DataDir, maxText),
	}
}
