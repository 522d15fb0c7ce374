package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/enrol"
	"github.com/cofferdb/coffer/rest"
)

type agentCmd struct {
	Run     agentRunCmd     `cmd:"" default:"withargs" help:"Run an agent (what \"coffer agent\" alone does)."`
	Invite  agentInviteCmd  `cmd:"" help:"Make a token with which one host agent of another machine joins."`
	Join    agentJoinCmd    `cmd:"" help:"Join a control plane of another machine, with a token."`
	List    agentListCmd    `cmd:"" help:"List the agents that have been heard."`
	Dismiss agentDismissCmd `cmd:"" help:"End an agent's account at the broker, at once."`
}

type agentRunCmd struct {
	configFlag
	holdFlags
	Server   string `type:"path" placeholder:"DIR" help:"Join the server of this machine that has this state folder, and no broker."`
	Store    string `type:"path" placeholder:"DIR" help:"With --server: folder that keeps the backups; SERVER/store by default. The server must name the same."`
	Identity string `type:"path" placeholder:"FILE" help:"The operator's age identity, if this agent restores encrypted backups."`
}

// Help is shown by --help.
func (agentRunCmd) Help() string {
	return `Runs an agent in a process of its own, with a state folder of its own: beside a database of any machine, over the RabbitMQ that the configuration names; or joined to a server of the same machine through the socket in the server's state folder. Asked to stop it finishes the backups that run, and begins none; a second signal ends it at once. Restored servers outlive it. With profile = "trove" in its configuration it is the guest agent of one instance of OpenStack's Trove.

Examples:
  coffer agent --config /etc/coffer/coffer.toml
  coffer --state /var/lib/coffer server --no-agent
  coffer --state /var/lib/coffer-agent agent --server /var/lib/coffer

` + exitHelp
}

// configure is the file with the flags over it, and where the agent works for.
func (c *agentRunCmd) configure(e *environment) (cfg config.Config, where string, err error) {
	c.joined(e)
	if cfg, err = c.load(c.Server == ""); err != nil {
		return cfg, "", err
	}
	c.holdFlags.over(&cfg.Agent)
	given(&cfg.Keys.IdentityFile, c.Identity)
	if err := readable(cfg.Keys.IdentityFile); err != nil {
		return cfg, "", err
	}
	if cfg.Agent.Profile == config.ProfileTrove && c.Server != "" {
		return cfg, "", coffer.E(coffer.KindInvalid, "run an agent", "its configuration says that it works for Trove, and --server for Coffer's own server").
			WithHint("leave out --server, or remove profile from [agent]")
	}
	if c.Server == "" {
		e.home(cfg.Agent.State, string(agentHome()))
		if cfg.File == "" && cfg.Bus.Kind == config.Local {
			return cfg, "", coffer.E(coffer.KindInvalid, "run an agent", "it has not joined, and neither --config nor --server is given").
				WithHint("join with a token: coffer agent join TOKEN; or: coffer agent --server %s", defaultState())
		}
		ownSecrets(cfg.Stores, e.state)
		return cfg, "the broker at " + fmt.Sprint(cfg.Bus.Hosts), check(cfg, config.RoleAgent)
	}
	e.home(cfg.Agent.State, defaultState())
	given(&c.Store, filepath.Join(c.Server, "store"))
	cfg.Stores = map[string]config.Store{defaultStore: {Kind: config.File, Path: c.Store}}
	cfg.Bus = config.Bus{Kind: config.Socket, Hosts: []string{stateDir(c.Server).path("bus.sock")}}
	return cfg, "the server in " + c.Server, nil
}

// joined takes the configuration that joining has left in the state folder, where no
// other one is named.
func (c *agentRunCmd) joined(e *environment) {
	home := e.state
	if !e.stateGiven {
		home = agentHome()
	}
	if f := home.path(enrol.Config); c.Config == "" && c.Server == "" && exists(f) {
		c.Config = f
	}
}

// agentHome is the usual state folder of an agent alone.
func agentHome() stateDir { return stateDir(defaultState() + "-agent") }

// Run serves until a signal.
func (c *agentRunCmd) Run(e *environment) error {
	cfg, where, err := c.configure(e)
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
	s := settings{Config: cfg, Role: config.RoleAgent, State: e.state, Log: e.logger(cfg.Log)}
	p, err := assemble(e.ctx, s)
	if err != nil {
		return err
	}
	defer p.close()
	run := newProcess(p, s.Log)
	run.say = func(context.Context) error {
		name := "guest agent of Trove's instance " + s.Config.Bus.TroveInstance
		if p.agent != nil {
			name = "agent " + string(p.agent.ID)
		}
		e.serves("%s works for %s; state in %s", name, where, e.state)
		return nil
	}
	return run.run(e.ctx, true)
}

type agentListCmd struct{}

// agentOut is an agent as it is printed.
type agentOut struct {
	rest.Agent
	Instances int `json:"instances"` // of the caller's project
}

// agentRows is a list of agents as it is printed.
type agentRows []agentOut

func (l agentRows) text(w io.Writer) {
	rows := make([][]string, 0, len(l))
	for _, a := range l {
		free := ""
		if a.Host {
			free = bytesText(a.Free)
		}
		rows = append(rows, []string{string(a.ID), a.Version, okHost(a.Host), free, strconv.Itoa(a.Instances), timeText(a.SeenAt)})
	}
	table(w, []string{"ID", "VERSION", "RESTORES", "FREE", "INSTANCES", "LAST HEARD"}, rows)
}

func okHost(host bool) string {
	if host {
		return "yes"
	}
	return "no"
}

// Run lists all agents, with how many instances of the project each looks after.
func (agentListCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	agents, err := cl.Agents(e.ctx)
	if err != nil {
		return err
	}
	all, err := instances(e, cl)
	if err != nil {
		return err
	}
	after := map[coffer.AgentID]int{}
	for _, in := range all {
		after[in.Agent]++
	}
	out := agentRows{}
	for _, a := range agents {
		out = append(out, agentOut{a, after[a.ID]})
	}
	return e.show(out)
}
