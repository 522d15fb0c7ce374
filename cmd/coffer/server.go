package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/bus/unix"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/lifecycle"
	"github.com/cofferdb/coffer/rest"
)

type serverCmd struct {
	Listen     string        `default:"127.0.0.1:8779" help:"Address of the API; port 0 picks a free one."`
	Store      string        `type:"path" placeholder:"DIR" help:"Folder that keeps the backups; STATE/store by default."`
	Tokens     string        `type:"path" placeholder:"FILE" help:"Tokens of other callers, one JSON line each (mode 0600)."`
	Identity   string        `type:"path" placeholder:"FILE" help:"The operator's age identity, for restores; STATE/keys/identity.txt if it is there."`
	NoAgent    bool          `help:"Run no agent in this process; agents of this machine join with: coffer agent."`
	SpoolBytes int64         `default:"268435456" help:"Bound of the spool that takes a backup's tail while locks are held, in bytes."`
	MaxBlock   time.Duration `default:"10s" help:"Longest that a backup may make every commit wait."`
	MaxDDLWait time.Duration `default:"30s" help:"Longest that it may make other DDL wait."`
	MaxNonTx   time.Duration `name:"max-block-nontrans" default:"60s" help:"Longest that it may make writers of non-transactional tables wait."`
	Quota      int           `default:"-1" help:"Backups that a project may keep; below 0 is no limit."`
}

// Help is shown by --help.
func (serverCmd) Help() string {
	return `Runs the API, the task manager, the conductor and an agent in one process, with SQLite and local files. It writes a token for the local administrator into STATE/token; the other commands find both there.

Examples:
  coffer server
  coffer --state /srv/coffer server --listen 127.0.0.1:8779 --store /mnt/backups

` + exitHelp
}

// Run serves until a signal; a second signal ends it at once.
func (c *serverCmd) Run(e *environment) error {
	if err := e.state.make(); err != nil {
		return err
	}
	lock, err := e.state.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	own := c.Store == ""
	if own {
		c.Store = e.state.path("store")
	}
	limitMemory()
	p, err := assemble(e.ctx, settings{
		State: e.state, StoreDir: c.Store, MakeStore: own, Identity: c.Identity, Log: e.log(), SpoolBytes: c.SpoolBytes,
		Options: engine.Options{MaxDDLWait: c.MaxDDLWait, MaxBlock: c.MaxBlock, MaxBlockNonTrans: c.MaxNonTx},
	})
	if err != nil {
		return err
	}
	defer p.close()
	return c.serve(e, p)
}

func (c *serverCmd) serve(e *environment, p *parts) error {
	h, err := c.handler(e, p)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return coffer.E(coffer.KindUnavailable, "listen on "+c.Listen, "%w", err).
			WithHint("choose another address with --listen")
	}
	if !loopback(ln.Addr()) {
		ln.Close()
		return coffer.E(coffer.KindInvalid, "listen on "+c.Listen, "this server speaks plain HTTP and listens on loopback only").
			WithHint("put a TLS proxy before it")
	}
	sock, err := unix.Listen(e.state.path("bus.sock"))
	if err != nil {
		ln.Close()
		return coffer.Wrap("open the bus for agents of this machine", err)
	}
	where := endpoint{URL: "http://" + ln.Addr().String(), Project: auth.LocalProject, Socket: e.state.path("bus.sock")}
	ready := make(chan struct{}, 3)
	tell := func() { ready <- struct{}{} }
	waits := 2
	roles := []lifecycle.Part{
		{Name: "conductor", Run: func(ctx context.Context) error { return p.conductor.Run(ctx, tell) }},
		{Name: "task manager", Run: func(ctx context.Context) error { return p.tasks.Run(ctx, tell) }},
		{Name: "bus", Run: func(ctx context.Context) error { return unix.Serve(ctx, sock, p.bus, e.log()) }},
		{Name: "api", Run: func(ctx context.Context) error { return serveHTTP(ctx, ln, api.Server(h, e.log())) }},
	}
	if !c.NoAgent {
		waits++
		roles = append(roles, lifecycle.Part{Name: "agent", Run: func(ctx context.Context) error { return p.agent.Run(ctx, tell) }})
	}
	roles = append(roles, lifecycle.Part{Name: "announce", Run: func(ctx context.Context) error {
		for range waits {
			select {
			case <-ready:
			case <-ctx.Done():
				return nil
			}
		}
		return c.announce(ctx, e, p, where)
	}})
	return lifecycle.Run(e.ctx, roles...)
}

// announce says where the server is, once everything answers.
func (c *serverCmd) announce(ctx context.Context, e *environment, p *parts, where endpoint) error {
	if !c.NoAgent {
		if err := p.agent.Refresh(ctx); err != nil {
			return err
		}
	}
	if err := e.state.publish(where); err != nil {
		return err
	}
	fmt.Fprintf(e.err, "coffer %s serves %s; state in %s\n", version(), where.URL, e.state)
	if p.recipients == 0 {
		fmt.Fprintln(e.err, "note: backups of instances registered from now on are not encrypted; make keys with: coffer keys init")
	}
	return nil
}

func (c *serverCmd) handler(e *environment, p *parts) (http.Handler, error) {
	own, err := auth.Local(e.state.path("token"))
	if err != nil {
		return nil, err
	}
	who, err := auth.NewStatic([]auth.Entry{own})
	if err != nil {
		return nil, err
	}
	callers := callers{who}
	if c.Tokens != "" {
		more, err := auth.LoadStatic(c.Tokens)
		if err != nil {
			return nil, err
		}
		callers = append(callers, more)
	}
	cfg := api.Config{
		Records: p.db, Bus: p.bus, Auth: callers, Prober: p.stores, Sweeper: sweeper{p},
		Stores: []string{defaultStore}, Quota: c.Quota, Log: e.log(),
	}
	if p.recipients > 0 {
		cfg.Keys = p.ring
	}
	return api.New(cfg), nil
}

// callers asks one authenticator after another; the last one's refusal counts.
type callers []auth.Authenticator

// Authenticate is the first caller that any of them knows.
func (c callers) Authenticate(ctx context.Context, r *http.Request) (who auth.Caller, err error) {
	for _, a := range c {
		if who, err = a.Authenticate(ctx, r); err == nil {
			return who, nil
		}
	}
	return who, err
}

// sweeper gives the API the task manager's sweep.
type sweeper struct{ p *parts }

// Sweep is one pass.
func (s sweeper) Sweep(ctx context.Context) (rest.Sweep, error) {
	r, err := s.p.tasks.Sweep(ctx)
	return rest.Sweep{
		Places: r.Places, Wiped: r.Wiped, Forgotten: r.Forgotten, Waiting: r.Waiting, Kept: r.Kept, Strangers: r.Strangers,
	}, err
}

func loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// serveHTTP serves until ctx ends, then lets running requests finish for a while.
func serveHTTP(ctx context.Context, ln net.Listener, s *http.Server) error {
	end := make(chan error, 1)
	go func() { end <- s.Serve(ln) }()
	select {
	case err := <-end:
		return coffer.Wrap("serve the API", err)
	case <-ctx.Done():
	}
	sctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if err := s.Shutdown(sctx); err != nil {
		s.Close()
	}
	<-end
	return nil
}
