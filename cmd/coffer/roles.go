package main

import (
	"context"

	"github.com/cofferdb/coffer/internal/config"
)

const roleHelp = `Any number of them may run, on any machines, over the RabbitMQ and the records that the configuration names; they may start in any order, also before the broker. SIGTERM lets them finish what is in hand.

`

type apiCmd struct {
	configFlag
	listenFlags
}

// Help is shown by --help.
func (apiCmd) Help() string {
	return "Runs the API alone. " + roleHelp + `Example:
  coffer api --config /etc/coffer/coffer.toml

` + exitHelp
}

// Run serves until a signal, and then the requests that have begun.
func (c *apiCmd) Run(e *environment) error {
	return c.run(e, config.RoleAPI, c.listenFlags.over, func(s settings, run *process) error {
		h, err := run.parts.handler(s)
		if err != nil {
			return err
		}
		l, err := listen(s.Config)
		if err != nil {
			return err
		}
		run.serve("api", false, func(ctx context.Context) error { return l.serve(ctx, h, s.Log) })
		run.say = func(context.Context) error { e.serves("api serves %s", l.url()); return nil }
		return nil
	})
}

type taskManagerCmd struct{ configFlag }

// Help is shown by --help.
func (taskManagerCmd) Help() string {
	return "Runs a task manager alone: it sends work to agents, verifies, deletes, rescues and sweeps. " + roleHelp + `Example:
  coffer taskmanager --config /etc/coffer/coffer.toml

` + exitHelp
}

// Run works until a signal.
func (c *taskManagerCmd) Run(e *environment) error {
	return c.run(e, config.RoleTasks, nil, func(_ settings, run *process) error {
		run.say = func(context.Context) error { e.serves("taskmanager %s works", run.parts.tasks.ID); return nil }
		return nil
	})
}

type conductorCmd struct{ configFlag }

// Help is shown by --help.
func (conductorCmd) Help() string {
	return "Runs a conductor alone: it alone moves running jobs, by what their agents report. " + roleHelp + `Example:
  coffer conductor --config /etc/coffer/coffer.toml

` + exitHelp
}

// Run works until a signal.
func (c *conductorCmd) Run(e *environment) error {
	return c.run(e, config.RoleConductor, nil, func(_ settings, run *process) error {
		run.say = func(context.Context) error { e.serves("conductor works"); return nil }
		return nil
	})
}

// run runs one role of the control plane alone: over puts flags over the file, more
// adds what the role has beside the task manager or conductor.
func (f configFlag) run(e *environment, role config.Role, over func(*config.API), more func(settings, *process) error) error {
	cfg, err := f.load(true)
	if err != nil {
		return err
	}
	if over != nil {
		over(&cfg.API)
	}
	if err := check(cfg, role); err != nil {
		return err
	}
	if role == config.RoleTasks {
		if err := readable(cfg.Keys.IdentityFile); err != nil {
			return err
		}
	}
	s := settings{Config: cfg, Role: role, Log: e.logger(cfg.Log)}
	p, err := assemble(e.ctx, s)
	if err != nil {
		return err
	}
	defer p.close()
	run := newProcess(p, s.Log)
	run.roles()
	run.activate(s)
	if err := more(s, run); err != nil {
		return err
	}
	return run.run(e.ctx, false)
}
