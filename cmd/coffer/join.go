package main

import (
	"fmt"
	"io"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/enrol"
	"github.com/cofferdb/coffer/rest"
)

type agentInviteCmd struct {
	Life time.Duration `default:"1h" help:"How long the token works."`
}

// Help is shown by --help.
func (agentInviteCmd) Help() string {
	return `Prints a token with which one agent joins as a host of restored servers. An agent beside one database is invited with: coffer instance register NAME --join. The token works once; whoever has it may join: carry it as a password.

` + exitHelp
}

// Run asks for the token.
func (c *agentInviteCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	return invite(e, cl, rest.Invite{Host: true}, c.Life)
}

// inviteOut is an invitation as it is printed.
type inviteOut struct{ rest.Invitation }

func (i inviteOut) text(w io.Writer) {
	if i.Instance != nil {
		fields(w, "instance", string(i.Instance.ID), "name", i.Instance.Name)
	}
	fields(w, "works until", timeText(i.ExpiresAt), "on the agent's machine", "coffer agent join "+i.Token)
}

func invite(e *environment, cl *client.Client, r rest.Invite, life time.Duration) error {
	r.Life = int(life / time.Second)
	if r.Life <= 0 {
		return coffer.E(coffer.KindInvalid, "invite an agent", "a token cannot work for %v", life)
	}
	i, err := cl.Invite(e.ctx, r)
	if err != nil {
		return err
	}
	return e.show(inviteOut{i})
}

type agentJoinCmd struct {
	Token    string `arg:"" help:"The token, as agent invite or instance register --join printed it; - reads it from standard input."`
	Insecure bool   `help:"Send the token in plain HTTP to another machine."`
}

// Help is shown by --help.
func (agentJoinCmd) Help() string {
	return `Gives the agent of this machine an account of its own at the broker, and what it must trust, in its state folder. Then start it: coffer agent. An agent that joins again gets a new password and keeps its id.

Examples:
  coffer agent join coffer-join-1.eyJ1cmwi…
  coffer --state /var/lib/coffer-agent agent join -  < token

` + exitHelp
}

// joinOut is what an agent was given, without its password.
type joinOut struct {
	Agent    coffer.AgentID    `json:"agent"`
	Instance coffer.InstanceID `json:"instance_id,omitempty"`
	Host     bool              `json:"host"`
	Account  string            `json:"account"`
	Brokers  []string          `json:"brokers"`
	Config   string            `json:"config"`
}

func (j joinOut) text(w io.Writer) {
	fields(w, "agent", string(j.Agent), "instance", string(j.Instance), "restores", okHost(j.Host),
		"account", j.Account, "brokers", fmt.Sprint(j.Brokers), "configuration", j.Config)
}

// Run joins.
func (c *agentJoinCmd) Run(e *environment) error {
	e.home("", string(agentHome()))
	if c.Token == "-" {
		b, err := io.ReadAll(io.LimitReader(e.in, 64<<10))
		if err != nil {
			return coffer.E(coffer.KindInvalid, "read the join token", "%w", err)
		}
		c.Token = string(b)
	}
	if err := e.state.make(); err != nil {
		return err
	}
	lock, err := e.state.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	j, err := enrol.Join(e.ctx, c.Token, enrol.JoinOptions{Dir: string(e.state), Insecure: c.Insecure})
	if err != nil {
		return err
	}
	return e.show(joinOut{
		Agent: j.Agent, Instance: j.Instance, Host: j.Host, Account: j.Account, Brokers: j.Brokers, Config: e.state.path(enrol.Config),
	})
}

type agentDismissCmd struct {
	Agent string `arg:"" help:"The agent's id."`
}

// Help is shown by --help.
func (agentDismissCmd) Help() string {
	return `Closes the agent's connections to the broker and removes its account, as when its machine was broken into or is gone. What runs there is lost and FAILS; its instances and their backups stay. To look after a database again, delete its instance and register it anew.

` + exitHelp
}

// Run dismisses the agent.
func (c *agentDismissCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	return cl.Dismiss(e.ctx, coffer.AgentID(c.Agent))
}
