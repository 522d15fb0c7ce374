package records

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// PostgreSQL is spoken to by its driver's own interface, below database/sql: that one
// sends a statement, waits, and sends the next, while this one takes several at once.
// The pool remains that of database/sql.

// pgPool is a pipe over any connection of a pool. Each bundle is a transaction of its
// own, by the protocol's own rule: no BEGIN and no COMMIT are sent.
type pgPool struct{ pool *sql.DB }

func (p pgPool) send(ctx context.Context, steps []*step, _ bool) error {
	cn, err := p.pool.Conn(ctx)
	if err != nil {
		return classify(err)
	}
	defer cn.Close() // gives it back to the pool; a broken one is thrown away
	return onPostgres(cn, func(pg *pgx.Conn) error { return pgOnce{pg}.send(ctx, steps, false) })
}

// pgOnce is a pipe over one connection, with bundles like pgPool's.
type pgOnce struct{ pg *pgx.Conn }

func (o pgOnce) send(ctx context.Context, steps []*step, _ bool) error {
	return classify(pgSend(ctx, o.pg, steps))
}

// onPostgres lends the driver's connection.
func onPostgres(cn *sql.Conn, f func(*pgx.Conn) error) error {
	return cn.Raw(func(driver any) error { return f(driver.(*stdlib.Conn).Conn()) })
}

// pgTx is a pipe that is one transaction: BEGIN goes with its first statements.
type pgTx struct {
	pg    *pgx.Conn
	begun bool
	ended bool // COMMIT was sent with the last statements
}

var (
	_ pipe = pgPool{}
	_ pipe = pgOnce{}
	_ pipe = (*pgTx)(nil)
)

func (t *pgTx) send(ctx context.Context, steps []*step, last bool) error {
	all := steps
	if !t.begun {
		all = append([]*step{{query: "begin"}}, all...)
		t.begun = true
	}
	if !last {
		return classify(pgSend(ctx, t.pg, all))
	}
	t.ended = true
	return afterCommit(pgSend(ctx, t.pg, append(all[:len(all):len(all)], &step{query: "commit"})))
}

// commit ends the transaction well.
func (t *pgTx) commit(ctx context.Context) error {
	if !t.begun || t.ended {
		return nil
	}
	if ctx.Err() != nil {
		t.rollback()
		return sql.ErrTxDone
	}
	tag, err := t.pg.Exec(ctx, "commit")
	if err == nil && tag.String() != "COMMIT" {
		err = pgx.ErrTxCommitRollback
	}
	return err
}

// rollbackTime bounds what a ROLLBACK is waited for. One that the server does not
// hear ends with its connection, which the pool does not take back.
const rollbackTime = 5 * time.Second

func (t *pgTx) rollback() {
	if t.pg.IsClosed() || t.pg.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTime)
	defer cancel()
	_, _ = t.pg.Exec(ctx, "rollback")
}

// pgSend carries out statements in one round trip, or two when there are new ones
// among them, which are prepared first.
func pgSend(ctx context.Context, pg *pgx.Conn, steps []*step) error {
	if len(steps) == 1 {
		return pgSendOne(ctx, pg, steps[0])
	}
	batch := &pgx.Batch{QueuedQueries: make([]*pgx.QueuedQuery, 0, len(steps))}
	for _, s := range steps {
		q := batch.Queue(s.query, s.args...)
		if s.take != nil {
			q.Query(func(rows pgx.Rows) error { return s.read(rows) })
		} else {
			q.Exec(func(tag pgconn.CommandTag) error { s.rows = tag.RowsAffected(); return nil })
		}
	}
	return pg.SendBatch(ctx, batch).Close()
}

func pgSendOne(ctx context.Context, pg *pgx.Conn, s *step) error {
	if s.take == nil {
		tag, err := pg.Exec(ctx, s.query, s.args...)
		s.rows = tag.RowsAffected()
		return err
	}
	rows, err := pg.Query(ctx, s.query, s.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return s.read(rows)
}

func (s *step) read(rows pgx.Rows) error {
	for rows.Next() {
		if err := s.take(pgRow{rows}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// pgRow reads as database/sql does: a number of 0 or 1 is also a bool.
type pgRow struct{ rows pgx.Rows }

func (r pgRow) Scan(dest ...any) error {
	for i, d := range dest {
		if b, ok := d.(*bool); ok {
			dest[i] = (*pgFlag)(b)
		}
	}
	return r.rows.Scan(dest...)
}

// pgFlag is a bool that lies in a column of 0 and 1.
type pgFlag bool

// Scan implements sql.Scanner.
func (f *pgFlag) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return errors.New("a column of 0 and 1 does not hold an integer")
	}
	*f = n != 0
	return nil
}
