package recordstest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

func testInstances(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	in := coffer.Instance{
		ID: coffer.InstanceID(coffer.NewUUID()), Project: ours, Name: "n", Kind: coffer.Registered, Agent: "a", Status: "BUILD",
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Conn: coffer.Conn{Host: "127.0.0.1", Port: 3306, CredentialsFile: "/c"},
		VolumeGiB: 3, Key: "k", Recipient: "r", Created: w.now(), Updated: w.now(),
	}
	w.must(db.CreateInstance(w.ctx, in))
	w.want(coffer.KindExists, db.CreateInstance(w.ctx, in))
	got, err := db.Instance(w.ctx, ours, in.ID)
	w.must(err)
	if d := cmp.Diff(in, got); d != "" {
		t.Errorf("the instance differs (-want +got):\n%s", d)
	}
	in.Status, in.Conn.DataDir, in.Updated = "ACTIVE", "/var/lib/mysql", w.now()
	w.must(db.UpdateInstance(w.ctx, in))
	got, err = db.InstanceByID(w.ctx, in.ID)
	w.must(err)
	if d := cmp.Diff(in, got); d != "" {
		t.Errorf("the updated instance differs (-want +got):\n%s", d)
	}
	b := w.create(in.ID, "")
	w.must(db.UpdateInstance(w.ctx, in))
	w.free(in.ID, false) // an update does not free it
	w.want(coffer.KindUnprocessable, db.DeleteInstance(w.ctx, ours, in.ID))
	w.yes(db.Fail(w.ctx, coffer.JobID(b.ID), "", records.Ending{Now: w.now()}))

	second := w.instance(ours)
	all, err := db.Instances(w.ctx, ours, "", 1)
	w.must(err)
	rest, err := db.Instances(w.ctx, ours, all[0].ID, 5)
	w.must(err)
	if len(all) != 1 || len(rest) != 1 || all[0].ID >= rest[0].ID {
		t.Errorf("pages are %v and %v", all, rest)
	}
	mine, err := db.InstancesOfAgent(w.ctx, "a")
	w.must(err)
	if len(mine) != 1 || mine[0].ID != in.ID {
		t.Errorf("the agent's are %v", mine)
	}
	w.must(db.DeleteInstance(w.ctx, ours, in.ID))
	_, err = db.Instance(w.ctx, ours, in.ID)
	w.want(coffer.KindNotFound, err)
	w.want(coffer.KindNotFound, db.UpdateInstance(w.ctx, in))
	_, err = db.CreateBackup(w.ctx, records.NewBackup{Project: ours, Instance: in.ID, Name: "n", Store: "main", Quota: -1, Now: w.now()})
	w.want(coffer.KindNotFound, err)
	if _, err := db.Backup(w.ctx, ours, b.ID); err != nil {
		t.Errorf("an instance took its backups along: %v", err)
	}
	gone, err := db.InstanceByID(w.ctx, in.ID)
	w.must(err)
	every, err := db.AllInstances(w.ctx, "", 10)
	w.must(err)
	if !gone.Deleted || len(every) != 1 || every[0].ID != second {
		t.Errorf("deleted %v, left %v", gone.Deleted, every)
	}
}

func testAgents(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	a := coffer.Agent{ID: "a", Boot: "1", Version: "v", Host: true, DataDir: "/d", Free: 7, Beat: 1, Seen: w.now()}
	w.must(db.Heartbeat(w.ctx, a))
	a.Boot, a.Beat, a.Seen = "2", 2, w.now()
	w.must(db.Heartbeat(w.ctx, a))
	w.must(db.Heartbeat(w.ctx, coffer.Agent{ID: "b", Seen: w.now()}))
	got, err := db.Agent(w.ctx, "a")
	w.must(err)
	if d := cmp.Diff(a, got); d != "" {
		t.Errorf("the agent differs (-want +got):\n%s", d)
	}
	all, err := db.Agents(w.ctx)
	w.must(err)
	if len(all) != 2 {
		t.Errorf("agents are %v", all)
	}
	_, err = db.Agent(w.ctx, "none")
	w.want(coffer.KindNotFound, err)
}

func testStrategies(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	put := func(in coffer.InstanceID, c string) {
		w.must(db.PutStrategy(w.ctx, coffer.Strategy{Project: ours, Instance: in, Container: c}))
	}
	put("", "p")
	put("i", "x")
	put("i", "y")
	all, err := db.Strategies(w.ctx, ours, nil)
	w.must(err)
	want := []coffer.Strategy{{Project: ours, Backend: "swift", Container: "p"}, {Project: ours, Instance: "i", Backend: "swift", Container: "y"}}
	if d := cmp.Diff(want, all); d != "" {
		t.Errorf("strategies differ (-want +got):\n%s", d)
	}
	one := coffer.InstanceID("i")
	got, err := db.Strategies(w.ctx, ours, &one)
	w.must(err)
	if d := cmp.Diff(want[1:], got); d != "" {
		t.Errorf("the instance's differ (-want +got):\n%s", d)
	}
	w.must(db.DeleteStrategy(w.ctx, theirs, "i"))
	w.must(db.DeleteStrategy(w.ctx, ours, ""))
	w.must(db.DeleteStrategy(w.ctx, ours, ""))
	all, err = db.Strategies(w.ctx, ours, nil)
	w.must(err)
	if d := cmp.Diff(want[1:], all); d != "" {
		t.Errorf("left are (-want +got):\n%s", d)
	}
}

func testCounters(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	for want := range uint64(3) {
		got, err := db.Counter(w.ctx, "drained")
		w.must(err)
		raised, err := db.RaiseCounter(w.ctx, "drained")
		w.must(err)
		if got != want || raised != want+1 {
			t.Errorf("the counter is %d and then %d, want %d and %d", got, raised, want, want+1)
		}
	}
}
