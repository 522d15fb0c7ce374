package conductor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
)

// fleet is what the accounts of the tests are: agent-X, and host-X.
func fleet(account string) (coffer.AgentID, bool, bool) {
	if id, ok := strings.CutPrefix(account, "host-"); ok {
		return coffer.AgentID(id), true, true
	}
	id, ok := strings.CutPrefix(account, "agent-")
	return coffer.AgentID(id), false, ok
}

// wire is a conductor that hears messages as a broker delivers them.
type wire struct {
	*Conductor
	t   *testing.T
	db  *records.DB
	in  coffer.InstanceID
	log bytes.Buffer
}

func newWire(t *testing.T) *wire {
	c, db, in := newConductor(t, "")
	w := &wire{Conductor: c, t: t, db: db, in: in}
	c.Senders, c.Bus = fleet, local.New()
	c.Log = slog.New(slog.NewTextHandler(&w.log, nil))
	return w
}

// send is one message from an account.
func (w *wire) send(from, method string, args any) (any, error) {
	w.t.Helper()
	body, ok := args.(string)
	if !ok {
		b, err := json.Marshal(args)
		if err != nil {
			w.t.Fatal(err)
		}
		body = string(b)
	}
	return w.serve(w.mux())(w.t.Context(), bus.Message{Method: method, Body: json.RawMessage(body), From: from})
}

func (w *wire) must(_ any, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// rows is everything that an agent could wish to change.
func (w *wire) rows() string {
	w.t.Helper()
	ctx := w.t.Context()
	jobs, err := w.db.Jobs(ctx, records.JobFilter{All: true})
	w.must(nil, err)
	backups, err := w.db.Backups(ctx, records.BackupFilter{All: true})
	w.must(nil, err)
	ins, err := w.db.AllInstances(ctx, "", 0)
	w.must(nil, err)
	agents, err := w.db.Agents(ctx)
	w.must(nil, err)
	b, err := json.Marshal([]any{jobs, backups, ins, agents})
	w.must(nil, err)
	return string(b)
}

// What an agent says in another one's name is refused, whatever it is, changes
// nothing, and is logged once.
func TestForgedSenders(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	id := create(t, w.db, w.in)
	w.must(w.send("agent-a", "heartbeat", message.HeartbeatArgs{Agent: "a", Boot: "1"}))
	w.must(w.send("agent-a", "claim", message.ClaimArgs{Job: id, Runner: runner}))
	before := w.rows()
	forged := map[string]any{
		"claim":     message.ClaimArgs{Job: id, Runner: runner},
		"report":    message.ReportArgs{Job: id, Runner: runner, Seq: 1 << 63, Beat: 9, Phase: "forged"},
		"commit":    message.CommitArgs{Job: id, Runner: runner, ManifestSHA256: "forged"},
		"done":      message.DoneArgs{Job: id, Runner: runner, Outcome: message.Failed},
		"heartbeat": message.HeartbeatArgs{Agent: "a", Boot: "2"},
	}
	n := uint64(0)
	for _, from := range []string{"agent-b", "host-b", "", "coffer", "agent-a/1", "agent-"} {
		for method, args := range forged {
			for range 3 {
				_, err := w.send(from, method, args)
				n++
				if !coffer.IsKind(err, coffer.KindForbidden) && (method != "report" || err != nil) {
					t.Errorf("%s from %q: %v", method, from, err)
				}
			}
		}
	}
	if diff := cmp.Diff(before, w.rows()); diff != "" {
		t.Error(diff)
	}
	if w.Refused() != n {
		t.Errorf("%d counted, %d refused", w.Refused(), n)
	}
	if lines := strings.Count(w.log.String(), "\n"); lines != 6 {
		t.Errorf("%d lines of log for 6 senders, each with one reason:\n%s", lines, w.log.String())
	}
}

// An agent that is proven reaches its own jobs only: not another agent's, not another
// project's, not a restore unless it is a host, and not what has no owner.
func TestOwnJobsOnly(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	other := coffer.InstanceID(coffer.NewUUID())
	orphan := coffer.InstanceID(coffer.NewUUID())
	for id, agent := range map[coffer.InstanceID]coffer.AgentID{other: "b", orphan: ""} {
		w.must(nil, w.db.CreateInstance(t.Context(), coffer.Instance{ID: id, Project: project, Agent: agent, Status: "ACTIVE"}))
	}
	base := create(t, w.db, w.in)
	_, err := w.db.Claim(t.Context(), base, runner, time.Now())
	w.must(nil, err)
	_, err = w.db.Complete(t.Context(), base, records.Completion{Manifest: "m"})
	w.must(nil, err)
	restore, err := w.db.CreateJob(t.Context(), records.NewJob{
		Kind: coffer.JobRestore, Project: project, Backup: coffer.BackupID(base), Spec: coffer.Spec{Target: &coffer.Target{Name: "n"}},
	})
	w.must(nil, err)
	del, err := w.db.CreateJob(t.Context(), records.NewJob{Kind: coffer.JobVerify, Project: project, Backup: coffer.BackupID(base)})
	w.must(nil, err)
	foreign, ownerless := create(t, w.db, other), create(t, w.db, orphan)
	before := w.rows()
	for _, c := range []struct {
		name, from string
		job        coffer.JobID
		kind       coffer.Kind
	}{
		{"another agent's backup", "agent-a", foreign, coffer.KindConflict},
		{"a backup that nobody owns", "agent-a", ownerless, coffer.KindConflict},
		{"a restore, by an agent beside a database", "agent-a", restore.ID, coffer.KindForbidden},
		{"the task manager's own work", "host-a", del.ID, coffer.KindConflict},
	} {
		if _, err := w.send(c.from, "claim", message.ClaimArgs{Job: c.job, Runner: runner}); !coffer.IsKind(err, c.kind) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, r := range []coffer.Runner{"a", "a/", coffer.Runner("a/" + strings.Repeat("1", 500)), "a/1\x00"} {
		if _, err := w.send("agent-a", "claim", message.ClaimArgs{Job: base, Runner: r}); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("runner %.20q: %v", r, err)
		}
	}
	if diff := cmp.Diff(before, w.rows()); diff != "" {
		t.Error(diff)
	}
	if _, err := w.send("host-h", "claim", message.ClaimArgs{Job: restore.ID, Runner: "h/1"}); err != nil {
		t.Errorf("a host's claim: %v", err)
	}
}

// An agent that says "host" is one only if it was let in as one.
func TestOnlyHostsAreHosts(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	for _, from := range []string{"agent-a", "host-h"} {
		id, host, _ := fleet(from)
		w.must(w.send(from, "heartbeat", message.HeartbeatArgs{Agent: id, Boot: "1", Host: true, Free: -5}))
		a, err := w.db.Agent(t.Context(), id)
		if err != nil || a.Host != host || a.Free < 0 {
			t.Errorf("%s: %+v %v", from, a, err)
		}
	}
}

// Another life's runner, a sequence of 2^63 and a replay do no more than the job's own
// runner may do to its own job.
func TestSequences(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	id := create(t, w.db, w.in)
	w.must(w.send("agent-a", "claim", message.ClaimArgs{Job: id, Runner: runner}))
	w.must(w.send("agent-a", "report", message.ReportArgs{Job: id, Runner: runner, Seq: 5, Beat: 5, Phase: "copy"}))
	before := w.rows()
	w.must(w.send("agent-a", "report", message.ReportArgs{Job: id, Runner: runner, Seq: 5, Beat: 6, Phase: "replayed"}))
	w.must(w.send("agent-a", "report", message.ReportArgs{Job: id, Runner: runner, Seq: 4, Beat: 6, Phase: "old"}))
	w.must(w.send("agent-a", "report", message.ReportArgs{Job: id, Runner: "a/2", Seq: math.MaxUint64, Beat: 9, Phase: "another life"}))
	if diff := cmp.Diff(before, w.rows()); diff != "" {
		t.Error(diff)
	}
	if _, err := w.send("agent-a", "commit", message.CommitArgs{Job: id, Runner: runner, ManifestSHA256: ""}); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a commit of nothing: %v", err)
	}
	w.must(w.send("agent-a", "report", message.ReportArgs{Job: id, Runner: runner, Seq: 1 << 63, Beat: 1 << 63}))
	if j, err := w.db.JobByID(t.Context(), id); err != nil || j.Seq != math.MaxInt64 {
		t.Errorf("%+v %v", j, err)
	}
}

// What a report may carry is bounded: numbers, texts, events.
func TestHugeReports(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	id := create(t, w.db, w.in)
	w.must(w.send("agent-a", "claim", message.ClaimArgs{Job: id, Runner: runner}))
	huge := strings.Repeat("x\x00\xff", 3_000)
	events := make([]coffer.Event, 100)
	for i := range events {
		events[i] = coffer.Event{Level: "panic", Code: huge, Text: huge, Facts: map[string]string{huge: huge}, At: time.Now().Add(time.Hour)}
	}
	args := message.ReportArgs{
		Job: id, Runner: runner, Seq: 1, Beat: 1, Phase: huge, Data: -1, Events: events,
		Progress: coffer.Progress{Done: -1, Total: math.MaxInt64, Stored: math.MinInt64, Rate: 1e308, Detail: huge, Started: math.MaxInt64},
	}
	w.must(w.send("agent-a", "report", args))
	j, err := w.db.JobByID(t.Context(), id)
	w.must(nil, err)
	if p := j.Progress; p.Done != 0 || p.Total != 1<<60 || p.Stored != 0 || p.Rate != 0 || len(p.Detail) > maxText || len(j.Phase) > 64 {
		t.Errorf("%+v", j)
	}
	kept, err := w.db.Events(t.Context(), project, id, 0, 1000)
	w.must(nil, err)
	if len(kept) != maxEvents {
		t.Errorf("%d events", len(kept))
	}
	for _, e := range kept {
		if e.Level != coffer.Info || len(e.Text) > maxText || len(e.Code) > 64 || len(fmt.Sprint(e.Facts)) > 1000 || e.At.After(time.Now()) {
			t.Fatalf("%.200s", fmt.Sprint(e))
		}
	}
	if p := sane(coffer.Progress{Rate: math.NaN()}); p.Rate != 0 {
		t.Error("NaN is a rate")
	}
}

// What cannot be read changes nothing and is logged once, whatever comes.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	create(t, w.db, w.in)
	before := w.rows()
	for i := range 50 {
		for method, body := range map[string]string{
			"report": `{"job": 5`, "claim": `[]`, "heartbeat": `{"agent": {}}`, "done": `"x"`, "commit": ``,
			fmt.Sprint("method-", i): `{}`,
		} {
			_, err := w.send("agent-b", method, body)
			if err == nil && method != "report" {
				t.Errorf("%s %s is taken", method, body)
			}
		}
	}
	if diff := cmp.Diff(before, w.rows()); diff != "" {
		t.Error(diff)
	}
	if lines := strings.Count(w.log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines of log:\n%s", lines, w.log.String())
	}
}

// The log of refusals is bounded however many accounts there are.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	var r refusals
	logged := 0
	for i := range 5000 {
		if r.first(fmt.Sprint(i, strings.Repeat("x", 1000)), "x") {
			logged++
		}
	}
	if logged != maxRefusals || r.count() != 5000 || len(r.seen) > maxRefusals {
		t.Errorf("%d lines, %d counted, %d kept", logged, r.count(), len(r.seen))
	}
}

// A restore into files brings no server, whatever its runner says; and a failure has
// one of our kinds.
func TestLastWords(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	base := create(t, w.db, w.in)
	_, err := w.db.Claim(t.Context(), base, runner, time.Now())
	w.must(nil, err)
	_, err = w.db.Complete(t.Context(), base, records.Completion{Manifest: "m"})
	w.must(nil, err)
	files, err := w.db.CreateJob(t.Context(), records.NewJob{
		Kind: coffer.JobRestore, Project: project, Backup: coffer.BackupID(base), Instance: w.in,
		Spec: coffer.Spec{Target: &coffer.Target{Dir: "/srv/x", Agent: "h"}},
	})
	w.must(nil, err)
	w.must(w.send("host-h", "claim", message.ClaimArgs{Job: files.ID, Runner: "h/1"}))
	w.must(w.send("host-h", "done", message.DoneArgs{Job: files.ID, Runner: "h/1", Outcome: message.Ended, Conn: &coffer.Conn{Socket: "/evil"}}))
	in, err := w.db.InstanceByID(t.Context(), w.in)
	if err != nil || in.Agent != "a" || in.Conn.Socket != "" {
		t.Errorf("%+v %v", in, err)
	}
	id := create(t, w.db, w.in)
	w.must(w.send("agent-a", "claim", message.ClaimArgs{Job: id, Runner: runner}))
	w.must(w.send("agent-a", "done", message.DoneArgs{Job: id, Runner: runner, Outcome: message.Failed, Kind: "my own", Error: "e"}))
	if j, err := w.db.JobByID(t.Context(), id); err != nil || j.ErrKind != coffer.KindInternal {
		t.Errorf("%+v %v", j, err)
	}
}

// A restored server that crashed shows it, and that it is well again; an agent has a
// say in its own servers only, and only about those that it made.
func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	row := func(agent coffer.AgentID, kind coffer.InstanceKind, status string) coffer.InstanceID {
		id := coffer.InstanceID(coffer.NewUUID())
		w.must(nil, w.db.CreateInstance(t.Context(), coffer.Instance{ID: id, Project: project, Agent: agent, Kind: kind, Status: status}))
		return id
	}
	mine, broken := row("h", coffer.Hosted, "ACTIVE"), row("h", coffer.Hosted, "ERROR")
	registered, others := row("h", coffer.Registered, "ACTIVE"), row("x", coffer.Hosted, "ACTIVE")
	for _, c := range []struct{ health, want string }{
		{"CRASHED", "SHUTDOWN"}, {"", "SHUTDOWN"}, {"evil", "SHUTDOWN"}, {"HEALTHY", "ACTIVE"}, {"HEALTHY", "ACTIVE"},
	} {
		health := map[coffer.InstanceID]string{}
		for _, id := range []coffer.InstanceID{mine, broken, registered, others} {
			health[id] = c.health
		}
		r, err := w.send("host-h", "heartbeat", message.HeartbeatArgs{Agent: "h", Host: true, Health: health})
		w.must(nil, err)
		for id, want := range map[coffer.InstanceID]string{mine: c.want, broken: "ERROR", registered: "ACTIVE", others: "ACTIVE"} {
			if in, err := w.db.InstanceByID(t.Context(), id); err != nil || in.Status != want {
				t.Errorf("after %q %s is %s, not %s: %v", c.health, id, in.Status, want, err)
			}
		}
		for _, in := range r.(message.HeartbeatReply).Instances {
			if in.ID == mine && in.Status != c.want {
				t.Errorf("the answer says %s", in.Status)
			}
		}
	}
}

// A new agent's instance is rung for until it was looked at, and its account is let at
// what it looks after before it hears of that.
func TestNewcomers(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	var rung, granted int
	ready := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	heard := make(chan coffer.InstanceID, 10)
	go func() {
		mux := bus.Mux{}
		bus.Handle(mux, message.Enrolled, func(_ context.Context, r message.InstanceRef) (message.None, error) {
			heard <- r.Instance
			return message.None{}, nil
		})
		served <- w.Bus.Serve(ctx, message.Enrolment, mux.Serve, func() { close(ready) })
	}()
	<-ready
	fail := true
	w.Accounts = func(context.Context, coffer.AgentID) error {
		granted++
		if fail {
			return coffer.E(coffer.KindUnavailable, "x", "y")
		}
		return nil
	}
	beat := func() error {
		_, err := w.send("agent-n", "heartbeat", message.HeartbeatArgs{Agent: "n"})
		return err
	}
	w.must(nil, beat()) // nothing to look after: nothing to grant
	id := coffer.InstanceID(coffer.NewUUID())
	w.must(nil, w.db.CreateInstance(t.Context(), coffer.Instance{ID: id, Project: project, Agent: "n", Kind: coffer.Registered, Status: "BUILD"}))
	if err := beat(); err == nil {
		t.Error("an agent hears of an instance that the broker keeps from it")
	}
	fail = false
	w.must(nil, beat())
	w.must(nil, beat())
	if granted != 2 {
		t.Errorf("granted %d times", granted)
	}
	for rung < 2 {
		if got := <-heard; got != id {
			t.Errorf("rang for %s", got)
		}
		rung++
	}
	w.must(nil, w.setInstance(t.Context(), id, func(in *coffer.Instance) { in.Status = "ACTIVE" }))
	w.must(nil, beat())
	stop()
	if err := <-served; err != nil || len(heard) != 0 {
		t.Errorf("%d more bells: %v", len(heard), err)
	}
}
