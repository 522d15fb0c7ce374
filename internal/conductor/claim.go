package conductor

import (
	"context"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
)

// claim makes the caller the job's one runner and answers with all that it
// needs. The same runner asking again gets the same answer.
func (c *Conductor) claim(ctx context.Context, a message.ClaimArgs) (message.Order, error) {
	w, err := c.mayClaim(ctx, a)
	if err != nil {
		return message.Order{}, err
	}
	job, err := c.Records.Claim(ctx, a.Job, a.Runner, c.Now())
	if err != nil {
		return message.Order{}, coffer.Wrap("claim the job", err)
	}
	w.Job = job
	o, err := c.order(ctx, w)
	if coffer.IsKind(err, coffer.KindUnavailable, coffer.KindUnknown, coffer.KindCanceled) || err == nil {
		return o, err // or the runner asks again
	}
	// The job is the caller's by now, and nothing can come of it: the reason is
	// written, since to the caller a conflict says that it never owned the job.
	if _, ferr := c.failed(ctx, w, message.DoneArgs{Kind: coffer.KindOf(err), Error: err.Error(), Hint: coffer.HintOf(err)}, nil); ferr != nil {
		return message.Order{}, ferr
	}
	return message.Order{}, err
}

// mayClaim keeps agents to their own jobs: backups of the instances that they look
// after, and on a host agent restores that no other host was named for. Where senders
// are proven, an agent that was let in for a database is given nobody's backups, and
// a job without an owner is nobody's. What it has read the answer is made of.
func (c *Conductor) mayClaim(ctx context.Context, a message.ClaimArgs) (w records.Work, err error) {
	const op = "claim the job"
	host, err := c.prove(ctx, a.Runner.Agent())
	if err != nil {
		return w, err
	}
	if !word(string(a.Runner)) || a.Runner.Agent() == "" || a.Runner.Boot() == "" {
		return w, coffer.E(coffer.KindInvalid, op, "it names no runner")
	}
	if w, err = c.Records.Work(ctx, a.Job); err != nil {
		return w, coffer.Wrap(op, err)
	}
	job := w.Job
	var owner coffer.AgentID
	open := c.Senders == nil
	switch {
	case job.Kind == coffer.JobBackup && w.Instance.ID == "":
		return w, errNoInstance(job)
	case job.Kind == coffer.JobBackup:
		owner = w.Instance.Agent
	case job.Kind == coffer.JobRestore && !host:
		return w, c.refuse(bus.Sender(ctx), "no host", "agent %s was not let in as a host of restores", a.Runner.Agent())
	case job.Spec.Target != nil:
		owner = job.Spec.Target.Agent
		open = open || job.Kind == coffer.JobRestore
	}
	if owner != a.Runner.Agent() && (owner != "" || !open) {
		return w, coffer.E(coffer.KindConflict, op, "job %s is another agent's", a.Job)
	}
	return w, nil
}

func errNoInstance(j coffer.Job) error {
	return coffer.E(coffer.KindNotFound, "read the instance", "no instance %s", j.Instance)
}

// order is all that the runner of a claimed job needs.
func (c *Conductor) order(ctx context.Context, w records.Work) (o message.Order, err error) {
	job := w.Job
	if w.Instance.ID == "" && job.Kind != coffer.JobRestore {
		return o, errNoInstance(job)
	}
	o = message.Order{
		Job: job.ID, Kind: job.Kind, Project: job.Project, Installation: c.Records.Installation(),
		Instance: w.Instance, Target: job.Spec.Target, Cancel: job.Cancel, Method: string(job.Spec.Method),
		Wanted: job.Spec.Wanted,
	}
	switch job.Kind {
	case coffer.JobBackup:
		err = c.backupOrder(ctx, w, &o)
	case coffer.JobRestore:
		err = c.restoreOrder(ctx, job, &o)
	default:
		err = coffer.E(coffer.KindUnsupported, "claim the job", "an agent does not run a %s", job.Kind)
	}
	return o, err
}

func (c *Conductor) backupOrder(ctx context.Context, w records.Work, o *message.Order) error {
	b := w.Backup
	if b.ID == "" {
		return coffer.E(coffer.KindNotFound, "read the backup", "no backup %s", w.Job.Backup)
	}
	o.Store, o.Container, o.Root, o.Depth = b.Store, b.Container, string(b.Root), b.Depth
	if src := w.Job.Spec.Synthesize; src != "" {
		o.Kind = message.Synthesis
		if _, err := c.chain(ctx, w.Job.Project, src, o); err != nil {
			return err
		}
	}
	if b.Parent != "" {
		chain, err := c.chain(ctx, w.Job.Project, b.Parent, o)
		if err != nil {
			return err
		}
		if err := sound(chain); err != nil {
			return err
		}
		o.Parent = &o.Chain[len(o.Chain)-1]
	}
	if o.Instance.Key != "" && c.Keys != nil {
		return coffer.Wrap("lay down the wrapped data key", c.Keys.Publish(ctx, o.Instance, b.Store, b.Container))
	}
	return nil
}

func (c *Conductor) restoreOrder(ctx context.Context, job coffer.Job, o *message.Order) error {
	if _, err := c.chain(ctx, job.Project, job.Backup, o); err != nil {
		return err
	}
	last := o.Chain[len(o.Chain)-1]
	o.Store, o.Container = last.Store, last.Container
	return nil
}

// chain fills in the whole chain that ends in id, checked.
func (c *Conductor) chain(ctx context.Context, p coffer.ProjectID, id coffer.BackupID, o *message.Order) ([]coffer.Backup, error) {
	chain, err := c.Records.Chain(ctx, p, id)
	if err != nil {
		return nil, coffer.Wrap("read the chain", err)
	}
	if err := coffer.CheckChain(chain); err != nil {
		return nil, err
	}
	for _, b := range chain {
		o.Chain = append(o.Chain, link(b))
	}
	return chain, nil
}

// sound refuses an increment onto a chain that is known to be damaged: it would be
// good in itself, and never restored.
func sound(chain []coffer.Backup) error {
	for _, b := range chain {
		if b.Verified.Damaged() {
			return coffer.E(coffer.KindNeedFull, "look at the chain that the increment stands on",
				"backup %s was found damaged: %s", b.ID, b.Verified.Text).WithHint("take a full backup of this instance")
		}
	}
	return nil
}

func link(b coffer.Backup) message.Link {
	l := message.Link{
		Backup: b.ID, Store: b.Store, Container: b.Container, ManifestSHA256: b.Manifest,
		Key: b.Key, Position: b.Position, Sizes: b.Sizes, Origin: b.Origin,
	}
	if b.Origin != coffer.OriginOwn {
		l.Location, l.Method = b.Location, b.Method
	}
	return l
}
