package api_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/rest"
)

const agentID = coffer.AgentID("11111111-2222-4333-8444-555555555555")

// service is the API behind a real HTTP server, with real records and, on the
// bus, an agent that answers what it is told to.
type service struct {
	t     *testing.T
	db    *records.DB
	bus   *local.Bus
	url   string
	logs  *safeBuffer
	probe error // what reading the probe back gives
	swept int

	mu   sync.Mutex
	bell []coffer.JobID // what the task manager heard
}

func (s *service) ReadProbe(_ context.Context, store, object, sum string) error {
	if store != "main" || object != "probe/x" || sum != "abc" {
		s.t.Errorf("probe of %s %s %s", store, object, sum)
	}
	return s.probe
}

func (s *service) Sweep(context.Context) (rest.Sweep, error) {
	s.swept++
	return rest.Sweep{Places: 1, Strangers: []string{"other"}}, nil
}

func newService(t *testing.T, change func(*api.Config)) *service {
	s := &service{t: t, db: openRecords(t), bus: local.New(), logs: &safeBuffer{}}
	c := api.Config{
		Records: s.db, Bus: s.bus, Auth: people(t), Prober: s, Sweeper: s, Stores: []string{"main"},
		Log: slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if change != nil {
		change(&c)
	}
	srv := httptest.NewUnstartedServer(api.New(c))
	srv.Config = api.Server(srv.Config.Handler, c.Log)
	srv.Start()
	t.Cleanup(srv.Close)
	s.url = srv.URL
	s.serve(message.TaskManager, func(mux bus.Mux) {
		bus.Handle(mux, message.Dispatch, func(_ context.Context, r message.JobRef) (message.None, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.bell = append(s.bell, r.Job)
			return message.None{}, nil
		})
		bus.Handle(mux, message.Cancel, func(context.Context, message.JobRef) (message.None, error) { return message.None{}, nil })
	})
	return s
}

// heard waits until the task manager has heard of a job.
func (s *service) heard(id coffer.JobID) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		for _, b := range s.bell {
			if b == id {
				s.mu.Unlock()
				return
			}
		}
		s.mu.Unlock()
		if time.Now().After(end) {
			s.t.Fatalf("the task manager never heard of %s", id)
		}
	}
}

// agent makes an agent known and serves its topic.
func (s *service) agent(register func(message.RegisterArgs) (message.RegisterReply, error), look message.LookReply) {
	s.t.Helper()
	if err := s.db.Heartbeat(s.t.Context(), coffer.Agent{ID: agentID, Boot: "b", Host: true, DataDir: "/srv", Free: 1 << 40}); err != nil {
		s.t.Fatal(err)
	}
	s.serve(message.HostAgent(agentID), func(mux bus.Mux) {
		bus.Handle(mux, message.Register, func(_ context.Context, a message.RegisterArgs) (message.RegisterReply, error) { return register(a) })
		bus.Handle(mux, message.Look, func(context.Context, message.LookArgs) (message.LookReply, error) { return look, nil })
		bus.Handle(mux, message.Forget, func(context.Context, message.InstanceRef) (message.None, error) { return message.None{}, nil })
		bus.Handle(mux, message.Cancel, func(context.Context, message.JobRef) (message.None, error) { return message.None{}, nil })
	})
}

func (s *service) serve(at bus.Target, fill func(bus.Mux)) {
	s.t.Helper()
	mux := bus.Mux{}
	fill(mux)
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if err := s.bus.Serve(ctx, at, mux.Serve, func() { close(ready) }); err != nil {
			s.t.Error(err)
		}
	}()
	<-ready
	s.t.Cleanup(func() { stop(); <-done })
}

func (s *service) client(user string) *client.Client {
	s.t.Helper()
	c, err := client.New(client.Config{URL: s.url, Token: tokenOf(user), Project: projectOf(user)})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// instance keeps a ready instance of alice's.
func (s *service) instance() coffer.Instance {
	s.t.Helper()
	in := coffer.Instance{
		ID: coffer.InstanceID(coffer.NewUUID()), Project: projA, Name: "db", Kind: coffer.Registered, Agent: agentID, Status: "ACTIVE",
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Conn: coffer.Conn{Socket: "/run/db.sock"},
	}
	if err := s.db.CreateInstance(s.t.Context(), in); err != nil {
		s.t.Fatal(err)
	}
	return in
}

// complete does what agent and conductor do for a backup.
func (s *service) complete(id coffer.BackupID) {
	s.t.Helper()
	ctx, job, runner := s.t.Context(), coffer.JobID(id), coffer.NewRunner(agentID, "b")
	if _, err := s.db.Claim(ctx, job, runner, time.Now()); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.db.Report(ctx, records.Report{Job: job, Runner: runner, Seq: 1, Data: 3 << 30, Phase: "copy",
		Events: []coffer.Event{{Level: coffer.Info, Code: "copy.begun", Text: "copying"}}}); err != nil {
		s.t.Fatal(err)
	}
	if ok, why, err := s.db.Grant(ctx, job, runner, "sum", time.Now()); err != nil || !ok {
		s.t.Fatalf("grant: %s %v", why, err)
	}
	b, err := s.db.BackupByID(ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	b.Sizes.Plain, b.Sizes.Stored = 2<<30, 1<<30
	if _, err := s.db.Complete(ctx, job, records.Completion{
		Manifest: "sum", Sizes: b.Sizes, Type: b.Type, Method: "mariabackup", Datastore: b.Datastore, Location: "file:///x", Store: b.Store,
		Position: coffer.Position{To: 42},
	}); err != nil {
		s.t.Fatal(err)
	}
}

// safeBuffer is a log that many goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// broken are records whose disk is gone.
type broken struct{ *records.DB }

func (broken) Backups(context.Context, records.BackupFilter) ([]coffer.Backup, error) {
	return nil, errBroken()
}

func (broken) Jobs(context.Context, records.JobFilter) ([]coffer.Job, error) { return nil, errBroken() }

func (broken) Agents(context.Context) ([]coffer.Agent, error) { panic("secret of the database") }

func errBroken() error { return coffer.E(coffer.KindInternal, "read", "secret of the database") }
