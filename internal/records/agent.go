package records

import (
	"context"

	"github.com/cofferdb/coffer"
)

const agentCols = `id, boot, version, host, data_dir, free, beat, seen`

func scanAgent(r row) (a coffer.Agent, err error) {
	err = r.Scan(&a.ID, &a.Boot, &a.Version, &a.Host, &a.DataDir, &a.Free, &a.Beat, moment{&a.Seen})
	return a, err
}

// Heartbeat keeps what an agent says of itself, a new agent too.
func (d *DB) Heartbeat(ctx context.Context, a coffer.Agent) error {
	const op, update = "keep the heartbeat", `UPDATE agents SET boot = ?, version = ?, host = ?, data_dir = ?, free = ?, beat = ?, seen = ? WHERE id = ?`
	a.Seen = orNow(a.Seen)
	args := []any{a.Boot, clip(a.Version, maxWord), flag(a.Host), a.DataDir, a.Free, counter(a.Beat), micros(a.Seen), a.ID}
	if known, err := d.writeOne(ctx, op, update, args...); err != nil || known {
		return err
	}
	return d.write(ctx, op, func(c conn) error {
		known, err := c.changed(update, args...)
		if err != nil || known {
			return err
		}
		_, err = c.exec(`INSERT INTO agents (boot, version, host, data_dir, free, beat, seen, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, args...)
		return err
	})
}

// Agent is one agent, or KindNotFound.
func (d *DB) Agent(ctx context.Context, id coffer.AgentID) (coffer.Agent, error) {
	a, found, err := one(d.reading(ctx), scanAgent, `SELECT `+agentCols+` FROM agents WHERE id = ?`, id)
	if err == nil && !found {
		err = coffer.E(coffer.KindNotFound, "find the agent", "no agent %s", id)
	}
	return a, coffer.Wrap("find the agent", err)
}

// Agents lists every agent that has ever been heard.
func (d *DB) Agents(ctx context.Context) ([]coffer.Agent, error) {
	out, err := many(d.reading(ctx), scanAgent, `SELECT `+agentCols+` FROM agents ORDER BY id LIMIT ?`, MaxAll)
	return out, coffer.Wrap("list agents", err)
}
