package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/lifecycle"
)

// process is one run of some roles.
type process struct {
	parts *parts
	plane []lifecycle.Part            // what an agent of this process leans on
	ready chan struct{}               // told by each part that answers
	waits int                         // how many must
	say   func(context.Context) error // run once all do; nil says nothing
	log   *slog.Logger
}

func newProcess(p *parts, log *slog.Logger) *process {
	return &process{parts: p, ready: make(chan struct{}, 8), log: log}
}

// tell counts a part that answers.
func (p *process) tell() { p.ready <- struct{}{} }

// serve adds a part of the control plane; one that waits must answer before the
// process is ready.
func (p *process) serve(name string, waits bool, run func(context.Context) error) {
	if waits {
		p.waits++
	}
	p.plane = append(p.plane, lifecycle.Part{Name: name, Run: run})
}

// roles adds the task manager and the conductor that the process has.
func (p *process) roles() {
	if c := p.parts.conductor; c != nil {
		p.serve("conductor", true, func(ctx context.Context) error { return c.Run(ctx, p.tell) })
		if g := p.parts.control; g != nil {
			p.serve("watch over guests", false, g.Run)
		}
	}
	if t := p.parts.tasks; t != nil {
		p.serve("task manager", true, func(ctx context.Context) error { return t.Run(ctx, p.tell) })
	}
}

// run runs everything until ctx ends. An agent stops first, and the control plane
// under it only then: what the agent finishes must be answered.
func (p *process) run(ctx context.Context, withAgent bool) error {
	m := lifecycle.ManagerOf(os.Getenv, os.Getpid())
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(name) // it is not for our children
	}
	defer context.AfterFunc(ctx, func() { p.told(m.Tell("STOPPING=1")) })()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	all := p.plane
	if withAgent {
		p.waits++
		all = append(all, lifecycle.Part{Name: "agent", Run: func(parts context.Context) error {
			defer end()
			actx, leave := context.WithCancel(parts)
			defer leave()
			defer context.AfterFunc(ctx, leave)()
			if g := p.parts.guest; g != nil {
				return g.Run(actx, p.tell)
			}
			return p.parts.agent.Run(actx, p.tell)
		}})
	} else {
		defer context.AfterFunc(ctx, end)()
	}
	all = append(all, lifecycle.Part{Name: "announce", Run: func(parts context.Context) error { return p.announce(parts, m) }})
	return lifecycle.Run(life, all...)
}

// announce waits until every part answers, says so, and then gives signs of life.
func (p *process) announce(ctx context.Context, m *lifecycle.Manager) error {
	for range p.waits {
		select {
		case <-p.ready:
		case <-ctx.Done():
			return nil
		}
	}
	if p.say != nil {
		if err := p.say(ctx); err != nil {
			return err
		}
	}
	p.told(m.Tell("READY=1", "STATUS=serves"))
	m.Watched(ctx, p.probe)
	return nil
}

// probe returns while this process works. That the records answer with an error is
// no fault of it: a restart would not help.
func (p *process) probe(ctx context.Context) {
	if a := p.parts.agent; a != nil {
		a.Under()
	}
	if db := p.parts.db; db != nil {
		_, err := db.Counter(ctx, conductor.Drained)
		p.told(err)
	}
}

func (p *process) told(err error) {
	if err != nil {
		p.log.Debug("a sign of life went wrong", "err", err)
	}
}

// logger logs as the configuration says; --debug wins.
func (e *environment) logger(c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelWarn // the check has refused it
	}
	if e.debug {
		level = slog.LevelDebug
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(e.err, opts))
	}
	return slog.New(slog.NewTextHandler(e.err, opts))
}

// configFlag is where the configuration is.
type configFlag struct {
	Config string `type:"path" placeholder:"FILE" env:"COFFER_CONFIG" help:"The configuration; see: coffer config example."`
}

// defaultConfig is read by the roles that run alone.
const defaultConfig = "/etc/coffer/coffer.toml"

// load reads the configuration, or the default one if it is there, and the
// environment. What it cannot be understood for is the error.
func (f configFlag) load(byDefault bool) (config.Config, error) {
	path := f.Config
	if path == "" && byDefault && exists(defaultConfig) {
		path = defaultConfig
	}
	env := os.Environ()
	c, err := config.Load(path, env)
	for _, name := range config.SecretVariables(env) {
		os.Unsetenv(name) // our children shall not have it
	}
	return c, err
}

// whole loads the configuration for a command that works on the records and stores
// themselves, as the embedded server would.
func (f configFlag) whole(e *environment) (config.Config, error) {
	c, err := f.load(true)
	if err != nil {
		return c, err
	}
	e.home(c.Server.State, defaultState())
	c = embedded(c, e.state)
	return c, check(c, config.Everything)
}

// check refuses what the role could not work with.
func check(c config.Config, role config.Role) error {
	return config.Problems(c.Check(role)).Err()
}

// serves says on standard error what runs.
func (e *environment) serves(format string, args ...any) {
	fmt.Fprintf(e.err, "coffer "+version()+" "+format+"\n", args...)
}
