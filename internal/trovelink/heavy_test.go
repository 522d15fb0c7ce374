package trovelink

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/guard"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/trovedb"
)

// guestKeys are Trove's keys as one guest has them: its own, whoever it speaks to.
type guestKeys struct{}

func (guestKeys) To(context.Context, string) (string, error) { return testenv.TroveGuestKey, nil }
func (guestKeys) Of(context.Context, string) (string, error) { return testenv.TroveGuestKey, nil }

// troveBus speaks to Trove's broker.
func troveBus(t *testing.T, b *testenv.Broker, change func(*amqp.Options)) *amqp.Bus {
	t.Helper()
	o := amqp.Options{
		Hosts: []string{b.Addr()}, User: testenv.BrokerUserName, Password: testenv.BrokerUserPassword,
		KeepQueues: true, CastExpires: time.Hour, Version: GuestVersion, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Stamp: func(ctx context.Context, _ bus.Target, _ string, _ json.RawMessage) amqp.Stamp {
			return amqp.Stamp{Context: Context(ctx)}
		},
	}
	change(&o)
	out, err := amqp.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out
}

// site is a database with a guest beside it, under a real Trove.
type site struct {
	t     *testing.T
	trove *testenv.TroveServer
	db    *testenv.Server
	id    string
	fail  string // while this file is there, the tool fails
	slow  string // while this file is there, it takes its time
}

func newSite(t *testing.T, trove *testenv.TroveServer, secure bool) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, trove: trove, db: testenv.MariaDB(t, testenv.MariaDBOptions{}), fail: filepath.Join(dir, "fail"), slow: filepath.Join(dir, "slow")}
	s.id = trove.AddInstance(t, "farm-a", secure)
	s.db.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, v LONGBLOB)",
		"INSERT INTO shop.orders (v) SELECT RANDOM_BYTES(1000) FROM shop.seq_1_to_40000")
	tool := testenv.Need(t, "mariadb-backup")[0]
	script := filepath.Join(dir, "tool")
	text := "#!/bin/sh\ncase \"$*\" in *--backup*) [ ! -e " + s.fail + " ] || { echo disk on fire >&2; exit 1; }; [ ! -e " + s.slow + " ] || sleep 5;; esac\nexec " + tool + " \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	eng, err := mysql.New(mysql.Config{
		Conn:  coffer.Conn{Socket: s.db.Socket, CredentialsFile: s.db.CredentialsFile, DataDir: s.db.DataDir},
		Guard: guard.Self(), StateDir: state, Tools: mysql.Tools{Backup: script},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := troveBus(t, trove.Broker, func(o *amqp.Options) {
		if secure {
			o.Keys, o.SelfID = guestKeys{}, s.id
		}
	})
	g := &Guest{
		Instance: coffer.InstanceID(s.id), Bus: b, Engine: eng, Dir: state, ContextOf: amqp.ContextOf, Beat: time.Second,
		HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	ctx, stop := context.WithCancel(t.Context())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- g.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// openstack runs the client as alice, and gives what it printed.
func (s *site) openstack(args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "/usr/bin/openstack", args...)
	cmd.Env = append(os.Environ(), "PATH=/usr/bin:/bin", "OS_AUTH_URL="+s.trove.Keystone.URL, "OS_USERNAME=alice", "OS_PASSWORD=alicepass",
		"OS_PROJECT_NAME=farm-a", "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_IDENTITY_API_VERSION=3")
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("openstack %s: %v\n%s\n%s", strings.Join(args, " "), err, out, s.trove.Log("trove-api"))
	}
	return strings.TrimSpace(string(out))
}

// row is a backup as Trove's own database has it.
type row struct{ state, kind, checksum, location, parent string }

func (s *site) row(id string) (r row, size float64) {
	s.t.Helper()
	err := s.trove.DB.QueryRow(`SELECT state, coalesce(backup_type, ''), coalesce(checksum, ''), coalesce(location, ''),
		coalesce(parent_id, ''), coalesce(size, 0) FROM trove.backups WHERE id = ?`, id).
		Scan(&r.state, &r.kind, &r.checksum, &r.location, &r.parent, &size)
	if err != nil {
		s.t.Fatal(err)
	}
	return r, size
}

// backup asks Trove's API for one, and waits for its end.
func (s *site) backup(args ...string) (id string, r row, size float64) {
	s.t.Helper()
	id = s.begin(args...)
	r, size = s.end(id)
	return id, r, size
}

func (s *site) begin(args ...string) string {
	s.t.Helper()
	return s.openstack(append([]string{"database", "backup", "create", "nightly", "--instance", s.id, "-f", "value", "-c", "id"}, args...)...)
}

func (s *site) end(id string) (r row, size float64) {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the task manager:\n%s\nthe conductor:\n%s", s.trove.Log("trove-taskmanager"), s.trove.Log("trove-conductor"))
		}
	}()
	until(s.t, 3*time.Minute, "the end of backup "+id, func() bool {
		r, size = s.row(id)
		return r.state == "COMPLETED" || r.state == "FAILED"
	})
	return r, size
}

// head looks at what is stored at a location, as the project itself would.
func (s *site) head(location string) http.Header {
	s.t.Helper()
	token, err := s.trove.Keystone.Token("alice", "alicepass", "farm-a")
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodHead, location, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", token)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("look at %s: %s", location, resp.Status)
	}
	return resp.Header
}

// stored checks that what Trove has recorded is what a restore of Trove's will meet.
func (s *site) stored(id string, r row, segments bool) http.Header {
	s.t.Helper()
	want := s.trove.Swift.KeystoneURL + "/AUTH_" + s.trove.Keystone.Projects["farm-a"] + "/database_backups/" + id + ".xbstream.gz"
	if r.location != want {
		s.t.Errorf("location %s, want %s", r.location, want)
	}
	h := s.head(r.location)
	if etag := strings.Trim(h.Get("Etag"), `"`); etag != r.checksum || len(etag) != 32 {
		s.t.Errorf("checksum %q, the store's ETag is %q", r.checksum, etag)
	}
	if got := h.Get("X-Static-Large-Object") != ""; got != segments {
		s.t.Errorf("a large object: %t, want %t", got, segments)
	}
	if h.Get("X-Object-Meta-Lsn") == "" || h.Get("X-Object-Meta-Datastore") != "mariadb" || h.Get("X-Object-Meta-Datastore-Version") != "10.11" {
		s.t.Errorf("metadata %v", h)
	}
	return h
}

// A real Trove drives Coffer's agent: what its API is asked for ends COMPLETED in its
// own database, with the size, checksum and location of what lies in Swift, and stock
// tools restore it; what fails ends FAILED, with the reason as the instance's fault.
func TestHeavyTroveDrivesTheGuest(t *testing.T) {
	heavy(t)
	trove := testenv.Trove(t, testenv.TroveOptions{Secure: true})
	t.Run("login", func(t *testing.T) { realLogin(t, trove) })
	for _, secure := range []bool{true, false} {
		name := map[bool]string{true: "encrypted", false: "plain"}[secure]
		t.Run(name, func(t *testing.T) {
			if !secure {
				if err := trove.Start(testenv.TroveOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			s := newSite(t, trove, secure)
			full, r, size := s.backup()
			if r.state != "COMPLETED" || r.kind != "full" || size < 0.01 {
				t.Fatalf("the full: %+v, size %v", r, size)
			}
			s.stored(full, r, true)
			s.db.Exec(t, "INSERT INTO shop.orders (v) VALUES ('only in the increment')")
			inc, r2, _ := s.backup("--incremental")
			if r2.state != "COMPLETED" || r2.kind != "incremental" || r2.parent != full {
				t.Fatalf("the increment: %+v", r2)
			}
			h := s.stored(inc, r2, false)
			if h.Get("X-Object-Meta-Parent-Location") != r.location || h.Get("X-Object-Meta-Parent-Checksum") != r.checksum {
				t.Errorf("the parent is not in the metadata: %v", h)
			}
			if list := strings.Fields(s.openstack("object", "list", "database_backups", "--prefix", full+"_", "-f", "value")); len(list) < 2 || list[0] != full+"_00000000" {
				t.Errorf("the segments: %q", list)
			}
			s.restores(r, 40000, 0)
			s.restores(r2, 40001, 1)
			s.takenOver(full, inc)

			if err := os.WriteFile(s.fail, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, r, _ := s.backup(); r.state != "FAILED" || r.location != "" {
				t.Errorf("the tool failed: %+v", r)
			}
			var fault string
			until(t, time.Minute, "the instance's fault", func() bool {
				_ = trove.DB.QueryRow("SELECT message FROM trove.instance_faults WHERE instance_id = ?", s.id).Scan(&fault)
				return fault != ""
			})
			if !strings.Contains(strings.Join(strings.Fields(fault), " "), "disk on fire") {
				t.Errorf("the fault: %s", fault)
			}
			s.calls(secure)
			if secure {
				s.outage()
			}
		})
	}
}

// realLogin logs in at the real Keystone, as Control does for its guests.
func realLogin(t *testing.T, trove *testenv.TroveServer) {
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("alicepass"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := Keystone{URL: trove.Keystone.URL, User: "alice", PasswordFile: secret, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	project := trove.Keystone.Projects["farm-a"]
	got, err := k.Login(t.Context(), coffer.ProjectID(project))
	if err != nil || got.Token == "" || got.Account != trove.Swift.KeystoneURL+"/AUTH_"+project {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := k.Login(t.Context(), coffer.ProjectID(trove.Keystone.Projects["farm-b"])); !coffer.IsKind(err, coffer.KindUnauthorized) {
		t.Errorf("in a project where she has no role: %v", err)
	}
}

// outage takes the broker away while a backup runs, with all that lay in its queues:
// the end is reported when it and Trove's conductor are back.
func (s *site) outage() {
	s.t.Helper()
	if err := os.Rename(s.fail, s.slow); err != nil {
		s.t.Fatal(err)
	}
	id := s.begin()
	until(s.t, time.Minute, "the begin of backup "+id, func() bool { r, _ := s.row(id); return r.state != "NEW" })
	s.trove.Broker.Kill()
	if r, _ := s.row(id); r.state != "BUILDING" {
		s.t.Errorf("the backup ended before the broker did: %+v", r)
	}
	if err := s.trove.Broker.Start(); err != nil {
		s.t.Fatal(err)
	}
	if r, _ := s.end(id); r.state != "COMPLETED" || r.checksum == "" {
		s.t.Errorf("after the outage: %+v", r)
	}
}

// restores proves that a backup of Coffer's is restored as Trove restores, with n rows of
// which one is the increment's if it has one. Trove's own code for it is in the image of
// its backup container, which nobody packages: its command lines are run here.
func (s *site) restores(r row, n, last int) {
	s.t.Helper()
	token, err := s.trove.Keystone.Token("alice", "alicepass", "farm-a")
	if err != nil {
		s.t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/trove-restore.sh")
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), "/bin/bash", script, r.location, r.checksum, "base")
	cmd.Dir = s.t.TempDir()
	cmd.Env = append(os.Environ(), "TOKEN="+token)
	base := filepath.Join(cmd.Dir, "base")
	if err := os.Mkdir(base, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(cmd.Dir, "prepare.log"))
		s.t.Fatalf("restore as Trove does: %v\n%s\n%s", err, out, log)
	}
	restored := testenv.MariaDB(s.t, testenv.MariaDBOptions{DataDir: s.owned(base)})
	var rows, late int
	if err := restored.DB(s.t).QueryRow("SELECT count(*), coalesce(sum(v = 'only in the increment'), 0) FROM shop.orders").Scan(&rows, &late); err != nil {
		s.t.Fatal(err)
	}
	if rows != n || late != last {
		s.t.Errorf("restored: %d rows, %d of the increment", rows, late)
	}
}

// takenOver proves that what Trove's own database says of a chain is understood.
func (s *site) takenOver(full, inc string) {
	s.t.Helper()
	conn, err := s.trove.DB.Conn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(s.t.Context(), "USE trove"); err != nil {
		s.t.Fatal(err)
	}
	content, err := trovedb.Read(s.t.Context(), conn)
	if err != nil {
		s.t.Fatal(err)
	}
	var seen []string
	for _, b := range trovedb.Judge(content, trovedb.Rules{Store: "far"}).Backups {
		if string(b.Instance) == s.id {
			seen = append(seen, string(b.ID)+" on "+string(b.Parent)+" of "+b.Datastore.Type)
		}
	}
	if want := []string{full + " on  of mariadb", inc + " on " + full + " of mariadb"}; !slices.Equal(seen, want) {
		s.t.Errorf("taken over: %q, want %q", seen, want)
	}
}

// owned gives a folder to whom a server runs as.
func (s *site) owned(dir string) string {
	s.t.Helper()
	fi, err := os.Stat(s.db.DataDir)
	if err != nil {
		s.t.Fatal(err)
	}
	if out, err := exec.CommandContext(s.t.Context(), "chown", "-R", "--reference="+s.db.DataDir, dir).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	for p := dir; p != "/tmp"; p = filepath.Dir(p) { // the server has to get there
		if err := os.Chmod(p, cmp.Or(fi.Mode().Perm(), 0o755)|0o055); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

// calls asks the guest what Trove's task manager would, and reads what Trove made of
// its heartbeats.
func (s *site) calls(secure bool) {
	s.t.Helper()
	var status string
	err := s.trove.DB.QueryRow("SELECT status_description FROM trove.service_statuses WHERE instance_id = ?", s.id).Scan(&status)
	if shown := s.openstack("database", "instance", "show", s.id, "-f", "value", "-c", "operating_status"); err != nil || status != "healthy" || shown != "HEALTHY" {
		s.t.Errorf("the instance's status is %q, shown as %q, %v", status, shown, err)
	}
	b := troveBus(s.t, s.trove.Broker, func(o *amqp.Options) {
		if secure {
			o.Keys = guestKeys{}
		}
	})
	ctx, stop := context.WithTimeout(s.t.Context(), time.Minute)
	defer stop()
	to := message.GuestAgent(coffer.InstanceID(s.id))
	var alive bool
	if err := b.Call(ctx, to, "rpc_ping", map[string]any{}, &alive); err != nil || !alive {
		s.t.Errorf("rpc_ping: %t, %v", alive, err)
	}
	var fs Filesystem
	if err := b.Call(ctx, to, "get_filesystem_stats", map[string]any{"fs_path": nil}, &fs); err != nil || fs.Total <= 0 || fs.Used <= 0 || fs.Free <= 0 {
		s.t.Errorf("get_filesystem_stats: %+v, %v", fs, err)
	}
	if err := b.Call(ctx, to, "prepare", map[string]any{"backup_info": nil}, nil); !coffer.IsKind(err, coffer.KindUnsupported) {
		s.t.Errorf("prepare: %v", err)
	}
	if w := s.trove.Asked(); len(w) > 0 {
		s.t.Errorf("asked of the stand-in in vain: %q", w)
	}
}
