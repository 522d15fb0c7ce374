package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/rest"
)

// tableFlags restore one table in place of everything.
type tableFlags struct {
	Table   string `placeholder:"DB.TABLE" help:"Restore this table alone, into a running instance or a file."`
	Into    string `placeholder:"INSTANCE[.DB]" help:"With --table: the running instance, by id or name, and the database there; by default those that were backed up."`
	Dump    string `type:"path" placeholder:"FILE" help:"With --table: write its SQL into this new file of the agent's machine; nothing is loaded."`
	Replace bool   `help:"With --table: put it in the place of the table of that name, which is dropped; else it is loaded beside it under a new name."`
}

// given reports whether one table is asked for, and refuses flags without it.
func (f tableFlags) given() (bool, error) {
	if f.Table == "" && (f.Into != "" || f.Dump != "" || f.Replace) {
		return false, coffer.E(coffer.KindInvalid, "restore one table", "--into, --dump and --replace are for --table").WithHint("name the table: --table shop.orders")
	}
	return f.Table != "", nil
}

// target is where the table goes.
func (f tableFlags) target(e *environment, cl *client.Client) (t coffer.Table, err error) {
	if t.Database, t.Name, err = coffer.ParseTable(f.Table); err != nil {
		return t, err
	}
	t.Dump, t.Replace = f.Dump, f.Replace
	if f.Into == "" {
		return t, t.Check()
	}
	in, err := findInstance(e, cl, f.Into)
	if i := strings.LastIndexByte(f.Into, '.'); coffer.IsKind(err, coffer.KindNotFound) && i > 0 {
		t.As = f.Into[i+1:]
		in, err = findInstance(e, cl, f.Into[:i])
	}
	if err != nil {
		return t, err
	}
	t.Into = in.ID
	return t, t.Check()
}

// restoredTable is where a table is, as it is printed.
type restoredTable struct {
	Job      rest.Job          `json:"job"`
	Instance coffer.InstanceID `json:"instance_id,omitempty"`
	Database string            `json:"database,omitempty"`
	Name     string            `json:"name,omitempty"`
	File     string            `json:"file,omitempty"`
}

func (r restoredTable) text(w io.Writer) {
	if r.File != "" {
		fields(w, "file", r.File)
		return
	}
	fields(w, "instance", string(r.Instance), "table", coffer.TableText(r.Database, r.Name))
}

// runTable shows the plan, starts the restore of one table and follows it.
func (c *restoreCmd) runTable(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	table, err := c.target(e, cl)
	if err != nil {
		return err
	}
	t := coffer.Target{Agent: coffer.AgentID(c.Agent), Table: &table}
	p, err := c.agree(e, cl, t)
	if err != nil || c.Plan {
		return err
	}
	t.Agent = p.Target.Agent
	s, err := cl.Restore(e.ctx, rest.Restore{Backup: coffer.BackupID(c.Backup), Target: t})
	if err != nil {
		return err
	}
	out := restoredTable{Job: s.Job, File: table.Dump}
	if table.Dump == "" {
		out.Instance = s.Instance
		out.Database, out.Name = table.Placed(s.Job.ID)
	}
	if c.NoWait {
		if !e.json {
			fmt.Fprintf(e.err, "job %s; follow it with: coffer backup wait %s\n", s.Job.ID, s.Job.ID)
		}
		return e.show(out)
	}
	out.Job, err = e.follow(cl, s.Job.ID)
	if e.ctx.Err() != nil {
		return e.interrupted(cl, s.Job.ID)
	}
	if err != nil {
		return err
	}
	return e.show(out)
}
