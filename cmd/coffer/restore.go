package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/rest"
)

type restoreCmd struct {
	Backup    string   `arg:"" help:"The backup's id; any link of a chain."`
	To        string   `type:"path" placeholder:"DIR" help:"Only put the files, prepared, into this empty folder of the host; no server is started."`
	Name      string   `help:"Name of the new instance." default:"restored"`
	Port      int      `help:"Port of the new server on loopback; 0 picks a free one." default:"0"`
	Agent     string   `placeholder:"ID" help:"Agent to restore on; the one with the most room by default. With --to, the agent of that machine, if there are several."`
	Plan      bool     `help:"Only show what would be read, what it needs, and what would stop it."`
	Databases []string `name:"database" placeholder:"NAME" help:"Of a dump restore this database only; may be given more than once."`
	Method    string   `enum:"auto,merged,step-by-step" default:"auto" help:"How a chain is restored (${enum}): merged reads of each backup only what is used and prepares once; auto is merged wherever every link allows it."`
	NoWait    bool     `help:"Do not follow the restore."`
	tableFlags
	replicaFlags
}

// Help is shown by --help.
func (restoreCmd) Help() string {
	return `Restores into a new, running server (or with --to into a folder). Nothing that exists is ever overwritten. The plan is shown first; what would stop the restore is found before the first byte is read.

Examples:
  coffer restore 6a1f… --plan
  coffer restore 6a1f… --name shop-copy --port 13306
  coffer restore 6a1f… --to /srv/files
  coffer restore 6a1f… --database shop
  coffer restore 6a1f… --table shop.orders
  coffer restore 6a1f… --table shop.orders --dump /srv/orders.sql
  coffer restore 6a1f… --replica-of 10.0.0.5:3306 --start --replica-credentials repl.cnf

` + exitHelp
}

// planOut is a restore's plan as it is printed.
type planOut struct{ rest.RestorePlan }

func (p planOut) text(w io.Writer) {
	rows := make([][]string, 0, len(p.Chain))
	for _, l := range p.Chain {
		rows = append(rows, []string{string(l.ID), l.Name, l.Type, string(l.State), bytesText(l.Sizes.Stored), bytesText(l.Sizes.Plain)})
	}
	table(w, []string{"CHAIN", "NAME", "TYPE", "STATUS", "STORED", "PLAIN"}, rows)
	fmt.Fprintf(w, "restored %s%s; reads %s, needs %s of the %s free in %s\n",
		p.Method, because(p.Reason), bytesText(p.ReadBytes), bytesText(p.NeedBytes), bytesText(p.FreeBytes), p.Dir)
	if p.Why != "" {
		fmt.Fprintf(w, "on agent %s: %s\n", p.Target.Agent, p.Why)
	}
	for _, o := range p.Others {
		fmt.Fprintf(w, "not on agent %s: %s\n", o.ID, o.Reason)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Tools)) {
		fmt.Fprintf(w, "tool %s: %s\n", name, p.Tools[name])
	}
	for _, t := range p.Warnings {
		fmt.Fprintln(w, "warning:", t)
	}
	for _, s := range p.Stops {
		fmt.Fprintln(w, "not possible:", s)
	}
}

// because puts a reason behind what was chosen.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// restored is what a restore made, as it is printed.
type restored struct {
	Job      rest.Job       `json:"job"`
	Instance *rest.Instance `json:"instance,omitempty"`
	Dir      string         `json:"dir,omitempty"`
	Replica  *replica       `json:"replica,omitempty"`
}

func (r restored) text(w io.Writer) {
	if r.Instance == nil {
		fields(w, "files", r.Dir)
		r.replicaText(w)
		return
	}
	c := r.Instance.Conn
	fields(w, "instance", string(r.Instance.ID), "name", r.Instance.Name, "status", r.Instance.Status,
		"socket", c.Socket, "address", fmt.Sprintf("%s:%d", c.Host, c.Port),
		"credentials", c.CredentialsFile, "data", c.DataDir,
		"try", fmt.Sprintf("mariadb --defaults-file=%s --socket=%s", c.CredentialsFile, c.Socket))
	r.replicaText(w)
}

func (r restored) replicaText(w io.Writer) {
	if r.Replica != nil {
		r.Replica.text(w)
	}
}

// agree shows the plan of a restore. With --plan that is all; else what would stop the
// restore is the error.
func (c *restoreCmd) agree(e *environment, cl *client.Client, t coffer.Target) (rest.RestorePlan, error) {
	p, err := cl.PlanRestore(e.ctx, coffer.BackupID(c.Backup), t)
	if err != nil {
		return p, err
	}
	if c.Plan {
		if err := e.show(planOut{p}); err != nil || len(p.Stops) == 0 {
			return p, err
		}
		return p, exitCode(exitBusy)
	}
	if !e.json {
		planOut{p}.text(e.err)
	}
	if len(p.Stops) > 0 {
		return p, coffer.E(coffer.KindConflict, "restore the backup", "%w", errors.New(p.Stops[0])).
			WithHint("see all of it with the same command and --plan")
	}
	return p, nil
}

// Run shows the plan, starts the restore and follows it.
func (c *restoreCmd) Run(e *environment) error {
	if one, err := c.given(); one || err != nil {
		if err != nil {
			return err
		}
		return c.runTable(e)
	}
	cl, err := e.client()
	if err != nil {
		return err
	}
	t := coffer.Target{Agent: coffer.AgentID(c.Agent), Dir: c.To, Port: c.Port, Databases: c.Databases}
	if t.Way, err = coffer.ParseWay(c.Method); err != nil {
		return err
	}
	if c.To == "" {
		t.Name = c.Name
	}
	follow, err := c.plan(e, cl, c)
	if err != nil {
		return err
	}
	p, err := c.agree(e, cl, t)
	if err != nil || c.Plan {
		return err
	}
	t.Agent, t.Chosen = p.Target.Agent, p.Target.Chosen
	s, err := cl.Restore(e.ctx, rest.Restore{Backup: coffer.BackupID(c.Backup), Target: t})
	if err != nil {
		return err
	}
	out := restored{Job: s.Job, Dir: c.To, Replica: follow}
	if !c.NoWait {
		out.Job, err = e.follow(cl, s.Job.ID)
		if e.ctx.Err() != nil {
			return e.interrupted(cl, s.Job.ID)
		}
		if err != nil {
			return err
		}
	}
	if s.Instance != "" {
		in, err := cl.Instance(e.ctx, s.Instance)
		if err != nil {
			return err
		}
		out.Instance = &in
		if err := c.run(e, follow, in.Conn); err != nil {
			return errors.Join(err, e.show(out))
		}
	}
	return e.show(out)
}
