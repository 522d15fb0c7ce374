package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/testenv"
)

// plane is a control plane on servers of its own: RabbitMQ and PostgreSQL as a
// fleet would have them, and one process for each role.
type plane struct {
	broker  *testenv.Broker
	pg      *testenv.Postgres
	records string
	db      *records.DB
	store   string
}

func newPlane(tb testing.TB) *plane {
	tb.Helper()
	p := &plane{}
	// Beyond what tests need: PostgreSQL as durable as it comes, and a broker that
	// may hold the queues of a fleet.
	p.pg = testenv.PostgreSQL(tb, testenv.PostgresOptions{ExtraConfig: []string{"fsync = on", "shared_buffers = 128MB"}})
	p.broker = testenv.RabbitMQ(tb, testenv.RabbitMQOptions{ExtraConfig: []string{"vm_memory_high_watermark.absolute = 8GB"}})
	p.records = p.pg.Database(tb)
	var err error
	p.db, err = records.OpenSource(tb.Context(), records.Source{URL: p.records, Password: testenv.PostgresPassword})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { p.db.Close() })
	// A store in memory: what a disk can do is not the question here.
	if p.store, err = os.MkdirTemp(memory(), "cfb"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(p.store) })
	return p
}

// memory is a folder in memory where there is one.
func memory() string {
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// wire is how this benchmark's processes speak to the broker: with the sender's
// account on each message, which the broker checks, and one queue for a Serve.
func wire(addr string, log *slog.Logger) amqp.Options {
	return amqp.Options{
		Hosts: []string{addr}, User: testenv.BrokerUserName, Password: testenv.BrokerUserPassword, UserID: true, Log: log,
	}
}

// post is a station that runs.
type post struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	said bytes.Buffer
	url  string
}

// boot starts a station and waits until it serves.
func (p *plane) boot(tb testing.TB, s station) *post {
	tb.Helper()
	s.Records, s.Password, s.Store, s.Broker = p.records, testenv.PostgresPassword, p.store, p.broker.Addr()
	spec, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	c := &post{cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), stationEnv+"="+string(spec))
	c.cmd.Stderr = &c.said
	var out io.Reader
	if c.in, err = c.cmd.StdinPipe(); err == nil {
		out, err = c.cmd.StdoutPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		tb.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	tb.Cleanup(func() { c.stop(tb, s.Role) })
	c.url = c.read(tb).URL
	return c
}

func (c *post) stop(tb testing.TB, role string) {
	c.in.Close()
	if err := c.cmd.Wait(); err != nil || c.said.Len() > 0 {
		tb.Logf("%s: %v\n%.4000s", role, err, c.said.String())
	}
}

func (c *post) read(tb testing.TB) (a account) {
	tb.Helper()
	if !c.out.Scan() {
		tb.Fatalf("a station says nothing: %v", c.out.Err())
	}
	if err := json.Unmarshal(c.out.Bytes(), &a); err != nil {
		tb.Fatalf("%v: %s", err, c.out.Text())
	}
	return a
}

// account asks a station for what it did since it was asked last.
func (c *post) account(tb testing.TB) account {
	tb.Helper()
	if _, err := fmt.Fprintln(c.in); err != nil {
		tb.Fatal(err)
	}
	return c.read(tb)
}

// populate makes the rows of agents with some instances each.
func (p *plane) populate(tb testing.TB, agents []coffer.AgentID, each int) map[coffer.AgentID][]coffer.InstanceID {
	tb.Helper()
	var mu sync.Mutex
	made := map[coffer.AgentID][]coffer.InstanceID{}
	const at = 8
	var wg sync.WaitGroup
	for g := range at {
		wg.Go(func() {
			for i := g; i < len(agents)*each; i += at {
				id, agent := coffer.InstanceID(coffer.NewUUID()), agents[i/each]
				if err := p.db.CreateInstance(tb.Context(), coffer.Instance{
					ID: id, Project: auth.LocalProject, Name: fmt.Sprint("db-", i), Kind: coffer.Registered, Status: "ACTIVE",
					Agent: agent, Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"},
				}); err != nil {
					tb.Error(err)
					return
				}
				mu.Lock()
				made[agent] = append(made[agent], id)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
	return made
}

// cpu is what a process and all its descendants have used.
func cpu(pid int) (sum time.Duration) {
	const tick = time.Second / 100
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // it may have ended
	_, after, _ := strings.Cut(string(text), ") ")
	if f := strings.Fields(after); len(f) > 14 {
		for _, field := range f[11:15] { // utime, stime, and those of children waited for
			var n int64
			fmt.Sscan(field, &n)
			sum += time.Duration(n) * tick
		}
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		kids, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(kids)) {
			var kid int
			fmt.Sscan(word, &kid)
			sum += cpu(kid)
		}
	}
	return sum
}

// load is the machine's load average, for the log.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.TrimSpace(string(text))
}
