package api_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

func wantKind(t *testing.T, what string, err error, want coffer.Kind) {
	t.Helper()
	if got := coffer.KindOf(err); got != want {
		t.Errorf("%s: kind %q, want %q (%v)", what, got, want, err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A backup from create to delete, as the command line sees it.
func TestLifeOfABackup(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.agent(nil, message.LookReply{Dir: "/srv", Free: 10 << 30, Tools: map[string]string{"mariadb-backup": "/usr/bin/mariadb-backup"}})
	in, c, ctx := s.instance(), s.client("alice"), t.Context()

	ask := trove.BackupCreate{Name: "first", Instance: string(in.ID)}
	b := must[trove.Backup](t)(c.CreateBackup(ctx, ask, "key-1"))
	if again := must[trove.Backup](t)(c.CreateBackup(ctx, ask, "key-1")); again.ID != b.ID {
		t.Errorf("the same key made %s and %s", b.ID, again.ID)
	}
	ask.Name = "other"
	_, err := c.CreateBackup(ctx, ask, "key-1")
	wantKind(t, "another request under the same key", err, coffer.KindConflict)
	id := coffer.BackupID(b.ID)
	s.heard(coffer.JobID(id))
	_, err = c.DeleteBackup(ctx, id, false)
	wantKind(t, "delete while it runs", err, coffer.KindUnprocessable)

	s.complete(id)
	var seen []string
	j := must[rest.Job](t)(c.Wait(ctx, coffer.JobID(id), 0, func(e rest.Events) {
		for _, x := range e.Events {
			seen = append(seen, x.Code)
		}
	}))
	if j.State != coffer.Completed || !strings.Contains(strings.Join(seen, " "), "copy.begun") {
		t.Errorf("waited to %s, events %v", j.State, seen)
	}
	d := must[rest.BackupBody](t)(c.BackupDetail(ctx, id))
	if d.Backup.Position.To != 42 || d.Backup.Sizes.Stored != 1<<30 || len(d.Chain) != 1 {
		t.Errorf("detail %+v", d)
	}

	child := must[trove.Backup](t)(c.CreateBackup(ctx, trove.BackupCreate{Name: "second", Instance: string(in.ID), Incremental: 1}, ""))
	if child.ParentID == nil || *child.ParentID != b.ID {
		t.Fatalf("parent %v, want %s", child.ParentID, b.ID)
	}
	s.complete(coffer.BackupID(child.ID))

	p := must[rest.RestorePlan](t)(c.PlanRestore(ctx, coffer.BackupID(child.ID), coffer.Target{Name: "new"}))
	if len(p.Stops) != 0 || len(p.Chain) != 2 || p.ReadBytes != 2<<30 || p.NeedBytes < 4<<30 || p.Target.Agent != agentID {
		t.Errorf("plan %+v", p)
	}
	if p.Method != coffer.Stepwise || !strings.Contains(p.Reason, "lists of its pages") {
		t.Errorf("the chain is restored %s: %s", p.Method, p.Reason)
	}
	merged := coffer.Target{Name: "new", Way: coffer.Merged}
	p = must[rest.RestorePlan](t)(c.PlanRestore(ctx, coffer.BackupID(child.ID), merged))
	if len(p.Stops) != 1 || !strings.Contains(p.Stops[0], "restore it step-by-step") {
		t.Errorf("merged as asked: stops %q", p.Stops)
	}
	_, err = c.Restore(ctx, rest.Restore{Backup: coffer.BackupID(child.ID), Target: merged})
	wantKind(t, "a merge that is not safe", err, coffer.KindUnsupported)
	_, err = c.Restore(ctx, rest.Restore{Backup: coffer.BackupID(child.ID), Target: coffer.Target{Name: "new", Way: "sideways"}})
	wantKind(t, "a way that there is not", err, coffer.KindInvalid)
	v := must[rest.Started](t)(c.Verify(ctx, id))
	if v.Job.Kind != coffer.JobVerify || v.Job.Backup != id {
		t.Errorf("verify's job %+v", v.Job)
	}
	_, err = c.Synthesize(ctx, id, rest.Synthesize{})
	wantKind(t, "join a full", err, coffer.KindConflict)
	_, err = c.Synthesize(ctx, coffer.BackupID(child.ID), rest.Synthesize{Name: strings.Repeat("x", 256)})
	wantKind(t, "a long name", err, coffer.KindInvalid)
	_, err = c.DeleteBackup(ctx, id, true)
	wantKind(t, "delete while it is read", err, coffer.KindConflict)
	if got := must[rest.Job](t)(c.Cancel(ctx, v.Job.ID)); !got.Cancel || got.State != coffer.Failed {
		t.Errorf("cancelled before it began: %+v", got)
	}
	s.deleteChain(c, id, coffer.BackupID(child.ID))
	if logs := s.logs.String(); logs != "" {
		t.Errorf("errors were logged:\n%s", logs)
	}
}

// deleteChain: a parent is refused, and taken with its child when forced.
func (s *service) deleteChain(c *client.Client, parent, child coffer.BackupID) {
	t, ctx := s.t, s.t.Context()
	t.Helper()
	_, err := c.DeleteBackup(ctx, parent, false)
	wantKind(t, "delete a parent", err, coffer.KindConflict)
	if coffer.HintOf(err) == "" {
		t.Error("the refusal has no hint")
	}
	plan := must[rest.DeletePlan](t)(c.PlanDelete(ctx, parent, false))
	if len(plan.Stops) != 1 {
		t.Errorf("plan %+v", plan)
	}
	plan = must[rest.DeletePlan](t)(c.PlanDelete(ctx, parent, true))
	if len(plan.Stops) != 0 || len(plan.Deletes) != 2 || plan.Deletes[0].ID != child || plan.FreeBytes != 2<<30 {
		t.Errorf("forced plan %+v", plan)
	}
	del := must[rest.Started](t)(c.DeleteBackup(ctx, parent, true))
	if again := must[rest.Started](t)(c.DeleteBackup(ctx, parent, true)); again.Job.ID != del.Job.ID {
		t.Errorf("asked again: job %s, want %s", again.Job.ID, del.Job.ID)
	}
	for _, b := range []coffer.BackupID{child, parent} {
		if err := s.db.Deleted(ctx, b, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.Backup(ctx, parent)
	wantKind(t, "show after the delete", err, coffer.KindNotFound)
	if j := must[rest.Job](t)(c.Wait(ctx, del.Job.ID, 0, nil)); j.State != coffer.Completed {
		t.Errorf("the delete is %s", j.State)
	}
}

// A failed job's kind, text and hint reach whoever waits for it.
func TestWaitTellsWhyAJobFailed(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	in, c := s.instance(), s.client("alice")
	b := must[trove.Backup](t)(c.CreateBackup(t.Context(), trove.BackupCreate{Name: "b", Instance: string(in.ID)}, ""))
	go func() {
		if _, err := s.db.Fail(t.Context(), coffer.JobID(b.ID), "", records.Ending{Kind: coffer.KindNeedFull, Error: "no", Hint: "take a full"}); err != nil {
			t.Error(err)
		}
	}()
	j, err := c.Wait(t.Context(), coffer.JobID(b.ID), 0, nil)
	wantKind(t, "wait", err, coffer.KindNeedFull)
	if j.State != coffer.Failed || coffer.HintOf(err) != "take a full" {
		t.Errorf("job %+v, hint %q", j, coffer.HintOf(err))
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	c, ctx := s.client("dave"), t.Context() // an admin in alice's project
	want := rest.Register{Name: "db", Conn: coffer.Conn{Socket: "/run/db.sock", CredentialsFile: "/etc/coffer/db.cnf"}}
	_, err := s.client("alice").Register(ctx, want)
	wantKind(t, "no admin: another project's socket would do", err, coffer.KindForbidden)
	_, err = c.Register(ctx, want)
	wantKind(t, "without an agent", err, coffer.KindInvalid)

	var asked message.RegisterArgs
	var refuse error
	s.agent(func(a message.RegisterArgs) (message.RegisterReply, error) {
		asked = a
		return message.RegisterReply{
			Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Conn: coffer.Conn{Socket: a.Conn.Socket, DataDir: "/var/lib/mysql"},
			DataBytes: 5 << 30, ProbeObject: "probe/x", ProbeSHA256: "abc", Warnings: []string{"log_bin is off"},
		}, refuse
	}, message.LookReply{})
	got := must[rest.InstanceBody](t)(c.Register(ctx, want))
	if asked.Project != projA || asked.Instance != got.Instance.ID || asked.StoreName != "main" || asked.Conn != want.Conn {
		t.Errorf("asked %+v", asked)
	}
	if got.Instance.VolumeGiB != 5 || got.Instance.Conn.DataDir != "/var/lib/mysql" || got.Instance.Datastore.VersionID == "" {
		t.Errorf("instance %+v", got.Instance)
	}
	if diff := cmp.Diff([]string{"log_bin is off"}, got.Warnings); diff != "" {
		t.Error(diff)
	}
	list := must[rest.Instances](t)(c.Instances(ctx, ""))
	if len(list.Instances) != 1 || list.Next != "" {
		t.Errorf("list %+v", list)
	}

	s.probe = coffer.E(coffer.KindNotFound, "read the probe", "it is not there")
	_, err = c.Register(ctx, want)
	wantKind(t, "a store that is not the same", err, coffer.KindUnprocessable)
	if !strings.Contains(err.Error(), "it is not there") {
		t.Errorf("the reason is missing: %v", err)
	}
	s.probe, refuse = nil, coffer.E(coffer.KindForbidden, "look at the server", "access denied").WithHint("grant RELOAD")
	_, err = c.Register(ctx, want)
	wantKind(t, "a server that refuses", err, coffer.KindUnprocessable)
	if coffer.HintOf(err) != "grant RELOAD" {
		t.Errorf("hint %q", coffer.HintOf(err))
	}
	if n := len(must[rest.Instances](t)(c.Instances(ctx, "")).Instances); n != 1 {
		t.Errorf("%d instances after refusals, want 1", n)
	}
}

// A restore makes an instance in BUILD; into a folder it makes none.
func TestRestore(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.agent(nil, message.LookReply{})
	in, c, ctx := s.instance(), s.client("alice"), t.Context()
	b := must[trove.Backup](t)(c.CreateBackup(ctx, trove.BackupCreate{Name: "b", Instance: string(in.ID)}, ""))
	id := coffer.BackupID(b.ID)
	_, err := c.Restore(ctx, rest.Restore{Backup: id, Target: coffer.Target{Name: "n"}})
	wantKind(t, "restore of a running backup", err, coffer.KindConflict)
	s.complete(id)
	made := must[rest.Started](t)(c.Restore(ctx, rest.Restore{Backup: id, Target: coffer.Target{Name: "n"}}))
	if got := must[trove.Instance](t)(c.TroveInstance(ctx, made.Instance)); got.Status != "BUILD" || got.Name != "n" {
		t.Errorf("instance %+v", got)
	}
	_, err = c.CreateBackup(ctx, trove.BackupCreate{Name: "x1", Instance: string(made.Instance)}, "")
	wantKind(t, "backup of an instance in BUILD", err, coffer.KindUnprocessable)
	wantKind(t, "delete of an instance in BUILD", c.DeleteInstance(ctx, made.Instance), coffer.KindUnprocessable)
	old := must[trove.Instance](t)(c.CreateInstance(ctx, trove.InstanceCreate{Name: "n2", RestorePoint: &trove.RestorePoint{BackupRef: b.ID}}))
	if old.Status != "BUILD" {
		t.Errorf("Trove's restore: %+v", old)
	}
	_, err = c.Restore(ctx, rest.Restore{Backup: id, Target: coffer.Target{Dir: "/srv/x"}})
	wantKind(t, "a folder of the host, for no admin", err, coffer.KindForbidden)
	dir := must[rest.Started](t)(s.client("dave").Restore(ctx, rest.Restore{Backup: id, Target: coffer.Target{Dir: "/srv/x"}}))
	if dir.Instance != "" {
		t.Errorf("a folder made instance %s", dir.Instance)
	}
	for what, target := range map[string]coffer.Target{
		"relative folder": {Dir: "x"}, "folder and name": {Dir: "/x", Name: "n"}, "port": {Port: 70000},
	} {
		_, err := c.Restore(ctx, rest.Restore{Backup: id, Target: target})
		wantKind(t, what, err, coffer.KindInvalid)
	}
	_, err = c.Restore(ctx, rest.Restore{Backup: id, Target: coffer.Target{Agent: "nobody"}})
	wantKind(t, "unknown agent", err, coffer.KindNotFound)
	if j := must[rest.Jobs](t)(c.Jobs(ctx, client.JobQuery{Kind: coffer.JobRestore})); len(j.Jobs) != 3 {
		t.Errorf("%d restore jobs, want 3", len(j.Jobs))
	}
}

// Nothing of a project shows in another one, on any route; only an admin sees all.
func TestWalls(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.agent(nil, message.LookReply{})
	in, alice, bob, ctx := s.instance(), s.client("alice"), s.client("bob"), t.Context()
	b := must[trove.Backup](t)(alice.CreateBackup(ctx, trove.BackupCreate{Name: "b", Instance: string(in.ID)}, ""))
	id, job := coffer.BackupID(b.ID), coffer.JobID(b.ID)
	s.complete(id)
	errs := map[string]error{}
	_, errs["backup"] = bob.Backup(ctx, id)
	_, errs["detail"] = bob.BackupDetail(ctx, id)
	_, errs["delete"] = bob.DeleteBackup(ctx, id, true)
	_, errs["plan delete"] = bob.PlanDelete(ctx, id, true)
	_, errs["plan restore"] = bob.PlanRestore(ctx, id, coffer.Target{})
	_, errs["verify"] = bob.Verify(ctx, id)
	_, errs["synthesize"] = bob.Synthesize(ctx, id, rest.Synthesize{})
	_, errs["restore"] = bob.Restore(ctx, rest.Restore{Backup: id})
	_, errs["job"] = bob.Job(ctx, job)
	_, errs["events"] = bob.Events(ctx, job, 0, 0)
	_, errs["cancel"] = bob.Cancel(ctx, job)
	_, errs["instance"] = bob.TroveInstance(ctx, in.ID)
	_, errs["own instance"] = bob.Instance(ctx, in.ID)
	errs["delete instance"] = bob.DeleteInstance(ctx, in.ID)
	errs["reset"] = bob.ResetStatus(ctx, in.ID)
	_, errs["create"] = bob.CreateBackup(ctx, trove.BackupCreate{Name: "x1", Instance: string(in.ID)}, "")
	_, errs["restore, Trove's way"] = bob.CreateInstance(ctx, trove.InstanceCreate{Name: "x1", RestorePoint: &trove.RestorePoint{BackupRef: b.ID}})
	for what, err := range errs {
		wantKind(t, what, err, coffer.KindNotFound)
	}
	if page, _, err := bob.Backups(ctx, client.BackupQuery{}); err != nil || len(page) != 0 {
		t.Errorf("bob lists %v, %v", page, err)
	}
	_, err := bob.Sweep(ctx)
	wantKind(t, "sweep", err, coffer.KindForbidden)
	if _, err := s.client("admin").Sweep(ctx); err != nil || s.swept != 1 {
		t.Errorf("an admin's sweep: %d, %v", s.swept, err)
	}
	if _, err := s.client("admin").Backup(ctx, id); err != nil {
		t.Errorf("an admin's look: %v", err)
	}
	wrong, err := client.New(client.Config{URL: s.url, Token: tokenOf("bob"), Project: projA})
	if err != nil {
		t.Fatal(err)
	}
	_, err = wrong.Backup(ctx, id)
	wantKind(t, "bob in alice's path", err, coffer.KindForbidden)
	wrong, err = client.New(client.Config{URL: s.url, Token: "no token of theirs", Project: projA})
	if err != nil {
		t.Fatal(err)
	}
	_, err = wrong.Backup(ctx, id)
	wantKind(t, "no token", err, coffer.KindUnauthorized)
	var e *coffer.Error
	if !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("no hint: %v", err)
	}
}
