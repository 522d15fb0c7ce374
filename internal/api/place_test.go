package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

// fleet makes agents h1…hn known, n with n TiB free, all of which answer a look but
// those with a reason.
func (s *service) fleet(host bool, reasons map[coffer.AgentID]string, ids ...coffer.AgentID) {
	s.t.Helper()
	for i, id := range ids {
		a := coffer.Agent{ID: id, Boot: "b", Host: host, DataDir: "/srv", Free: int64(i+1) << 40}
		if reasons[id] == "silent" {
			a.Seen = time.Now().Add(-time.Hour)
		}
		if err := s.db.Heartbeat(s.t.Context(), a); err != nil {
			s.t.Fatal(err)
		}
		s.serve(message.HostAgent(id), func(mux bus.Mux) {
			bus.Handle(mux, message.Look, func(context.Context, message.LookArgs) (message.LookReply, error) {
				out := message.LookReply{Dir: "/srv/" + string(id), Free: a.Free}
				if why := reasons[id]; why != "" {
					out.Stops = []string{why}
				}
				return out, nil
			})
		})
	}
}

// said is a plan's choice and what it says of the others.
func said(p rest.RestorePlan) string {
	out := fmt.Sprintf("%s in %s: %s %v", p.Target.Agent, p.Dir, p.Why, p.Stops)
	for _, o := range p.Others {
		out += fmt.Sprintf("\nnot %s: %s", o.ID, o.Reason)
	}
	return out
}

// A plan names the host that a restore would go to, and of every other why not; the
// restore then goes there.
func TestPlansSayWhere(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.fleet(true, map[coffer.AgentID]string{"h3": "silent", "h2": "it has no identity"}, "h0", "h1", "h2", "h3")
	in, c, ctx := s.instance(), s.client("alice"), t.Context()
	b := must[trove.Backup](t)(c.CreateBackup(ctx, trove.BackupCreate{Name: "b", Instance: string(in.ID)}, ""))
	id := coffer.BackupID(b.ID)
	s.complete(id)

	p := must[rest.RestorePlan](t)(c.PlanRestore(ctx, id, coffer.Target{Name: "n"}))
	want := `h1 in /srv/h1: the most room of 2 hosts []
not h3: not heard for 1h0m0s
not h2: it has no identity
not h0: less room than h1`
	if got := said(p); got != want || !p.Target.Chosen {
		t.Errorf("the plan says\n%s\nwant\n%s", got, want)
	}
	made := must[rest.Started](t)(c.Restore(ctx, rest.Restore{Backup: id, Target: p.Target}))
	j, err := s.db.JobByID(ctx, made.Job.ID)
	if err != nil || j.Spec.Target.Agent != "h1" || !j.Spec.Target.Chosen {
		t.Errorf("the job's row says %+v, %v", j.Spec.Target, err)
	}
	// Without a plan the rows decide; the task manager may choose anew.
	made = must[rest.Started](t)(c.Restore(ctx, rest.Restore{Backup: id, Target: coffer.Target{Name: "m"}}))
	if j, err = s.db.JobByID(ctx, made.Job.ID); err != nil || j.Spec.Target.Agent != "h2" || !j.Spec.Target.Chosen {
		t.Errorf("the job's row says %+v, %v", j.Spec.Target, err)
	}
	if p = must[rest.RestorePlan](t)(c.PlanRestore(ctx, id, coffer.Target{Agent: "h2"})); p.Target.Chosen || len(p.Stops) != 1 {
		t.Errorf("the plan of a named host says\n%s", said(p))
	}
}

// Files go to an agent of one machine, which need not run servers: the only one, or
// the one that is named.
func TestFilesNeedNoHost(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.fleet(false, nil, "d0")
	in, c, ctx := s.instance(), s.client("dave"), t.Context()
	b := must[trove.Backup](t)(c.CreateBackup(ctx, trove.BackupCreate{Name: "b", Instance: string(in.ID)}, ""))
	id := coffer.BackupID(b.ID)
	s.complete(id)
	files := coffer.Target{Dir: "/srv/x"}
	if p := must[rest.RestorePlan](t)(c.PlanRestore(ctx, id, files)); len(p.Stops) > 0 || p.Target.Agent != "d0" {
		t.Errorf("with one agent the plan says\n%s", said(p))
	}
	made := must[rest.Started](t)(c.Restore(ctx, rest.Restore{Backup: id, Target: files}))
	if j, err := s.db.JobByID(ctx, made.Job.ID); err != nil || j.Spec.Target.Agent != "d0" || j.Spec.Target.Chosen {
		t.Errorf("the job's row says %+v, %v", j.Spec.Target, err)
	}
	s.fleet(false, nil, "d1")
	if p := must[rest.RestorePlan](t)(c.PlanRestore(ctx, id, files)); len(p.Stops) != 1 || !strings.Contains(p.Stops[0], "one machine") {
		t.Errorf("with two agents the plan says\n%s", said(p))
	}
	_, err := c.Restore(ctx, rest.Restore{Backup: id, Target: files})
	wantKind(t, "files to any of two agents", err, coffer.KindInvalid)
	files.Agent = "d1"
	if p := must[rest.RestorePlan](t)(c.PlanRestore(ctx, id, files)); len(p.Stops) > 0 {
		t.Errorf("of a named agent the plan says\n%s", said(p))
	}
}
