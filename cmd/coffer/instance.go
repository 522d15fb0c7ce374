package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/rest"
)

type instanceCmd struct {
	Register instanceRegisterCmd `cmd:"" help:"Look after a running server of an agent's machine."`
	List     instanceListCmd     `cmd:"" help:"List instances."`
	Show     instanceShowCmd     `cmd:"" help:"Show one instance."`
	Delete   instanceDeleteCmd   `cmd:"" help:"Stop looking after an instance; its backups are kept."`
}

type instanceRegisterCmd struct {
	Name        string        `arg:"" help:"A name for the instance."`
	Socket      string        `type:"path" help:"The server's Unix socket." xor:"server"`
	Host        string        `help:"The server's address; it must run on the agent's machine." xor:"server"`
	Port        int           `default:"3306" help:"The server's port, with --host."`
	Credentials string        `type:"path" placeholder:"FILE" help:"Option file of the agent's machine (mode 0600) with user and password in its [client] group; without one the agent's own user comes in."`
	Agent       string        `placeholder:"ID" help:"The agent beside it; needed only when there are several."`
	Join        bool          `help:"Print a token with which the agent beside it, on another machine, joins." xor:"agent"`
	Life        time.Duration `default:"1h" help:"With --join: how long the token works."`
	politeFlags
}

// Help is shown by --help.
func (instanceRegisterCmd) Help() string {
	return `The agent looks at the server (version, rights, tools) and writes a probe object into the store, which the control plane reads back. The account needs RELOAD, PROCESS, LOCK TABLES and BINLOG MONITOR on *.*; without SUPER as well, increments of a quiet server are larger than they need to be. Without --credentials the agent comes in as its own user, as root does by the socket of a stock MariaDB.

Examples:
  coffer instance register shop --socket /run/mysqld/mysqld.sock
  coffer instance register shop --host 127.0.0.1 --port 3306 --credentials /etc/coffer/shop.cnf
  coffer instance register shop --socket /run/mysqld/mysqld.sock --join
  coffer instance register shop --socket /run/mysqld/mysqld.sock --bandwidth 50MiB --nice 10 --ionice idle

` + exitHelp
}

// instanceOut is an instance as it is printed.
type instanceOut struct {
	rest.Instance
	Warnings []string `json:"warnings,omitempty"`
}

func (i instanceOut) text(w io.Writer) {
	where := i.Conn.Socket
	if where == "" {
		where = fmt.Sprintf("%s:%d", i.Conn.Host, i.Conn.Port)
	}
	if i.Conn.Socket == "" && i.Conn.Host == "" {
		where = "" // a restore that made none
	}
	encrypted := "no"
	if i.Key != "" {
		encrypted = "yes, data key " + string(i.Key)
	}
	fields(w, "id", string(i.ID), "name", i.Name, "kind", string(i.Kind), "status", i.Status,
		"datastore", i.Datastore.Type+" "+i.Datastore.Version, "server", where, "data", i.Conn.DataDir, "backups", politeText(i.Conn.Polite),
		"credentials", i.Conn.CredentialsFile, "agent", string(i.Agent), "encrypted", encrypted, "created", timeText(i.CreatedAt))
	for _, t := range i.Warnings {
		fmt.Fprintln(w, "warning:", t)
	}
}

// Run registers the server.
func (c *instanceRegisterCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	conn := coffer.Conn{Socket: c.Socket, CredentialsFile: c.Credentials}
	if c.Socket == "" {
		if c.Host == "" {
			return coffer.E(coffer.KindInvalid, "register the instance", "neither --socket nor --host is given").
				WithHint("try: coffer instance register %s --socket /run/mysqld/mysqld.sock", c.Name)
		}
		conn.Host, conn.Port = c.Host, c.Port
	} else if conn.Socket, err = filepath.Abs(c.Socket); err != nil {
		return coffer.E(coffer.KindInvalid, "register the instance", "%w", err)
	}
	if conn.Polite, err = c.polite(); err != nil {
		return err
	}
	if c.Join {
		return invite(e, cl, rest.Invite{Name: c.Name, Conn: conn}, c.Life)
	}
	in, err := cl.Register(e.ctx, rest.Register{Name: c.Name, Agent: coffer.AgentID(c.Agent), Conn: conn})
	if err != nil {
		return err
	}
	return e.show(instanceOut{in.Instance, in.Warnings})
}

type instanceListCmd struct{}

// instanceRows is a list of instances as it is printed.
type instanceRows []rest.Instance

func (l instanceRows) text(w io.Writer) {
	rows := make([][]string, 0, len(l))
	for _, i := range l {
		rows = append(rows, []string{string(i.ID), i.Name, string(i.Kind), i.Status, i.Datastore.Type + " " + i.Datastore.Version, timeText(i.CreatedAt)})
	}
	table(w, []string{"ID", "NAME", "KIND", "STATUS", "DATASTORE", "CREATED"}, rows)
}

// Run lists every page.
func (instanceListCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	all, err := instances(e, cl)
	if err != nil {
		return err
	}
	return e.show(all)
}

// instances is every page.
func instances(e *environment, cl *client.Client) (instanceRows, error) {
	all := instanceRows{}
	var after coffer.InstanceID
	for {
		page, err := cl.Instances(e.ctx, after)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Instances...)
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

type instanceShowCmd struct {
	Instance string `arg:"" help:"The instance's id or name."`
}

// Run shows one instance.
func (c *instanceShowCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	in, err := findInstance(e, cl, c.Instance)
	if err != nil {
		return err
	}
	return e.show(instanceOut{Instance: in})
}

type instanceDeleteCmd struct {
	Instance string `arg:"" help:"The instance's id or name."`
}

// Help is shown by --help.
func (instanceDeleteCmd) Help() string {
	return "A registered server runs on; a server that a restore made is stopped and its data is removed. Backups are kept.\n\n" + exitHelp
}

// Run deletes the instance.
func (c *instanceDeleteCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	in, err := findInstance(e, cl, c.Instance)
	if err != nil {
		return err
	}
	if err := cl.DeleteInstance(e.ctx, in.ID); err != nil {
		return err
	}
	if in.Kind == coffer.Hosted && !e.json {
		fmt.Fprintln(e.err, "its server is being stopped and its data removed")
	}
	return e.show(instanceOut{Instance: in})
}
