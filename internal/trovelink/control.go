package trovelink

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/retry"
)

// Method is how a backup that a Trove guest made says so: that it is COMPLETED is the
// guest's word.
const Method = "trove-guest"

// phaseBegun is the phase of a job whose guest has reported that it has begun.
const phaseBegun = "at the guest"

// Records is what Control asks of the metadata.
type Records interface {
	InstanceByID(context.Context, coffer.InstanceID) (coffer.Instance, error)
	CreateInstance(context.Context, coffer.Instance) error
	BackupByID(context.Context, coffer.BackupID) (coffer.Backup, error)
	JobByID(context.Context, coffer.JobID) (coffer.Job, error)
	Running(context.Context) ([]coffer.Job, error)
	Claim(context.Context, coffer.JobID, coffer.Runner, time.Time) (coffer.Job, error)
	Report(context.Context, records.Report) (bool, error)
	Complete(context.Context, coffer.JobID, records.Completion) (bool, error)
	Fail(context.Context, coffer.JobID, coffer.Runner, records.Ending) (bool, error)
	AddEvents(context.Context, coffer.JobID, []coffer.Event) error
	Heartbeat(context.Context, coffer.Agent) error
	Agent(context.Context, coffer.AgentID) (coffer.Agent, error)
}

// Login is with what a guest reaches a project's object store.
type Login struct {
	Token   string // must live as long as a backup lasts
	User    string
	Account string // the URL of the project's account
	Region  string
}

// Control lets Coffer's task manager and conductor have guests that are Trove's own.
// Give both roles the bus that Over makes, and run Run beside the conductor.
type Control struct {
	Records Records
	// Login gives what the guests of a project may use.
	Login func(context.Context, coffer.ProjectID) (Login, error)
	Now   func() time.Time
	Log   *slog.Logger

	// A guest says nothing between the begin and the end of a backup. Its job lives
	// while its heartbeats come, and for no longer than Longest.
	Expiry  time.Duration // without a heartbeat it is silent; 0 is 90 s, as in Trove
	Longest time.Duration // 0 is 24 h
	Begin   time.Duration // how soon a guest reports that it has begun; 0 is 5 min
	Every   time.Duration // how often that is looked at; 0 is coffer.BeatEvery

	resend retry.Policy // of what the broker returns; zero is the usual one

	mu    sync.Mutex
	heard map[coffer.AgentID]heard
	begun map[coffer.JobID]time.Time
}

// heard is what this process has seen of a guest, on its own clock.
type heard struct {
	beat uint64
	at   time.Time
}

// AgentOf marks an instance as one with a Trove guest: its agent's id is its own.
func AgentOf(id coffer.InstanceID) coffer.AgentID { return coffer.AgentID(id) }

// IsGuest reports whether an instance has a Trove guest.
func IsGuest(in coffer.Instance) bool { return in.Agent == AgentOf(in.ID) && in.ID != "" }

// Adopt takes an instance that a Trove guest looks after into the records.
func (c *Control) Adopt(ctx context.Context, in coffer.Instance) error {
	in.Kind, in.Agent, in.Status, in.Conn, in.Key = coffer.Registered, AgentOf(in.ID), "ACTIVE", coffer.Conn{}, ""
	return c.Records.CreateInstance(ctx, in)
}

// Over is b for the two roles: what is cast to a Trove guest is put into Trove's
// words, and what a Trove guest says to the conductor is taken here.
func (c *Control) Over(b bus.Bus) bus.Bus { return &over{Bus: b, c: c} }

type over struct {
	bus.Bus
	c *Control
}

var _ bus.Bus = (*over)(nil)

// Cast implements bus.Bus.
func (o *over) Cast(ctx context.Context, to bus.Target, method string, body any) error {
	id, ok := strings.CutPrefix(to.Topic, message.GuestAgent("").Topic)
	if method == message.Forget.Name {
		id, ok = strings.CutPrefix(to.Topic, message.HostAgent("").Topic)
	}
	if !ok {
		return o.Bus.Cast(ctx, to, method, body)
	}
	in, err := o.c.Records.InstanceByID(ctx, coffer.InstanceID(id))
	if err != nil || !IsGuest(in) {
		return o.Bus.Cast(ctx, to, method, body)
	}
	if method != message.Start.Name {
		return nil // Trove knows no cancel, the backup goes on to its end; nor a forget
	}
	ref, ok := body.(message.JobRef)
	if !ok {
		return coffer.E(coffer.KindInternal, "send a backup to a Trove guest", "its body is %T", body)
	}
	return o.c.start(ctx, o.Bus, in, ref.Job)
}

// Serve implements bus.Bus.
func (o *over) Serve(ctx context.Context, at bus.Target, h bus.Handler, ready func()) error {
	if at.Topic != toConductor.Topic {
		return o.Bus.Serve(ctx, at, h, ready)
	}
	mux := o.c.mux()
	return o.Bus.Serve(ctx, at, func(ctx context.Context, m bus.Message) (any, error) {
		if f, ok := mux[m.Method]; ok && fromGuest(m) {
			return f(ctx, m)
		}
		return h(ctx, m)
	}, ready)
}

// fromGuest tells a message of Trove's from one of ours: both have a heartbeat.
func fromGuest(m bus.Message) bool {
	if m.Method != heartbeat.Name {
		return true
	}
	var b struct {
		InstanceID *string `json:"instance_id"`
	}
	return json.Unmarshal(m.Body, &b) == nil && b.InstanceID != nil
}

func (c *Control) mux() bus.Mux {
	mux := bus.Mux{}
	bus.Handle(mux, heartbeat, c.heartbeat)
	bus.Handle(mux, updateBackup, c.updateBackup)
	bus.Handle(mux, notifyEnd, func(context.Context, NoteEnd) (message.None, error) { return message.None{}, nil })
	bus.Handle(mux, notifyExcInfo, c.notifyFailed)
	return mux
}

// Run keeps the jobs of guests alive that are heard, until ctx ends.
func (c *Control) Run(ctx context.Context) error {
	every := c.Every
	if every == 0 {
		every = coffer.BeatEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := c.keepAlive(ctx); err != nil && ctx.Err() == nil {
				c.Log.Warn("could not look after the backups of Trove guests; will try again", "err", err)
			}
		}
	}
}

// keepAlive beats for every job whose guest is heard. One that is not beaten for is
// taken for lost by the task manager, as any other.
func (c *Control) keepAlive(ctx context.Context) error {
	jobs, err := c.Records.Running(ctx)
	if err != nil {
		return coffer.Wrap("list running jobs", err)
	}
	live := map[coffer.JobID]bool{}
	for _, j := range jobs {
		if j.Runner.Boot() != boot || j.State != coffer.Building {
			continue
		}
		live[j.ID] = true
		a, err := c.Records.Agent(ctx, j.Runner.Agent())
		if err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
			return coffer.Wrap("read when a guest was heard", err)
		}
		if !c.lives(j, a.Beat, time.Now()) {
			continue
		}
		r := records.Report{Job: j.ID, Runner: j.Runner, Seq: j.Seq + 1, Beat: j.Beat + 1, Progress: j.Progress, Now: c.Now()}
		if _, err := c.Records.Report(ctx, r); err != nil {
			return coffer.Wrap("beat for a guest", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.begun {
		if !live[id] {
			delete(c.begun, id)
		}
	}
	return nil
}

// lives says whether a job's guest was heard lately, and has not had it for too long,
// as far as this process has seen: it gives every guest a fresh term at its start.
func (c *Control) lives(j coffer.Job, beat uint64, now time.Time) bool {
	expiry, longest := cmp.Or(c.Expiry, 90*time.Second), cmp.Or(c.Longest, 24*time.Hour)
	if j.Phase != phaseBegun {
		longest = cmp.Or(c.Begin, 5*time.Minute)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard == nil {
		c.heard, c.begun = map[coffer.AgentID]heard{}, map[coffer.JobID]time.Time{}
	}
	agent := j.Runner.Agent()
	if h, ok := c.heard[agent]; !ok || h.beat != beat {
		c.heard[agent] = heard{beat, now}
	}
	if _, ok := c.begun[j.ID]; !ok {
		c.begun[j.ID] = now
	}
	return now.Sub(c.heard[agent].at) < expiry && now.Sub(c.begun[j.ID]) < longest
}
