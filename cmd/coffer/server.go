package main

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/bus/unix"
	"github.com/cofferdb/coffer/internal/config"
)

type serverCmd struct {
	configFlag
	listenFlags
	holdFlags
	Store    string `type:"path" placeholder:"DIR" help:"Folder that keeps the backups; STATE/store by default."`
	Identity string `type:"path" placeholder:"FILE" help:"The operator's age identity, for restores; STATE/keys/identity.txt if it is there."`
	NoAgent  bool   `help:"Run no agent in this process; agents of this machine join with: coffer agent."`
}

// holdFlags bound what a backup does to others.
type holdFlags struct {
	SpoolBytes int64         `placeholder:"268435456" help:"Bound of the spool that takes a backup's tail while locks are held, in bytes."`
	MaxBlock   time.Duration `placeholder:"10s" help:"Longest that a backup may make every commit wait."`
	MaxDDLWait time.Duration `placeholder:"30s" help:"Longest that it may make other DDL wait."`
	MaxNonTx   time.Duration `name:"max-block-nontrans" placeholder:"60s" help:"Longest that it may make writers of non-transactional tables wait."`
	StopWait   time.Duration `placeholder:"10m" help:"How long a stop waits for running backups; a second signal ends them at once."`
}

// over puts what was given over the configuration.
func (f holdFlags) over(c *config.Agent) {
	given(&c.SpoolBytes, config.Size(f.SpoolBytes))
	given(&c.MaxBlock, f.MaxBlock)
	given(&c.MaxDDLWait, f.MaxDDLWait)
	given(&c.MaxBlockNonTrans, f.MaxNonTx)
	given(&c.StopWait, f.StopWait)
}

// given puts v into *p unless it is zero.
func given[T comparable](p *T, v T) {
	var zero T
	if v != zero {
		*p = v
	}
}

// Help is shown by --help.
func (serverCmd) Help() string {
	return `Runs the API, the task manager, the conductor and an agent in one process, with SQLite and local files unless --config says otherwise. It writes a token for the local administrator into STATE/token; the other commands find both there.

Examples:
  coffer server
  coffer --state /srv/coffer server --listen 127.0.0.1:8779 --store /mnt/backups
  coffer server --config /etc/coffer/coffer.toml

` + exitHelp
}

// configure is the file, with the flags over it.
func (c *serverCmd) configure(e *environment) (cfg config.Config, own bool, err error) {
	if cfg, err = c.load(false); err != nil {
		return cfg, false, err
	}
	e.home(cfg.Server.State, defaultState())
	c.listenFlags.over(&cfg.API)
	c.holdFlags.over(&cfg.Agent)
	given(&cfg.Keys.IdentityFile, c.Identity)
	cfg.Server.Agent = cfg.Server.Agent && !c.NoAgent
	if err := readable(cfg.Keys.IdentityFile); err != nil {
		return cfg, false, err
	}
	if err := check(cfg, config.RoleServer); err != nil {
		return cfg, false, err
	}
	if c.Store != "" {
		cfg.Stores = map[string]config.Store{defaultStore: {Kind: config.File, Path: c.Store}}
	}
	return cfg, len(cfg.Stores) == 0, nil
}

// Run serves until a signal; a second signal ends it at once.
func (c *serverCmd) Run(e *environment) error {
	cfg, own, err := c.configure(e)
	if err != nil {
		return err
	}
	if err := e.state.make(); err != nil {
		return err
	}
	lock, err := e.state.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	limitMemory()
	s := settings{
		Config: embedded(cfg, e.state), Role: config.RoleServer, State: e.state, MakeStore: own, Log: e.logger(cfg.Log),
	}
	p, err := assemble(e.ctx, s)
	if err != nil {
		return err
	}
	defer p.close()
	return c.serve(e, s, p)
}

func (c *serverCmd) serve(e *environment, s settings, p *parts) error {
	own, err := auth.Local(e.state.path("token"))
	if err != nil {
		return err
	}
	h, err := p.handler(s, own)
	if err != nil {
		return err
	}
	l, err := listen(s.Config)
	if err != nil {
		return err
	}
	where := endpoint{URL: l.url(), Project: auth.LocalProject, CA: l.ca}
	run := newProcess(p, s.Log)
	run.roles()
	run.activate(s)
	run.serve("api", false, func(ctx context.Context) error { return l.serve(ctx, h, s.Log) })
	if s.Config.Bus.Kind == config.Local {
		where.Socket = e.state.path("bus.sock")
		sock, err := unix.Listen(where.Socket)
		if err != nil {
			l.Close()
			return coffer.Wrap("open the bus for agents of this machine", err)
		}
		run.serve("bus", false, func(ctx context.Context) error { return unix.Serve(ctx, sock, p.bus, s.Log) })
	}
	run.say = func(ctx context.Context) error { return c.announce(ctx, e, p, where, s.Config.Server.Agent) }
	return run.run(e.ctx, s.Config.Server.Agent)
}

// announce says where the server is, once everything answers.
func (c *serverCmd) announce(ctx context.Context, e *environment, p *parts, where endpoint, agent bool) error {
	if agent {
		if err := p.agent.Refresh(ctx); err != nil {
			return err
		}
	}
	if err := e.state.publish(where); err != nil {
		return err
	}
	e.serves("serves %s; state in %s", where.URL, e.state)
	if p.recipients == 0 {
		fmt.Fprintln(e.err, "note: backups of instances registered from now on are not encrypted; make keys with: coffer keys init")
	}
	return nil
}
