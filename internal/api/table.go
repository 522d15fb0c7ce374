package api

import (
	"context"
	"net/http"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/plan"
	"github.com/cofferdb/coffer/rest"
)

// tablesPage is how many tables a page has if nobody says.
const tablesPage = 1000

// checkTable refuses a restore of one table that can never work. A file is of the
// agent's machine, which is the operator's.
func checkTable(r request, t coffer.Target) error {
	const op = "read the restore's target"
	if err := t.Table.Check(); err != nil {
		return err
	}
	switch {
	case t.Dir != "" || t.Name != "" || t.Port != 0 || len(t.Databases) > 0:
		return coffer.E(coffer.KindInvalid, op, "one table makes no server and no files").WithHint("name either the table or another target")
	case t.Way == coffer.Stepwise:
		return coffer.E(coffer.KindInvalid, op, "one table is never restored %s", coffer.Stepwise).
			WithHint("leave out the method, or restore all of the backup")
	case t.Table.Dump != "" && !r.caller.Admin:
		return coffer.E(coffer.KindForbidden, op, "only an admin may write a file on a host").
			WithHint("leave out the dump to load the table into a running instance")
	}
	return nil
}

// tableTarget completes a table's target: the instance that it goes into is the one
// that was backed up unless another of the project is named, and the agent is the
// one beside it.
func (a *api) tableTarget(r request, b coffer.Backup, t coffer.Target) (coffer.Target, error) {
	const op = "find where the table goes"
	if t.Table == nil || t.Table.Dump != "" {
		return t, nil
	}
	table := *t.Table
	if table.Into == "" {
		table.Into = b.Instance
	}
	in, err := a.Records.Instance(r.Context(), b.Project, table.Into)
	if coffer.IsKind(err, coffer.KindNotFound) {
		return t, coffer.E(coffer.KindNotFound, op, "no instance %s", table.Into).
			WithHint("name a running instance with --into, or a file with --dump")
	}
	switch {
	case err != nil:
		return t, err
	case in.Status != "ACTIVE" || in.Agent == "":
		return t, coffer.E(coffer.KindConflict, op, "instance %s is %s", in.ID, in.Status).WithHint("name a running instance with --into")
	case t.Agent != "" && t.Agent != in.Agent:
		return t, coffer.E(coffer.KindInvalid, op, "instance %s is looked after by agent %s", in.ID, in.Agent).WithHint("leave out the agent")
	}
	if err := a.mayRestore(r, in); err != nil {
		return t, err
	}
	t.Table, t.Agent, t.Chosen = &table, in.Agent, false
	return t, nil
}

// mayRestore refuses early what the claim of the job would: where agents join by
// token, one that was let in for its database alone is given nobody's backups.
func (a *api) mayRestore(r request, in coffer.Instance) error {
	if a.Enrol == nil {
		return nil
	}
	agents, err := a.Records.Agents(r.Context())
	if err != nil {
		return err
	}
	for _, g := range agents {
		if g.ID == in.Agent && !g.Host {
			return coffer.E(coffer.KindUnsupported, "find where the table goes", "agent %s beside instance %s was let in for its database alone, and is given no backups", g.ID, in.ID).
				WithHint("write the table into a file on a host of restores (--dump), or let that agent join as a host")
		}
	}
	return nil
}

// backupTables lists the tables of a backup: its indexes are read by an agent that
// restores, which has the keys if they are encrypted.
func (a *api) backupTables(r request) (reply, error) {
	limit, err := number(r, "limit", tablesPage)
	if err != nil {
		return reply{}, err
	}
	args := message.TablesArgs{Limit: max(1, min(limit, tablesPage))}
	if marker := last(r.URL.Query(), "marker"); marker != "" {
		if args.After[0], args.After[1], err = coffer.ParseTable(marker); err != nil {
			return reply{}, err
		}
	}
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	if !b.State.Usable() {
		return reply{}, coffer.E(coffer.KindConflict, "list the backup's tables", "backup %s is %s", b.ID, b.State)
	}
	chain, err := a.Records.Chain(r.Context(), b.Project, b.ID)
	if err != nil {
		return reply{}, err
	}
	args.Project, args.Chain = b.Project, links(chain)
	page, err := a.askTables(r.Context(), b, args)
	if err != nil {
		return reply{}, err
	}
	out := rest.Tables{Tables: []rest.Table{}, PlainBytes: page.Plain, StoredBytes: page.Stored}
	for _, t := range page.Tables {
		out.Tables = append(out.Tables, rest.Table(t))
	}
	if n := len(out.Tables); page.More && n > 0 {
		out.Next = coffer.TableText(out.Tables[n-1].Database, out.Tables[n-1].Name)
	}
	return reply{http.StatusOK, out}, nil
}

// askTables asks agents that are heard, hosts of restores and the one beside the
// backup's instance, until one answers.
func (a *api) askTables(ctx context.Context, b coffer.Backup, args message.TablesArgs) (page message.TablesReply, err error) {
	const op = "list the backup's tables"
	all, err := a.candidates(ctx)
	if err != nil {
		return page, err
	}
	var own coffer.AgentID
	if in, err := a.Records.Instance(ctx, b.Project, b.Instance); err == nil {
		own = in.Agent
	}
	ctx, stop := context.WithTimeout(ctx, aroundTimeout)
	defer stop()
	err = coffer.E(coffer.KindUnavailable, op, "no agent that could read the backup is heard").WithHint("start an agent with hosting on")
	for asked, i := 0, 0; i < len(all) && asked < maxLooks; i++ {
		g := all[i]
		if g.Silent > plan.Silent || !g.Agent.Host && g.Agent.ID != own {
			continue
		}
		asked++
		one, end := context.WithTimeout(ctx, lookTimeout)
		page, err = message.Tables.Call(one, a.Bus, message.HostAgent(g.Agent.ID), args)
		end()
		if err == nil {
			return page, nil
		}
	}
	return page, coffer.Wrap(op, err)
}

// links are what an agent needs to open a chain.
func links(chain []coffer.Backup) (out []message.Link) {
	for _, b := range chain {
		l := message.Link{
			Backup: b.ID, Store: b.Store, Container: b.Container, Key: b.Key, ManifestSHA256: b.Manifest,
			Position: b.Position, Sizes: b.Sizes, Origin: b.Origin,
		}
		if b.Origin != coffer.OriginOwn {
			l.Location, l.Method = b.Location, b.Method
		}
		out = append(out, l)
	}
	return out
}

// tableConn is how the agent reaches the server that a table goes into.
func (a *api) tableConn(ctx context.Context, project coffer.ProjectID, t coffer.Target) (coffer.Conn, error) {
	if t.Table == nil || t.Table.Dump != "" {
		return coffer.Conn{}, nil
	}
	in, err := a.Records.Instance(ctx, project, t.Table.Into)
	return in.Conn, err
}
