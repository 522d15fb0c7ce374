package chaos

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/rest"
)

const token = "0123456789abcdef0123"

// configuration is a fleet of one machine; each process gets its own broker's proxy
// and its own state folder from the environment.
const configuration = `
[api]
tokens_file = "DIR/tokens"
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

// fleet is many of each role, as processes, over one broker and one PostgreSQL.
type fleet struct {
	t            *testing.T
	seed         int64
	timings      string
	dir, program string
	broker       *testenv.Broker
	records      *testenv.Proxy // before PostgreSQL
	roles        []*role
	agents       []*role
	apis         []*client.Client
}

func newFleet(t *testing.T, timings string) *fleet {
	t.Helper()
	sources(t)
	testenv.Need(t, "rabbitmq-server", "epmd", "mariadb-backup", "mariadbd")
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, timings: timings, dir: dir, program: filepath.Join(dir, "coffer")}
	t.Cleanup(f.end)
	if err := errors.Join(os.Chmod(dir, 0o711), os.Link(program(), f.program), os.Mkdir(f.path("store"), 0o711)); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	var stop func()
	go func() {
		var err error
		f.broker, stop, err = testenv.StartRabbitMQ(testenv.RabbitMQOptions{})
		started <- err
	}()
	pg := testenv.PostgreSQL(t, testenv.PostgresOptions{})
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	direct := net.JoinHostPort("127.0.0.1", strconv.Itoa(pg.Port))
	f.records = testenv.NewProxy(t, direct)
	f.write("bus.password", testenv.BrokerUserPassword, 0o600)
	f.write("records.password", testenv.PostgresPassword, 0o600)
	f.write("tokens", `{"token": "`+token+`", "project": "p", "user": "u", "roles": ["admin"]}`+"\n", 0o600)
	f.write("coffer.toml", strings.NewReplacer("DIR", dir, "BROKER", f.broker.Addr(), "USER", testenv.BrokerUserName,
		"RECORDS", strings.Replace(pg.Database(t), direct, f.records.Addr(), 1)).Replace(configuration), 0o644)
	return f
}

// end kills what is left, and shows the logs of a test that failed.
func (f *fleet) end() {
	for _, r := range f.roles {
		if r.cmd != nil {
			r.signal(syscall.SIGKILL)
			<-r.done
		}
	}
	for _, o := range f.left() {
		f.t.Logf("ended: %v", o)
		_ = syscall.Kill(o.pid, syscall.SIGKILL)
	}
	if keep := os.Getenv("COFFER_CHAOS_KEEP"); f.t.Failed() && keep != "" {
		f.t.Logf("kept: %v", os.Rename(f.dir, keep))
	} else if f.t.Failed() && len(f.roles) < 6 {
		for _, r := range f.roles {
			b, _ := os.ReadFile(r.log())
			f.t.Logf("%s:\n%s", r.name, b[max(0, len(b)-3000):])
		}
	}
	os.RemoveAll(f.dir)
}

func (f *fleet) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fleet) write(name, body string, mode os.FileMode) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(body), mode); err != nil {
		f.t.Fatal(err)
	}
}

// api starts an API that keeps its address over its lives.
func (f *fleet) api(name string) *role {
	f.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	at := ln.Addr().String()
	ln.Close()
	cl, err := client.New(client.Config{URL: "http://" + at, Token: token, Project: "p"})
	if err != nil {
		f.t.Fatal(err)
	}
	f.apis = append(f.apis, cl)
	return f.add(name, "api", "--listen", at)
}

// agent adds an agent with a state folder of its own.
func (f *fleet) agent(name string) *role {
	r := f.add(name, "agent")
	f.agents = append(f.agents, r)
	return r
}

// start begins the first life of everybody, and waits until all agents are heard.
func (f *fleet) start() {
	f.t.Helper()
	for _, r := range f.roles {
		r.start()
	}
	within(f.t, 90*time.Second, "all agents are heard", func() bool {
		ctx, stop := context.WithTimeout(f.t.Context(), 5*time.Second)
		defer stop()
		seen, err := f.apis[0].Agents(ctx)
		return err == nil && len(seen) == len(f.agents)
	})
}

// register puts a database under an agent's care.
func (f *fleet) register(a *role, src *testenv.Server) coffer.InstanceID {
	f.t.Helper()
	var in rest.InstanceBody
	var err error
	within(f.t, time.Minute, "an agent registers its database", func() bool {
		ctx, stop := context.WithTimeout(f.t.Context(), 30*time.Second)
		defer stop()
		in, err = f.apis[0].Register(ctx, rest.Register{
			Name: a.name, Agent: a.id(), Conn: coffer.Conn{Socket: src.Socket, CredentialsFile: src.CredentialsFile},
		})
		return err == nil || coffer.IsKind(err, coffer.KindInvalid, coffer.KindUnprocessable)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return in.Instance.ID
}

// ask asks one API after another until one answers with something that is not its
// own trouble.
func ask[A any](ctx context.Context, f *fleet, first int, what func(context.Context, *client.Client) (A, error)) (a A, err error) {
	for try := first; ; try++ {
		actx, stop := context.WithTimeout(ctx, 8*time.Second)
		a, err = what(actx, f.apis[try%len(f.apis)])
		stop()
		if err == nil || ctx.Err() != nil || !coffer.IsKind(err, coffer.KindUnavailable, coffer.KindInternal, coffer.KindUnknown, coffer.KindCanceled) {
			return a, err
		}
		<-time.After(100 * time.Millisecond)
	}
}

// show is a backup's row.
func (f *fleet) show(ctx context.Context, first int, id coffer.BackupID) (rest.Backup, error) {
	b, err := ask(ctx, f, first, func(ctx context.Context, cl *client.Client) (rest.BackupBody, error) { return cl.BackupDetail(ctx, id) })
	return b.Backup, err
}

// settled waits for a backup's end.
func (f *fleet) settled(id coffer.BackupID, d time.Duration) (b rest.Backup) {
	f.t.Helper()
	within(f.t, d, "backup "+string(id)+" ends", func() bool {
		var err error
		b, err = f.show(f.t.Context(), 0, id)
		return err == nil && !b.State.Running()
	})
	return b
}
