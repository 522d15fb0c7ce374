package testenv

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// The keys of RPC encryption of a private Trove: TroveTasksKey is Trove's published
// default, TroveGuestKey is that of every instance that [TroveServer.AddInstance] adds.
const (
	TroveTasksKey = "bzH6y0SGmjuoY0FNSTptrhgieGXNDX6PIhvz"
	TroveGuestKey = "coffer-test-key-0123456789abcdef"
)

// TroveOptions say what a private Trove is like.
type TroveOptions struct {
	Secure bool // encrypt RPC: enable_secure_rpc_messaging
}

// TroveServer is OpenStack's Trove as Debian has it: its API, one task manager and
// one conductor, on a private RabbitMQ, MariaDB, Keystone and Swift. Nova and its
// neighbours are a stand-in that knows the servers of added instances.
type TroveServer struct {
	URL      string // of the API
	Broker   *Broker
	Keystone *KeystoneServer
	Swift    *SwiftServer
	DB       *sql.DB // as root; Trove's own database is "trove"

	farm
	db    *Server
	cloud *troveCloud
	port  int
}

// troveWait is how long one of Trove's programs may take to start, on a busy machine.
const troveWait = 3 * time.Minute

// troveDaemons are Trove's three programs, in the order of their start.
func troveDaemons() []string { return []string{"trove-taskmanager", "trove-conductor", "trove-api"} }

// Trove starts one, in about 40 s on a quiet machine, and ends it with the test.
func Trove(t testing.TB, o TroveOptions) *TroveServer {
	t.Helper()
	Need(t, append(troveDaemons(), "trove-manage", "keystone-manage", "uwsgi", "swift-proxy-server", "memcached", "rabbitmq-server", "epmd")...)
	dir, err := os.MkdirTemp("/tmp", "cftr")
	if err != nil {
		t.Fatal(err)
	}
	s := &TroveServer{farm: farm{dir: dir}, cloud: newTroveCloud()}
	t.Cleanup(s.end)
	s.db = MariaDB(t, MariaDBOptions{ExtraConfig: []string{"max_connections = 200"}})
	s.DB = s.db.DB(t)
	s.db.Exec(t, "CREATE DATABASE trove CHARACTER SET utf8",
		"CREATE USER trove@'127.0.0.1' IDENTIFIED BY 'trove'", "GRANT ALL ON trove.* TO trove@'127.0.0.1'")
	if err := s.up(o); err != nil {
		t.Fatalf("start a private Trove: %v", err)
	}
	return s
}

func (s *TroveServer) up(o TroveOptions) error {
	ports, err := loopbackPorts(2)
	if err != nil {
		return err
	}
	s.port = ports[0]
	s.URL = fmt.Sprintf("http://127.0.0.1:%d", s.port)
	identity := KeystoneURL(ports[1])
	cloud := s.cloud.URL()
	// By itself: of the many it has the least patience.
	if s.Broker, _, err = StartRabbitMQ(RabbitMQOptions{}); err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() (err error) { s.Swift, err = StartSwift(SwiftOptions{KeystoneURL: identity}); return err })
	g.Go(func() (err error) {
		s.Keystone, err = StartKeystone(KeystoneOptions{Port: ports[1], Endpoints: map[string]string{
			"database": s.URL + "/v1.0/%(project_id)s", "compute": cloud + "/compute/v2.1", "image": cloud + "/image",
			"network": cloud + "/network", "volumev3": cloud + "/volume/v3/%(project_id)s",
		}})
		return err
	})
	g.Go(s.schema)
	if err := g.Wait(); err != nil {
		return err
	}
	if err := s.Keystone.AddEndpoint("object-store", "RegionOne", s.Swift.KeystoneURL+"/AUTH_%(project_id)s"); err != nil {
		return err
	}
	return s.Start(o)
}

// schema makes Trove's tables, with the one datastore that there is.
func (s *TroveServer) schema() error {
	if err := os.WriteFile(s.path("sitecustomize.py"), []byte(troveShim), 0o644); err != nil {
		return err
	}
	conf := s.path("schema.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "[database]\nconnection = %s\n", s.dsn()), 0o644); err != nil {
		return err
	}
	if err := s.run("env", "PYTHONPATH="+s.dir, "trove-manage", "--config-file", conf, "db_sync"); err != nil {
		return err
	}
	return s.seed()
}

func (s *TroveServer) path(name string) string { return s.dir + "/" + name }

func (s *TroveServer) dsn() string {
	return fmt.Sprintf("mysql+pymysql://trove:trove@127.0.0.1:%d/trove?charset=utf8", s.db.Port)
}

// Start runs Trove's programs, again if they run already: to change the options.
func (s *TroveServer) Start(o TroveOptions) error {
	for _, name := range s.names {
		_ = syscall.Kill(-s.procs[name].pid, syscall.SIGKILL)
		<-s.procs[name].done
	}
	s.names = nil
	conf := s.path("trove.conf")
	if err := os.WriteFile(conf, []byte(s.config(o)), 0o644); err != nil {
		return err
	}
	for _, name := range troveDaemons() {
		if err := s.start(name, []string{"PYTHONPATH=" + s.dir}, name, "--config-file", conf); err != nil {
			return err
		}
	}
	err := s.await("trove-api", troveWait, func(ctx context.Context) bool { return answers(ctx, s.URL+"/", http.StatusOK) })
	if err != nil {
		return err
	}
	for name, queue := range map[string]string{"trove-taskmanager": "taskmanager", "trove-conductor": "trove-conductor"} {
		err := s.await(name, troveWait, func(context.Context) bool { return s.served(queue) })
		if err != nil {
			return err
		}
	}
	return nil
}

// served says whether somebody reads a queue.
func (s *TroveServer) served(queue string) bool {
	out, err := s.Broker.Ctl("list_queues", "name", "consumers")
	if err != nil {
		return false
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == queue && f[1] != "0" {
			return true
		}
	}
	return false
}

// Log is the end of what one of Trove's programs has printed.
func (s *TroveServer) Log(program string) string {
	out, _ := os.ReadFile(s.log(program))
	return string(tail(out))
}

// Asked are the requests that the stand-in for Nova could not answer.
func (s *TroveServer) Asked() []string { return s.cloud.unknown() }

func (s *TroveServer) end() {
	s.stop()
	s.cloud.close()
	if s.Keystone != nil {
		s.Keystone.Stop()
	}
	if s.Swift != nil {
		s.Swift.Stop()
	}
	if s.Broker != nil {
		s.Broker.end(syscall.SIGKILL)
		s.Broker.endEpmd()
		os.RemoveAll(s.Broker.Dir)
	}
	os.RemoveAll(s.dir)
}

// troveShim gives back what Python 3.11 has dropped and Trove 18 still calls.
const troveShim = `import collections, inspect
if not hasattr(inspect, "getargspec"):
    Spec = collections.namedtuple("Spec", "args varargs keywords defaults")
    inspect.getargspec = lambda f: Spec._make(inspect.getfullargspec(f)[:4])
`

// listenLoopback is a server of this process on a port of 127.0.0.1.
func listenLoopback(h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		srv.Listener.Close()
		srv.Listener = l
	}
	srv.Start()
	return srv
}
