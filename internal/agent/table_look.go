package agent

import (
	"context"
	"fmt"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/message"
)

// maxTables bounds one page of tables.
const maxTables = 5000

// tables lists a page of a chain's tables from its indexes.
func (a *Agent) tables(ctx context.Context, r message.TablesArgs) (message.TablesReply, error) {
	chain, _, err := a.layers(ctx, message.Order{Project: r.Project, Chain: r.Chain})
	defer closeAll(chain)
	if err != nil {
		return message.TablesReply{}, err
	}
	eng, err := a.tableEngine(chain, coffer.Conn{}, coffer.Table{})
	if err != nil {
		return message.TablesReply{}, err
	}
	all, err := eng.Tables(ctx, chain)
	if err != nil {
		return message.TablesReply{}, err
	}
	limit := r.Limit
	if limit <= 0 || limit > maxTables {
		limit = maxTables
	}
	out := message.TablesReply{Tables: []message.TableRow{}, Plain: all.Plain, Stored: all.Stored}
	for _, t := range all.List {
		if t.Database < r.After[0] || t.Database == r.After[0] && t.Name <= r.After[1] {
			continue
		}
		if len(out.Tables) == limit {
			out.More = true
			break
		}
		out.Tables = append(out.Tables, message.TableRow(t))
	}
	return out, nil
}

// lookTable says what a restore of one table would meet here.
func (a *Agent) lookTable(ctx context.Context, r message.LookArgs) (message.LookReply, error) {
	t := *r.Target.Table
	out := message.LookReply{Dir: a.tableRoot(), Tools: map[string]string{}, Stops: a.lookAtKeys(ctx, r)}
	if t.Dump != "" {
		if err := newFile(t.Dump); err != nil {
			out.Stops = append(out.Stops, err.Error())
		}
	}
	free, err := freeBytes(out.Dir)
	if err != nil {
		out.Stops = append(out.Stops, "cannot measure the free space of "+out.Dir+": "+err.Error())
	}
	out.Free = free
	if len(out.Stops) > 0 {
		return out, nil // an index that cannot be decrypted says nothing
	}
	look, err := a.readTable(ctx, r, t)
	if err != nil {
		out.Stops = append(out.Stops, err.Error())
		return out, nil
	}
	out.Tools, out.Stops, out.Read, out.Need = look.Tools, append(out.Stops, look.Stops...), look.Stored, look.Need
	return out, nil
}

func (a *Agent) readTable(ctx context.Context, r message.LookArgs, t coffer.Table) (engine.TableLook, error) {
	chain, _, err := a.layers(ctx, message.Order{Project: r.Project, Chain: r.Chain})
	defer closeAll(chain)
	if err != nil {
		return engine.TableLook{}, err
	}
	eng, err := a.tableEngine(chain, r.Conn, t)
	if err != nil {
		return engine.TableLook{}, err
	}
	return eng.LookTable(ctx, engine.TableOrder{Database: t.Database, Name: t.Name, As: t.As, Replace: t.Replace, Load: t.Dump == ""}, chain)
}

func tableText(res engine.TableResult, file string) string {
	return fmt.Sprintf("%d rows are in %s", res.Rows, file)
}
