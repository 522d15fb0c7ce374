package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
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
		endBelow(dir)
		os.RemoveAll(dir)
	})
	if out, err := exec.Command("go", "build", "-o", f.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, d := range []string{dir, filepath.Join(dir, "store")} {
		if err := errors.Join(os.MkdirAll(d, 0o711), os.Chmod(d, 0o711)); err != nil {
			t.Fatal(err)
		}
	}
	f.write("bus.password", testenv.BrokerUserPassword, 0o600)
	f.write("records.password", testenv.PostgresPassword, 0o600)
	f.write("tokens", `{"token": "0123456789abcdef0123", "project": "p", "user": "u", "roles": ["admin"]}`+"\n", 0o600)
	return f
}

// endBelow ends the restored servers that a failed test has left in its folder.
func endBelow(dir string) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, n := range names {
		args, err := os.ReadFile(n)
		pid, perr := strconv.Atoi(filepath.Base(filepath.Dir(n)))
		if err == nil && perr == nil && bytes.Contains(args, []byte("="+dir+"/")) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// plain is the fleet of one machine: no TLS, and one account that all believe.
const plain = `
[api]
tokens_file = "DIR/tokens"
[agent]
state = "DIR/agent"
[bus]
kind = "amqp"
hosts = ["BROKER"]
trusted = true
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
`

// servers starts a broker and a database, at once, and writes the configuration.
func (f *fleet) servers(config string, mq testenv.RabbitMQOptions, pg testenv.PostgresOptions) *testenv.Broker {
	f.t.Helper()
	testenv.Need(f.t, "rabbitmq-server", "epmd")
	var broker *testenv.Broker
	var stop func()
	started := make(chan error, 1)
	go func() (err error) {
		defer func() { started <- err }()
		broker, stop, err = testenv.StartRabbitMQ(mq)
		return err
	}()
	db := testenv.PostgreSQL(f.t, pg)
	if err := <-started; err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(stop)
	f.broker = testenv.NewProxy(f.t, broker.Addr())
	f.write("coffer.toml", strings.NewReplacer(
		"DIR", f.dir, "BROKER", f.broker.Addr(), "RECORDS", db.Database(f.t), "USER", testenv.BrokerUserName,
		"SECURE", fmt.Sprintf("127.0.0.1:%d", broker.TLSPort), "MANAGEMENT", fmt.Sprintf("http://127.0.0.1:%d", broker.ManagementPort),
	).Replace(config), 0o644)
	return broker
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
	c := exec.Command(f.program, args...)
	c.Env = append(os.Environ(), "COFFER_CONFIG="+f.config)
	if name == "joined" || name == "host" {
		c.Env = append(os.Environ(), "COFFER_STATE="+filepath.Join(f.dir, name))
	}
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

// survives stops the agent that runs a restored server, which answers on, and starts
// it again.
func (f *fleet) survives(restored string) {
	f.t.Helper()
	var r struct {
		Instance struct{ Conn struct{ Socket string } }
	}
	if err := json.Unmarshal([]byte(restored), &r); err != nil || r.Instance.Conn.Socket == "" {
		f.t.Fatalf("no socket in %s: %v", restored, err)
	}
	f.stop("agent")
	c, err := net.Dial("unix", r.Instance.Conn.Socket)
	if err != nil {
		f.t.Errorf("the restored server ended with its agent: %v", err)
	} else {
		c.Close()
	}
	f.start("agent", "agent")
	f.says("agent", "works")
}

// coffer is a command against one API.
func (f *fleet) coffer(url string, args ...string) string {
	f.t.Helper()
	c := exec.Command(f.program, append([]string{"--url", url, "--token-file", filepath.Join(f.dir, "tokens"), "-o", "json"}, args...)...)
	if strings.HasPrefix(url, "https") {
		c.Args = append(c.Args, "--ca", filepath.Join(f.dir, "ca", "ca.crt"))
	}
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		f.t.Fatalf("coffer %v: %v\n%s%s", args, err, errs.String(), out.String())
	}
	return out.String()
}

// secure is the fleet of many machines: TLS everywhere, verbs signed, agents joined.
const secure = `
[api]
listen = "ADDRESS"
tokens_file = "DIR/tokens"
cert_file = "DIR/ca/api.crt"
key_file = "DIR/ca/api.key"
[bus]
kind = "amqp"
hosts = ["SECURE"]
user = "USER"
password_file = "DIR/bus.password"
ca_file = "DIR/ca/ca.crt"
[enrol]
url = "https://ADDRESS"
management_url = "MANAGEMENT"
ca_file = "DIR/ca/ca.crt"
[records]
url = "RECORDS"
password_file = "DIR/records.password"
ca_file = "DIR/ca/ca.crt"
[stores.default]
kind = "file"
path = "DIR/store"
[keys]
signing_key_file = "DIR/ca/verbs.key"
[log]
level = "info"
`

// certify makes the authority and a certificate for each listener with the commands
// that operators have.
func (f *fleet) certify(names ...string) {
	f.t.Helper()
	ca := filepath.Join(f.dir, "ca")
	f.coffer("", "ca", "init", "--dir", ca)
	for _, n := range names {
		f.coffer("", "ca", "issue", n, "--dir", ca, "--host", "127.0.0.1")
	}
}

func (f *fleet) ca(name string) string { return filepath.Join(f.dir, "ca", name) }

// join starts an agent that has joined with a token.
func (f *fleet) join(name, token string) {
	f.t.Helper()
	f.coffer("", "--state", filepath.Join(f.dir, name), "agent", "join", token)
	f.start(name, "agent")
	f.says(name, "works for the broker")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// token is what an invitation prints.
func (f *fleet) token(url string, args ...string) string {
	f.t.Helper()
	var i struct{ Token string }
	if err := json.Unmarshal([]byte(f.coffer(url, args...)), &i); err != nil || i.Token == "" {
		f.t.Fatalf("no token: %v", err)
	}
	return i.Token
}
