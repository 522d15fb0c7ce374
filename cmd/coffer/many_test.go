package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/trove"
)

// fleet is the roles as processes of their own, over a real RabbitMQ and records in
// a real PostgreSQL.
type fleet struct {
	t                    *testing.T
	dir, program, config string
	broker               *testenv.Proxy // before it: the network to it can be cut
	running              map[string]*exec.Cmd
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "cf")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		t: t, dir: dir, program: filepath.Join(dir, "coffer"), config: filepath.Join(dir, "coffer.toml"),
		running: map[string]*exec.Cmd{},
	}
	t.Cleanup(func() {
		for name, c := range f.running {
			_ = c.Process.Kill()
			_ = c.Wait()
			if t.Failed() {
				log, _ := os.ReadFile(filepath.Join(dir, name+".log"))
				t.Logf("%s:\n%s", name, log[max(0, len(log)-4000):])
			}
		}
		os.RemoveAll(dir)
	})
	db := f.servers()
	f.write("bus.password", testenv.BrokerUserPassword, 0o600)
	f.write("records.password", testenv.PostgresPassword, 0o600)
	f.write("tokens", `{"token": "0123456789abcdef0123", "project": "p", "user": "u", "roles": ["admin"]}`+"\n", 0o600)
	f.write("coffer.toml", strings.NewReplacer("DIR", dir, "BROKER", f.broker.Addr(), "RECORDS", db.Database(t), "USER", testenv.BrokerUserName).Replace(`
[api]
tokens_file = "DIR/tokens"
[agent]
state = "DIR/agent"
[bus]
kind = "amqp"
hosts = ["BROKER"]
user = "USER"
password_file = "DIR/bus.password"
[records]
url = "RECORDS"
password_file = "DIR/records.password"
[stores.default]
kind = "file"
path = "DIR/store"
[log]
level = "info"
`), 0o644)
	for _, d := range []string{dir, filepath.Join(dir, "store")} {
		if err := os.MkdirAll(d, 0o711); err == nil {
			err = os.Chmod(d, 0o711)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// servers starts what the fleet stands on, and builds the program, all at once.
func (f *fleet) servers() *testenv.Postgres {
	f.t.Helper()
	testenv.Need(f.t, "rabbitmq-server", "epmd")
	var (
		g      errgroup.Group
		broker *testenv.Broker
	)
	g.Go(func() error {
		b, stop, err := testenv.StartRabbitMQ(testenv.RabbitMQOptions{})
		if err == nil {
			f.t.Cleanup(stop)
		}
		broker = b
		return err
	})
	g.Go(func() error {
		if out, err := exec.Command("go", "build", "-o", f.program, ".").CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, out)
		}
		return nil
	})
	db := testenv.PostgreSQL(f.t, testenv.PostgresOptions{})
	if err := g.Wait(); err != nil {
		f.t.Fatal(err)
	}
	f.broker = testenv.NewProxy(f.t, broker.Addr())
	return db
}

func (f *fleet) write(name, body string, mode os.FileMode) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(body), mode); err != nil {
		f.t.Fatal(err)
	}
}

// start runs a role; its log is NAME.log.
func (f *fleet) start(name string, args ...string) {
	f.t.Helper()
	log, err := os.Create(filepath.Join(f.dir, name+".log"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	c := exec.Command(f.program, append(args, "--config", f.config)...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.running[name] = c
}

// api starts an API and gives its address.
func (f *fleet) api(name string) string {
	f.t.Helper()
	f.start(name, "api", "--listen", "127.0.0.1:0")
	_, at, _ := strings.Cut(f.says(name, "api serves "), "api serves ")
	return strings.Fields(at)[0]
}

// says waits for words in a role's log.
func (f *fleet) says(name, words string) (log string) {
	f.t.Helper()
	poll(func() bool {
		b, err := os.ReadFile(filepath.Join(f.dir, name+".log"))
		log = string(b)
		return err == nil && strings.Contains(log, words)
	}, func() { f.t.Fatalf("%s does not say %q:\n%s", name, words, log) })
	return log
}

// stop asks a role to stop, and wants a clean end.
func (f *fleet) stop(name string) {
	f.t.Helper()
	c := f.running[name]
	delete(f.running, name)
	_ = c.Process.Signal(syscall.SIGTERM)
	end := make(chan error, 1)
	go func() { end <- c.Wait() }()
	select {
	case err := <-end:
		if err != nil {
			f.t.Errorf("%s ended: %v\n%s", name, err, f.says(name, ""))
		}
	case <-time.After(20 * time.Second):
		_ = c.Process.Kill()
		<-end
		f.t.Errorf("%s does not stop:\n%s", name, f.says(name, ""))
	}
}

// coffer is a command against one API.
func (f *fleet) coffer(url string, args ...string) string {
	f.t.Helper()
	c := exec.Command(f.program, append([]string{"--url", url, "--token-file", filepath.Join(f.dir, "tokens"), "-o", "json"}, args...)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		f.t.Fatalf("coffer %v: %v\n%s%s", args, err, errs.String(), out.String())
	}
	return out.String()
}

// Each role is a process of its own, and they may start in any order: without a
// broker the API answers, and takes work that goes out by itself when the broker
// comes. Two APIs and one Idempotency-Key make one backup.
func TestRolesAreProcesses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program and runs servers")
	}
	testenv.Need(t, "mariadb-backup", "mariadbd")
	f := newFleet(t)
	src := testenv.MariaDB(t, testenv.MariaDBOptions{})
	src.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.t (i INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO shop.t VALUES (1), (2), (3)")
	f.broker.Drop()
	first, second := f.api("api1"), f.api("api2")
	for _, role := range []string{"taskmanager", "conductor", "agent"} {
		f.start(role, role)
	}
	if out := f.coffer(first, "backup", "list"); strings.TrimSpace(out) != "[]" {
		t.Fatalf("without a broker: %s", out)
	}
	f.broker.Resume()
	for _, role := range []string{"taskmanager", "conductor", "agent"} {
		f.says(role, "works")
	}
	poll(func() bool { return strings.Contains(f.coffer(second, "agent", "list"), `"free_bytes"`) }, func() { t.Fatal("no agent is heard") })
	f.coffer(first, "instance", "register", "shop", "--socket", src.Socket, "--credentials", src.CredentialsFile)
	f.coffer(second, "backup", "create", "shop", "--wait")

	f.broker.Drop()
	ids := make([]trove.Backup, 2)
	var wg sync.WaitGroup
	for i, url := range []string{first, second} {
		wg.Go(func() {
			began := time.Now()
			out := f.coffer(url, "backup", "create", "shop", "--name", "night", "--idempotency-key", "k1")
			if err := json.Unmarshal([]byte(out), &ids[i]); err != nil {
				t.Errorf("%v in %s", err, out)
			}
			t.Logf("without a broker a create was answered after %v", time.Since(began).Round(time.Millisecond))
		})
	}
	wg.Wait()
	if ids[0].ID == "" || ids[0].ID != ids[1].ID {
		t.Fatalf("one key made %q and %q", ids[0].ID, ids[1].ID)
	}
	f.broker.Resume()
	f.coffer(first, "backup", "wait", ids[0].ID)
	out := f.coffer(second, "restore", ids[0].ID, "--name", "copy")
	if !strings.Contains(out, `"socket"`) {
		t.Errorf("the restore gave %s", out)
	}
	f.coffer(first, "instance", "delete", "copy")
	poll(func() bool {
		left, err := filepath.Glob(filepath.Join(f.dir, "agent", "hosted", "*-*"))
		return err == nil && len(left) == 0
	}, func() { t.Error("the deleted instance's server stays") })
	for _, name := range []string{"agent", "taskmanager", "conductor", "api1", "api2"} {
		f.stop(name)
	}
}
