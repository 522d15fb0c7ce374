package api_test

import (
	"context"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

// tables makes an agent known that lists three tables and answers a look at one.
func (s *service) tables(id coffer.AgentID, looked func(message.LookArgs)) {
	s.t.Helper()
	if err := s.db.Heartbeat(s.t.Context(), coffer.Agent{ID: id, Boot: "b", Host: true, DataDir: "/srv", Free: 1 << 40}); err != nil {
		s.t.Fatal(err)
	}
	all := []message.TableRow{{Database: "a.b", Name: "t", Engine: "InnoDB", Size: 9, Plain: 8, Stored: 7}, {Database: "shop", Name: "orders"}, {Database: "shop", Name: "parts", Partitions: 2}}
	s.serve(message.HostAgent(id), func(mux bus.Mux) {
		bus.Handle(mux, message.Tables, func(_ context.Context, r message.TablesArgs) (message.TablesReply, error) {
			if len(r.Chain) != 1 || r.Chain[0].ManifestSHA256 == "" || r.Project != projA {
				s.t.Errorf("asked for the tables of %+v", r)
			}
			out := message.TablesReply{Plain: 2, Stored: 1}
			for _, x := range all {
				if len(out.Tables) < r.Limit && (x.Database+"\x00"+x.Name > r.After[0]+"\x00"+r.After[1]) {
					out.Tables = append(out.Tables, x)
				}
			}
			out.More = len(out.Tables) > 0 && out.Tables[len(out.Tables)-1] != all[len(all)-1]
			return out, nil
		})
		bus.Handle(mux, message.Look, func(_ context.Context, r message.LookArgs) (message.LookReply, error) {
			looked(r)
			return message.LookReply{Dir: "/srv", Free: 1 << 30, Read: 5 << 20, Need: 9 << 20, Tools: map[string]string{"mariadbd": "/x"}}, nil
		})
	})
}

func (s *service) backedUp(user string, in coffer.Instance) coffer.BackupID {
	s.t.Helper()
	b, err := s.client(user).CreateBackup(s.t.Context(), trove.BackupCreate{Name: "b", Instance: string(in.ID)}, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.complete(coffer.BackupID(b.ID))
	return coffer.BackupID(b.ID)
}

// The tables of a backup come in pages, from an agent that restores; of another
// project's backup nothing is told.
func TestTablesAreListed(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	in := s.instance()
	id := s.backedUp("alice", in)
	_, err := s.client("alice").Tables(t.Context(), id, "", 0)
	wantKind(t, "without an agent", err, coffer.KindUnavailable)
	s.tables("h1", nil)
	c, after := s.client("alice"), ""
	var got []string
	for range 3 {
		page := must[rest.Tables](t)(c.Tables(t.Context(), id, after, 1))
		if len(page.Tables) != 1 || page.PlainBytes != 2 || page.StoredBytes != 1 {
			t.Fatalf("a page is %+v", page)
		}
		got = append(got, coffer.TableText(page.Tables[0].Database, page.Tables[0].Name))
		after = page.Next
	}
	if want := "`a.b`.t shop.orders shop.parts"; strings.Join(got, " ") != want || after != "" {
		t.Errorf("listed are %q, then %q", got, after)
	}
	_, err = c.Tables(t.Context(), id, "no table", 1)
	wantKind(t, "a wrong marker", err, coffer.KindInvalid)
	_, err = s.client("bob").Tables(t.Context(), id, "", 0)
	wantKind(t, "another project's backup", err, coffer.KindNotFound)
}

// A table goes to the agent beside the instance of the project that it is loaded
// into; a file of a host is for an admin, and what cannot be is refused.
func TestTableTargets(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	in, ctx := s.instance(), t.Context()
	id := s.backedUp("alice", in)
	s.tables(agentID, func(r message.LookArgs) {
		if r.Conn != in.Conn || r.Target.Table.Into != in.ID {
			t.Errorf("the agent is asked to look at %+v for %+v", r.Conn, r.Target.Table)
		}
	})
	s.tables("h2", nil)
	c := s.client("alice")
	target := func(f func(*coffer.Table)) coffer.Target {
		x := coffer.Table{Database: "shop", Name: "orders"}
		if f != nil {
			f(&x)
		}
		return coffer.Target{Table: &x}
	}
	p := must[rest.RestorePlan](t)(c.PlanRestore(ctx, id, target(nil)))
	if p.Target.Agent != agentID || p.Target.Chosen || p.ReadBytes != 5<<20 || p.NeedBytes != 9<<20 || len(p.Stops) > 0 || p.Tools["mariadbd"] == "" {
		t.Errorf("the plan is %+v", p)
	}
	made := must[rest.Started](t)(c.Restore(ctx, rest.Restore{Backup: id, Target: p.Target}))
	j, err := s.db.JobByID(ctx, made.Job.ID)
	if err != nil || made.Instance != in.ID || j.Instance != in.ID || j.Spec.Target.Agent != agentID || j.Spec.Target.Chosen || j.Spec.Target.Table.Into != in.ID {
		t.Errorf("the job is %+v, %v", j.Spec.Target, err)
	}
	if all, err := c.Instances(ctx, ""); err != nil || len(all.Instances) != 1 || all.Instances[0].Status != "ACTIVE" {
		t.Errorf("instances: %+v, %v", all, err)
	}
	for name, bad := range map[string]struct {
		t    coffer.Target
		kind coffer.Kind
	}{
		"a path":             {target(func(x *coffer.Table) { x.Name = "../orders" }), coffer.KindInvalid},
		"system":             {target(func(x *coffer.Table) { x.Database = "mysql" }), coffer.KindForbidden},
		"a host's file":      {target(func(x *coffer.Table) { x.Dump = "/etc/cron.d/x" }), coffer.KindForbidden},
		"no such instance":   {target(func(x *coffer.Table) { x.Into = coffer.InstanceID(coffer.NewUUID()) }), coffer.KindNotFound},
		"another agent":      {coffer.Target{Agent: "h2", Table: &coffer.Table{Database: "shop", Name: "orders"}}, coffer.KindInvalid},
		"a server and table": {coffer.Target{Name: "n", Table: &coffer.Table{Database: "shop", Name: "orders"}}, coffer.KindInvalid},
		"step by step":       {coffer.Target{Way: coffer.Stepwise, Table: &coffer.Table{Database: "shop", Name: "orders"}}, coffer.KindInvalid},
	} {
		_, err := c.Restore(ctx, rest.Restore{Backup: id, Target: bad.t})
		wantKind(t, name, err, bad.kind)
		_, err = c.PlanRestore(ctx, id, bad.t)
		wantKind(t, name+", planned", err, bad.kind)
	}
	theirs := in
	theirs.ID, theirs.Project = coffer.InstanceID(coffer.NewUUID()), projB
	if err := s.db.CreateInstance(ctx, theirs); err != nil {
		t.Fatal(err)
	}
	_, err = c.Restore(ctx, rest.Restore{Backup: id, Target: target(func(x *coffer.Table) { x.Into = theirs.ID })})
	wantKind(t, "another project's instance", err, coffer.KindNotFound)
}
