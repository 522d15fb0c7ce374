package records

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

// Join is the permission of one agent to join, bought once with a token. The token
// itself is never kept: TokenHash is a hash of it.
type Join struct {
	TokenHash string
	Project   coffer.ProjectID
	Instance  coffer.InstanceID // what the agent will look after; "" is a host agent
	Created   time.Time
	Expires   time.Time
	Used      time.Time      // zero: not yet
	Agent     coffer.AgentID // who redeemed it
}

const joinCols = `token_hash, project, instance, created, expires, used, agent`

func scanJoin(r row) (j Join, err error) {
	err = r.Scan(&j.TokenHash, &j.Project, &j.Instance, moment{&j.Created}, moment{&j.Expires}, moment{&j.Used}, &j.Agent)
	return j, err
}

// CreateJoin keeps a permission to join that nobody has redeemed yet. A hash that
// is taken is KindExists.
func (d *DB) CreateJoin(ctx context.Context, j Join) error {
	const op = "keep the join token"
	if j.TokenHash == "" || j.Expires.IsZero() {
		return coffer.E(coffer.KindInvalid, op, "a join token needs a hash and an end")
	}
	return d.write(ctx, op, func(c conn) error {
		_, err := c.exec(`INSERT INTO joins (token_hash, project, instance, created, expires) VALUES (?, ?, ?, ?, ?)`,
			j.TokenHash, j.Project, j.Instance, micros(orNow(j.Created)), micros(j.Expires))
		if isTaken(err) {
			return coffer.E(coffer.KindExists, op, "the token exists")
		}
		return err
	})
}

// RedeemJoin gives the permission to the first agent that asks for it before it
// expires. The same agent asking again gets the same answer, also later; another
// one KindConflict, a late one KindForbidden, an unknown token KindNotFound.
func (d *DB) RedeemJoin(ctx context.Context, tokenHash string, agent coffer.AgentID, now time.Time) (Join, error) {
	const op = "redeem the join token"
	at := micros(orNow(now))
	var out Join
	err := d.write(ctx, op, func(c conn) error {
		if agent == "" {
			return coffer.E(coffer.KindInvalid, op, "no agent")
		}
		if _, err := c.exec(`UPDATE joins SET used = ?, agent = ? WHERE token_hash = ? AND used = 0 AND expires > ?`,
			at, agent, tokenHash, at); err != nil {
			return err
		}
		j, found, err := one(c, scanJoin, `SELECT `+joinCols+` FROM joins WHERE token_hash = ?`, tokenHash)
		if err != nil {
			return err
		}
		out = j
		return refuseJoin(j, found, agent)
	})
	if err != nil {
		return Join{}, err
	}
	return out, nil
}

// refuseJoin says why agent has not got the permission, or nil if it has.
func refuseJoin(j Join, found bool, agent coffer.AgentID) error {
	const op = "redeem the join token"
	const hint = "ask for a new token"
	switch {
	case !found:
		return coffer.E(coffer.KindNotFound, op, "no such token").WithHint(hint)
	case j.Used.IsZero():
		return coffer.E(coffer.KindForbidden, op, "the token has expired").WithHint(hint)
	case j.Agent != agent:
		return coffer.E(coffer.KindConflict, op, "the token was used by another agent").WithHint(hint)
	}
	return nil
}

// PruneJoins forgets the tokens that expired before a moment, used or not, and
// says how many.
func (d *DB) PruneJoins(ctx context.Context, before time.Time) (int, error) {
	return d.inBatches(ctx, "forget old join tokens", func(c conn) (int64, error) {
		return c.exec(`DELETE FROM joins WHERE token_hash IN (SELECT token_hash FROM (
			SELECT token_hash FROM joins WHERE expires < ? ORDER BY expires, token_hash LIMIT ?) AS old)`, micros(before), pruneBatch)
	})
}
