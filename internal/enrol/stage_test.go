package enrol

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/sign"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/rest"
)

// stage is a control plane on the real broker with two agents that have joined: an
// honest one, whose backup runs, and a hostile one.
type stage struct {
	*shared
	t         *testing.T
	db        *records.DB
	conductor *conductor.Conductor
	plane     *amqp.Bus
	signer    *sign.Signer
	log       lines
	honest    member
	hostile   member
	job       coffer.JobID
	runner    coffer.Runner
	verbs     atomic.Int64 // that the honest agent carried out
}

// lines is a log that may be written while it is read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// member is an agent that has joined, and its instance.
type member struct {
	rest.Joined
	in coffer.InstanceID
}

type memoryStore struct{ *storetest.Memory }

func (m memoryStore) Open(context.Context, string) (store.Full, error) { return m.Memory, nil }

func (m memoryStore) URL(_, object string) string { return object }

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// exchange is not the one of the other tests of this broker.
const hostileExchange = "hostile"

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{shared: broker(t), t: t}
	log := slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	var err error
	s.db, err = records.Open(t.Context(), filepath.Join(t.TempDir(), "r.db"))
	s.must(err)
	t.Cleanup(func() { s.db.Close() })
	key, err := sign.Create(filepath.Join(t.TempDir(), "verbs.key"))
	s.must(err)
	s.signer = sign.NewSigner(key, nil)
	acc := s.accounts(t)
	acc.exchange = hostileExchange
	desk := &Desk{Records: s.db, Accounts: acc, Now: time.Now, Offer: Offer{URL: "https://x", Exchange: hostileExchange, VHost: "/", VerifyKeys: []string{s.signer.Public()}}}
	s.honest, s.hostile = s.join(desk), s.join(desk)
	s.plane, err = amqp.Dial(t.Context(), amqp.Options{
		Hosts: []string{fmt.Sprintf("127.0.0.1:%d", s.TLSPort)}, User: testenv.BrokerUserName, Password: testenv.BrokerUserPassword,
		TLS: s.tls(t), Exchange: hostileExchange, UserID: true, Signer: s.signer, Log: log,
	})
	s.must(err)
	t.Cleanup(func() { s.plane.Close() })
	s.conductor = &conductor.Conductor{
		Records: s.db, Bus: s.plane, Log: log, Now: time.Now, Accounts: desk.Grant,
		Settler: &settle.Settler{Records: s.db, Stores: memoryStore{storetest.NewMemory()}, Now: time.Now},
		Senders: func(account string) (coffer.AgentID, bool, bool) {
			w, ok := AgentOf(account)
			return w.Agent, w.Host, ok
		},
	}
	s.serve(s.conductor.Run)
	return s
}

// serve runs a server until the test ends, and waits until messages can arrive.
func (s *stage) serve(run func(context.Context, func()) error) {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	end, ready := make(chan error, 1), make(chan struct{})
	go func() { end <- run(ctx, func() { close(ready) }) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-end; err != nil {
			s.t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-end:
		end <- err
		s.t.Fatal(err)
	}
}

// join registers an instance and lets its agent in.
func (s *stage) join(desk *Desk) member {
	s.t.Helper()
	in := coffer.Instance{ID: coffer.InstanceID(newID()), Project: "p", Name: "db", Kind: coffer.Registered, Status: "BUILD"}
	s.must(s.db.CreateInstance(s.t.Context(), in))
	token, _, err := desk.Invite(s.t.Context(), "p", in.ID, 0)
	s.must(err)
	tok, err := ParseToken(token)
	s.must(err)
	j, err := desk.Redeem(s.t.Context(), rest.Redeem{Secret: tok.Secret, AgentKey: NewAgentKey()})
	s.must(err)
	row, err := s.db.InstanceByID(s.t.Context(), in.ID)
	s.must(err)
	row.Status = "ACTIVE"
	s.must(s.db.UpdateInstance(s.t.Context(), row))
	return member{j, in.ID}
}

// busOf is the bus of an agent as it joined: held to its own names.
func (s *stage) busOf(m member) *amqp.Bus {
	s.t.Helper()
	v, err := sign.NewVerifier(m.VerifyKeys, nil)
	s.must(err)
	b, err := amqp.Dial(s.t.Context(), amqp.Options{
		Hosts: []string{fmt.Sprintf("127.0.0.1:%d", s.TLSPort)}, User: m.Account, Password: m.Password, TLS: s.tls(s.t), HostName: "db1.example",
		Exchange: hostileExchange, UserID: true, Verifier: v, ReplyPrefix: m.ReplyPrefix, Exists: true, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	s.must(err)
	s.t.Cleanup(func() { b.Close() })
	return b
}

// begin lets the honest agent live, and its backup run.
func (s *stage) begin() *amqp.Bus {
	s.t.Helper()
	ctx := s.t.Context()
	b := s.busOf(s.honest)
	s.runner = coffer.NewRunner(s.honest.Agent, "boot")
	r, err := message.Heartbeat.Call(ctx, b, message.Conductor, message.HeartbeatArgs{Agent: s.honest.Agent, Boot: "boot", Beat: 1})
	s.must(err)
	if len(r.Instances) != 1 || r.Instances[0].ID != s.honest.in {
		s.t.Fatalf("%+v", r)
	}
	mux := bus.Mux{}
	bus.Handle(mux, message.Start, func(context.Context, message.JobRef) (message.None, error) {
		s.verbs.Add(1)
		return message.None{}, nil
	})
	for _, at := range []bus.Target{message.GuestAgent(s.honest.in), message.HostAgent(s.honest.Agent)} {
		s.serve(func(ctx context.Context, ready func()) error { return b.Serve(ctx, at, mux.Serve, ready) })
	}
	made, err := s.db.CreateBackup(ctx, records.NewBackup{Project: "p", Instance: s.honest.in, Name: "b", Store: "s", Quota: -1})
	s.must(err)
	s.job = coffer.JobID(made.ID)
	_, err = message.Claim.Call(ctx, b, message.Conductor, message.ClaimArgs{Job: s.job, Runner: s.runner})
	s.must(err)
	s.must(message.Report.Cast(ctx, b, message.Conductor, message.ReportArgs{Job: s.job, Runner: s.runner, Seq: 7, Beat: 7, Phase: "copy"}))
	s.until("the honest report is applied", func() bool { return s.row().Phase == "copy" })
	return b
}

func (s *stage) row() coffer.Job {
	s.t.Helper()
	j, err := s.db.JobByID(s.t.Context(), s.job)
	s.must(err)
	return j
}

func (s *stage) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			s.t.Fatalf("not within 20 s: %s\n%s", what, s.log.String())
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.t.Context().Done():
		}
	}
}

// all is every row that an agent could wish to change.
func (s *stage) all() string {
	s.t.Helper()
	ctx := s.t.Context()
	jobs, err := s.db.Jobs(ctx, records.JobFilter{All: true})
	s.must(err)
	backups, err := s.db.Backups(ctx, records.BackupFilter{All: true})
	s.must(err)
	ins, err := s.db.AllInstances(ctx, "", 0)
	s.must(err)
	agents, err := s.db.Agents(ctx)
	s.must(err)
	b, err := json.Marshal([]any{jobs, backups, ins, agents})
	s.must(err)
	return string(b)
}
