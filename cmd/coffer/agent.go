package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus/unix"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/keyring"
	"github.com/cofferdb/coffer/internal/lifecycle"
)

type agentCmd struct {
	Server     string        `required:"" type:"path" placeholder:"DIR" help:"State folder of the server on this machine."`
	Store      string        `type:"path" placeholder:"DIR" help:"Folder that keeps the backups; SERVER/store by default. The server must name the same."`
	Identity   string        `type:"path" placeholder:"FILE" help:"The operator's age identity, if this agent restores encrypted backups."`
	SpoolBytes int64         `default:"268435456" help:"Bound of the spool, in bytes."`
	MaxBlock   time.Duration `default:"10s" help:"Longest that a backup may make every commit wait."`
	MaxDDLWait time.Duration `default:"30s" help:"Longest that it may make other DDL wait."`
	MaxNonTx   time.Duration `name:"max-block-nontrans" default:"60s" help:"Longest that it may make writers of non-transactional tables wait."`
}

// Help is shown by --help.
func (agentCmd) Help() string {
	return `Runs an agent in a process of its own, with a state folder of its own, joined to a server of the same machine through the socket in the server's state folder. Restored servers outlive it.

Example:
  coffer --state /var/lib/coffer server --no-agent
  coffer --state /var/lib/coffer-agent agent --server /var/lib/coffer

` + exitHelp
}

// Run serves until a signal.
func (c *agentCmd) Run(e *environment) error {
	if err := e.state.make(); err != nil {
		return err
	}
	lock, err := e.state.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if c.Store == "" {
		c.Store = filepath.Join(c.Server, "store")
	}
	limitMemory()
	st, err := newStores(c.Store, false)
	if err != nil {
		return err
	}
	s := settings{
		State: e.state, StoreDir: c.Store, Log: e.log(), SpoolBytes: c.SpoolBytes,
		Options: engine.Options{MaxDDLWait: c.MaxDDLWait, MaxBlock: c.MaxBlock, MaxBlockNonTrans: c.MaxNonTx},
	}
	b := unix.Dial(stateDir(c.Server).path("bus.sock"), e.log())
	if err := readable(c.Identity); err != nil {
		return err
	}
	ring := &keyring.Ring{Stores: st, IdentityFile: c.Identity}
	a, _, err := newAgent(s, coffer.NewNonce(), b, st, ring)
	if err != nil {
		return err
	}
	tell := func() {
		fmt.Fprintf(e.err, "coffer %s agent %s works for the server in %s; state in %s\n", version(), a.ID, c.Server, e.state)
	}
	return lifecycle.Run(e.ctx, lifecycle.Part{
		Name: "agent", Run: func(ctx context.Context) error { return a.Run(ctx, tell) },
	})
}
