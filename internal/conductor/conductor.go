// Package conductor is the role that alone moves a running job. Agents call it:
// Claim makes one runner the owner of a job, Commit grants the write of a
// manifest, Report brings beats and progress, Done brings the last word. Each is
// one conditional change of a row, so calls may come twice, late or out of order.
//
// A conductor never believes that a backup is good: on Done it reads the commit
// record itself (package settle). What it cannot settle at once it marks lost,
// and the task manager's rescuer looks.
package conductor

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
)

// Drained is the counter that conductors raise whenever their queue is empty.
// Observers of leases count only intervals in which it moved: silence proves
// nothing while beats may be waiting in a queue.
const Drained = "drained"

// Records is what a conductor asks of the metadata.
type Records interface {
	Installation() coffer.InstallationID
	JobByID(context.Context, coffer.JobID) (coffer.Job, error)
	Work(context.Context, coffer.JobID) (records.Work, error)
	InstanceByID(context.Context, coffer.InstanceID) (coffer.Instance, error)
	InstancesOfAgent(context.Context, coffer.AgentID) ([]coffer.Instance, error)
	UpdateInstance(context.Context, coffer.Instance) error
	Chain(context.Context, coffer.ProjectID, coffer.BackupID) ([]coffer.Backup, error)
	Claim(context.Context, coffer.JobID, coffer.Runner, time.Time) (coffer.Job, error)
	Grant(context.Context, coffer.JobID, coffer.Runner, string, time.Time) (bool, string, error)
	Report(context.Context, records.Report) (bool, error)
	Fail(context.Context, coffer.JobID, coffer.Runner, records.Ending) (bool, error)
	Finish(context.Context, coffer.JobID, time.Time) (bool, error)
	MarkLost(context.Context, coffer.JobID, time.Time) error
	AddEvents(context.Context, coffer.JobID, []coffer.Event) error
	Heartbeat(context.Context, coffer.Agent) error
	RaiseCounter(context.Context, string) (uint64, error)
}

// KeyRing lays a backup's wrapped data key beside its archive before first use.
type KeyRing interface {
	// Publish makes sure that the wrapped key of in lies in the container.
	Publish(ctx context.Context, in coffer.Instance, storeName, container string) error
}

// Conductor serves the conductor's topic. Its fields are what it needs; Run is
// its life.
type Conductor struct {
	Records Records
	Bus     bus.Bus
	Settler *settle.Settler
	Keys    KeyRing
	Log     *slog.Logger
	Now     func() time.Time
	Workers int           // messages handled at once; 0 is 4
	Drain   time.Duration // how often an empty queue is noticed; 0 is 1 s
	// Senders proves who speaks; nil is a bus of this machine alone, where it need not.
	Senders Senders
	// Accounts lets an agent's account at the topics of the instances that it looks
	// after now; nil where accounts are not kept.
	Accounts func(context.Context, coffer.AgentID) error

	refused refusals
	granted grants
}

// Run serves until ctx ends and every running handler has returned. ready may be
// nil.
func (c *Conductor) Run(ctx context.Context, ready func()) error {
	n := c.Workers
	if n == 0 {
		n = 4
	}
	mux := c.mux()
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		var r func()
		if i == 0 {
			r = ready
		}
		g.Go(func() error { return c.Bus.Serve(ctx, message.Conductor, c.serve(mux), r) })
	}
	g.Go(func() error { return c.drain(ctx) })
	return g.Wait()
}

func (c *Conductor) mux() bus.Mux {
	mux := bus.Mux{}
	bus.Handle(mux, message.Claim, c.claim)
	bus.Handle(mux, message.Commit, c.commit)
	bus.Handle(mux, message.Report, c.report)
	bus.Handle(mux, message.Done, c.done)
	bus.Handle(mux, message.Heartbeat, c.heartbeat)
	return mux
}

func (c *Conductor) drain(ctx context.Context) error {
	every := c.Drain
	if every == 0 {
		every = time.Second
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if c.Bus.Pending(message.Conductor) != 0 { // some wait, or nobody can tell
			continue
		}
		if _, err := c.Records.RaiseCounter(ctx, Drained); err != nil && ctx.Err() == nil {
			c.Log.Warn("the records do not answer: no lease is counted", "err", err)
		}
	}
}

// commit is the grant: BUILDING → SAVING for one runner and one manifest. A
// refusal is final; an error is no answer, and the runner asks again.
func (c *Conductor) commit(ctx context.Context, a message.CommitArgs) (message.CommitReply, error) {
	if _, err := c.prove(ctx, a.Runner.Agent()); err != nil {
		return message.CommitReply{}, err
	}
	if !word(a.ManifestSHA256) {
		return message.CommitReply{}, coffer.E(coffer.KindInvalid, "grant the commit", "it names no manifest")
	}
	ok, why, err := c.Records.Grant(ctx, a.Job, a.Runner, a.ManifestSHA256, c.Now())
	if err != nil {
		return message.CommitReply{}, coffer.Wrap("grant the commit", err)
	}
	return message.CommitReply{Granted: ok, Reason: why}, nil
}

// Bounds of what one report may carry.
const (
	maxEvents = 64
	maxText   = 4096
)

func (c *Conductor) report(ctx context.Context, a message.ReportArgs) (message.None, error) {
	if _, err := c.prove(ctx, a.Runner.Agent()); err != nil {
		return message.None{}, err
	}
	_, err := c.Records.Report(ctx, records.Report{
		Job: a.Job, Runner: a.Runner, Seq: a.Seq, Beat: a.Beat, Phase: clip(a.Phase, 64),
		Progress: sane(a.Progress), Data: max(a.Data, 0), Events: bounded(a.Events, c.Now()), Now: c.Now(),
	})
	return message.None{}, coffer.Wrap("apply a report", err)
}

// bounded keeps what a runner may say in its diary: a few events of bounded
// text, with our own time.
func bounded(in []coffer.Event, now time.Time) []coffer.Event {
	if len(in) > maxEvents {
		in = in[:maxEvents]
	}
	out := make([]coffer.Event, 0, len(in))
	for _, e := range in {
		if e.Level != coffer.Warn && e.Level != coffer.Fail {
			e.Level = coffer.Info
		}
		if e.At.IsZero() || e.At.After(now) {
			e.At = now
		}
		e.Code, e.Text = clip(e.Code, 64), clip(e.Text, maxText)
		e.Facts = facts(e.Facts)
		out = append(out, e)
	}
	return out
}

// facts keeps a few, each of bounded length.
func facts(in map[string]string) map[string]string {
	if len(in) == 0 || len(in) > 16 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[clip(k, 64)] = clip(v, 512)
	}
	return out
}
