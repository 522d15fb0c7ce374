package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/bus/bustest"
	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/trovelink"
	"github.com/cofferdb/coffer/trove"
)

const guestInstance = "44b277eb-39be-4921-be31-3d61b43651d7"

// guestTOML is a guest's configuration, as docs/operators/trove.md has it.
const guestTOML = `
[agent]
profile = "trove"
database = "SOCKET"
credentials_file = "CREDENTIALS"
trove_region = "RegionOne"
[bus]
kind = "amqp"
hosts = ["BROKER"]
user = "USER"
password_file = "DIR/bus.password"
exchange = "openstack"
trusted = true
trove_instance = "INSTANCE"
trove_instance_keys_file = "DIR/trove-instance.keys"
`

// planeTOML is the same of a control plane over it.
const planeTOML = `
[server]
agent = false
[trove]
guests = true
auth_url = "CLOUD/identity"
user = "coffer"
password_file = "DIR/keystone.password"
region = "RegionOne"
[bus]
kind = "amqp"
hosts = ["BROKER"]
user = "USER"
password_file = "DIR/bus.password"
exchange = "openstack"
trusted = true
trove_instance_keys_file = "DIR/trove-instance.keys"
`

// troveFleet is a guest of the real program on a real broker, beside a database.
type troveFleet struct {
	*fleet
	cloud *fakeCloud
	src   *testenv.Server
	b     *testenv.Broker
}

func newTroveFleet(t *testing.T) *troveFleet {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program and runs servers")
	}
	testenv.Need(t, "mariadb-backup", "mariadbd", "rabbitmq-server", "epmd")
	f := &troveFleet{cloud: newCloud(t)}
	started := make(chan error, 1)
	var stop func()
	go func() {
		var err error
		f.b, stop, err = testenv.StartRabbitMQ(testenv.RabbitMQOptions{})
		started <- err
	}()
	f.src = testenv.MariaDB(t, testenv.MariaDBOptions{})
	f.src.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.t (i INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO shop.t VALUES (1), (2), (3)")
	f.fleet = newFleet(t)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	f.write("trove-instance.keys", guestInstance+" "+testenv.TroveGuestKey+"\n", 0o600)
	f.write("keystone.password", "cofferpass\n", 0o600)
	r := strings.NewReplacer("DIR", f.dir, "BROKER", f.b.Addr(), "USER", testenv.BrokerUserName, "INSTANCE", guestInstance,
		"SOCKET", f.src.Socket, "CREDENTIALS", f.src.CredentialsFile, "CLOUD", f.cloud.URL)
	f.write("coffer.toml", r.Replace(guestTOML), 0o644)
	f.write("plane.toml", r.Replace(planeTOML), 0o644)
	return f
}

// guest starts the guest agent.
func (f *troveFleet) guest() {
	f.t.Helper()
	f.start("guest", "--state", filepath.Join(f.dir, "guest"), "agent")
	f.says("guest", "guest agent of Trove's instance "+guestInstance+" works")
}

// plane runs a command of the control plane, whose records are in one folder.
func (f *troveFleet) plane(args ...string) string {
	f.t.Helper()
	ctx, stop := context.WithTimeout(f.t.Context(), time.Minute)
	defer stop()
	c := exec.CommandContext(ctx, f.program, append([]string{"--state", filepath.Join(f.dir, "plane"), "-o", "json"}, args...)...)
	c.Env = append(os.Environ(), "COFFER_CONFIG="+filepath.Join(f.dir, "plane.toml"))
	out, err := c.Output()
	if err != nil {
		f.t.Fatalf("coffer %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// troveSide is what Trove's task manager and conductor are to a guest.
type troveSide struct {
	f     *troveFleet
	bus   *amqp.Bus
	end   func() // of the conductor
	mu    sync.Mutex
	heard []bus.Message
}

// trove is that end of the wire, with the project's request context.
func (f *troveFleet) trove() *troveSide {
	f.t.Helper()
	s := &troveSide{f: f}
	request := map[string]any{
		"auth_token": cloudToken, "project_id": "farm", "request_id": "req-1",
		"service_catalog": []any{map[string]any{"type": "object-store", "endpoints": []any{
			map[string]any{"region": "RegionTwo", "publicURL": f.cloud.URL + "/elsewhere"},
			map[string]any{"region": "RegionOne", "publicURL": f.cloud.account("farm")},
		}}},
		"trove_notification": map[string]any{"request_id": "req-1", "server_type": "guest", "tenant_id": "farm"},
	}
	var err error
	s.bus, err = amqp.Dial(f.t.Context(), amqp.Options{
		Hosts: []string{f.b.Addr()}, User: testenv.BrokerUserName, Password: testenv.BrokerUserPassword, Exchange: "openstack",
		Keys: keys{instances: map[string]string{guestInstance: testenv.TroveGuestKey}},
		Stamp: func(context.Context, bus.Target, string, json.RawMessage) amqp.Stamp {
			return amqp.Stamp{Context: request}
		},
		Log: slog.New(slog.NewTextHandler(f.t.Output(), nil)),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { s.bus.Close() })
	s.end = bustest.Serve(f.t, s.bus, message.Conductor, func(_ context.Context, m bus.Message) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.heard = append(s.heard, m)
		return nil, nil
	})
	return s
}

// hears waits for a message that has all of the words in it.
func (s *troveSide) hears(method string, words ...string) (body []byte) {
	s.f.t.Helper()
	poll(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
	next:
		for _, m := range s.heard {
			for _, w := range words {
				if m.Method != method || !strings.Contains(string(m.Body), w) {
					continue next
				}
			}
			body = m.Body
			return true
		}
		return false
	}, func() { s.f.t.Fatalf("the guest says no %s of %q: %s", method, words, s.heard) })
	return body
}

// order asks the guest for a full backup.
func (s *troveSide) order() (id string) {
	s.f.t.Helper()
	id = coffer.NewUUID()
	err := s.bus.Cast(s.f.t.Context(), message.GuestAgent(guestInstance), "create_backup", map[string]any{"backup_info": trovelink.BackupInfo{
		ID: id, Name: "nightly", InstanceID: guestInstance, BackupType: "full", Datastore: "mariadb", DatastoreVersion: "10.11",
	}})
	if err != nil {
		s.f.t.Fatal(err)
	}
	return id
}

// The program with profile = "trove" is a guest: a task manager's order ends COMPLETED
// at the conductor, under the instance's key, in the caller's account of the region
// that is named; a stop finishes the backup that runs, and what is ordered meanwhile
// waits. And a control plane with
// guests = true has a guest: what was adopted is backed up by it, also increments.
func TestTroveProfile(t *testing.T) {
	t.Parallel()
	f := newTroveFleet(t)
	s := f.trove()
	f.guest()
	s.hears("heartbeat", guestInstance, `"healthy"`)
	id := s.order()
	var u trovelink.Update
	if err := json.Unmarshal(s.hears("update_backup", id, `"COMPLETED"`), &u); err != nil {
		t.Fatal(err)
	}
	where := f.cloud.account("farm") + "/database_backups/" + id + ".xbstream.gz"
	if h := f.cloud.object(where); u.Location != where || h.Get("Etag") != u.Checksum || h.Get("X-Object-Meta-Lsn") == "" {
		t.Errorf("reported %+v, stored with %v", u, h)
	}
	s.hears("notify_end", `"farm"`)
	f.stopsInABackup(s)
	poll(func() bool { return !exists(filepath.Join(f.dir, "guest", "trove", "backup.json")) }, func() { t.Error("the journal is not ended") })
	s.end()
	f.overAGuest()
	if n := s.bus.Pending(message.Conductor); n < 0 {
		t.Error("what a guest of Trove's says while no conductor runs is lost: the queue is gone")
	}
}

// stopsInABackup asks the guest to stop while a backup runs.
func (f *troveFleet) stopsInABackup(s *troveSide) {
	f.t.Helper()
	holder, err := f.src.DB(f.t).Conn(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	defer holder.Close()
	stage := func(s string) {
		f.t.Helper()
		if _, err := holder.ExecContext(f.t.Context(), "BACKUP STAGE "+s); err != nil {
			f.t.Fatal(err)
		}
	}
	stage("START") // the other one's stage holds it in its middle
	id := s.order()
	s.hears("update_backup", id, `"BUILDING"`)
	poll(func() bool { return waitsForStage(f.t, holder) }, func() { f.t.Fatal("the backup does not begin") })
	c := f.running["guest"]
	delete(f.running, "guest")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		f.t.Fatal(err)
	}
	f.says("guest", "the backup that runs is finished first")
	stage("END")
	s.hears("update_backup", id, `"COMPLETED"`)
	if err := c.Wait(); err != nil {
		f.t.Errorf("its end: %v\n%s", err, f.says("guest", ""))
	}
	id = s.order() // it waits in the guest's queue
	f.guest()
	s.hears("update_backup", id, `"COMPLETED"`)
}

// waitsForStage reports whether another connection waits for a backup stage.
func waitsForStage(t *testing.T, c *sql.Conn) bool {
	t.Helper()
	var n int
	err := c.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'BACKUP STAGE START%' AND id <> CONNECTION_ID()").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// overAGuest runs the control plane over the same guest.
func (f *troveFleet) overAGuest() {
	f.t.Helper()
	f.plane("trove", "adopt", string(auth.LocalProject), guestInstance, "--name", "shop", "--version", "10.11")
	f.start("plane", "--state", filepath.Join(f.dir, "plane"), "server", "--config", filepath.Join(f.dir, "plane.toml"), "--listen", "127.0.0.1:0")
	f.says("plane", "serves http")
	f.plane("backup", "create", "shop", "--wait")
	f.plane("backup", "create", "shop", "--incremental", "--wait")
	var all []trove.Backup
	if err := json.Unmarshal([]byte(f.plane("backup", "list")), &all); err != nil || len(all) != 2 {
		f.t.Fatalf("%v, %v", all, err)
	}
	for _, b := range all {
		where := f.cloud.account(string(auth.LocalProject)) + "/database_backups/" + b.ID + ".xbstream.gz"
		if b.Status != "COMPLETED" || f.cloud.object(where) == nil || !strings.Contains(f.plane("backup", "show", b.ID), where) {
			f.t.Errorf("backup %+v is not at %s", b, where)
		}
	}
	if out := f.plane("backup", "events", all[0].ID); !strings.Contains(out, "no commit is granted") {
		f.t.Errorf("nobody is told whose word it is: %s", out)
	}
	if all[0].ParentID == nil || f.cloud.asked() != string(auth.LocalProject+" "+auth.LocalProject) {
		f.t.Errorf("parents %v, tokens for %s", all[0].ParentID, f.cloud.asked())
	}
	f.plane("instance", "delete", "shop")
	f.stop("guest")
	f.stop("plane")
	if log := f.says("plane", ""); strings.Contains(log, "level=") {
		f.t.Errorf("it complains:\n%s", log)
	}
}

// Where RPC is plain a guest names no key, and the guests' watch runs where the
// conductor does.
func TestTroveParts(t *testing.T) {
	t.Parallel()
	guest := settings{Role: config.RoleAgent}
	guest.Config.Agent.Profile = config.ProfileTrove
	o := amqp.Options{SelfID: guestInstance}
	if troveOptions(&o, guest); o.SelfID != "" || o.CastExpires != reportWait || o.Version != trovelink.GuestVersion || !o.KeepQueues {
		t.Errorf("a guest's wire: %+v", o)
	}
	o = amqp.Options{SelfID: guestInstance, Keys: keys{}}
	if troveOptions(&o, guest); o.SelfID != guestInstance {
		t.Error("a guest with a key does not say whose it is")
	}
	o = amqp.Options{}
	if troveOptions(&o, settings{Role: config.RoleConductor}); o.KeepQueues || o.Stamp != nil {
		t.Errorf("without guests the wire is another: %+v", o)
	}
	p := newProcess(&parts{conductor: &conductor.Conductor{}, control: &trovelink.Control{}}, slog.Default())
	p.roles()
	if len(p.plane) != 2 || p.waits != 1 {
		t.Errorf("beside the conductor: %v, %d wait", p.plane, p.waits)
	}
	for raw, want := range map[string]string{
		"": "", "http://k:5000": "http://k:5000/v3", "https://k/identity/": "https://k/identity/v3", "https://k:5000/v3/": "https://k:5000/v3",
	} {
		if got := keystoneURL(raw); got != want {
			t.Errorf("%q: %q", raw, got)
		}
	}
}
