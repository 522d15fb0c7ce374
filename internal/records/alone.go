package records

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdb/coffer"
)

const (
	aloneTries = 12               // of a transaction that gave way to others
	lostTries  = 12               // of what met a broken connection before COMMIT: a pool may hold several
	aloneTime  = 30 * time.Second // of one try, its waits for locks included
)

// writeAlone carries out run in a transaction of its own. One that gave way to
// another (a deadlock, also found as late as COMMIT; a row that somebody inserted
// first) has left nothing and is run again as a whole. Only a connection that
// broke during COMMIT leaves it open what happened: KindUnknown.
func (d *DB) writeAlone(ctx context.Context, op string, run func(conn) error) error {
	return d.repeatable(ctx, op, func() error { return d.tryAlone(ctx, run) })
}

// repeatable runs try until it is answered otherwise than by "try again".
func (d *DB) repeatable(ctx context.Context, op string, try func() error) error {
	if !d.enter() {
		return errClosed(op)
	}
	defer d.wg.Done()
	for n := 1; ; n++ {
		if err := try(); !worthAnother(err, n) || !d.pause(ctx, n) {
			return coffer.Wrap(op, err)
		}
	}
}

// writeOne carries out one statement, and says whether its condition held. The
// statement must do no harm when it is carried out twice, though it then says of the
// second time that its condition did not hold: on a server it is sent without BEGIN
// and COMMIT, which are two of a small write's three round trips, and of a connection
// that broke nobody knows whether it has.
func (d *DB) writeOne(ctx context.Context, op, query string, args ...any) (changed bool, err error) {
	if !d.shared {
		err = d.write(ctx, op, func(c conn) (err error) {
			changed, err = c.changed(query, args...)
			return err
		})
		return changed && err == nil, err
	}
	err = d.repeatable(ctx, op, func() error {
		return d.withoutTx(ctx, func(c conn) (err error) {
			changed, err = c.changed(query, args...)
			return err
		})
	})
	return changed && err == nil, err
}

// withoutTx runs what sends once: one statement, or where the database takes several
// at once a bundle, which is then a transaction by itself.
func (d *DB) withoutTx(ctx context.Context, run func(conn) error) error {
	cn, err := d.writer.Conn(ctx)
	if err != nil {
		return classify(err)
	}
	defer cn.Close()
	once, cancel := context.WithTimeout(context.WithoutCancel(ctx), aloneTime)
	defer cancel()
	if !d.pipelined {
		return run(conn{ctx: once, q: cn, dialect: d.dialect})
	}
	return onPostgres(cn, func(pg *pgx.Conn) error { return run(conn{ctx: once, pipe: pgOnce{pg}, dialect: d.dialect}) })
}

// enter counts a write in that Close will wait for, unless it is too late.
func (d *DB) enter() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	select {
	case <-d.stop:
		return false
	default:
		d.wg.Add(1)
		return true
	}
}

// tryAlone runs one transaction. Who gives up while it waits for a connection has
// changed nothing; after that the caller's context ends nothing any more.
func (d *DB) tryAlone(ctx context.Context, run func(conn) error) error {
	cn, err := d.writer.Conn(ctx)
	if err != nil {
		return classify(err)
	}
	defer cn.Close() // gives it back to the pool; a broken one is thrown away
	once, cancel := context.WithTimeout(context.WithoutCancel(ctx), aloneTime)
	defer cancel()
	if d.pipelined {
		return onPostgres(cn, func(pg *pgx.Conn) error { return d.tryPiped(once, pg, run) })
	}
	tx, err := cn.BeginTx(once, nil)
	if err != nil {
		return classify(err)
	}
	if err := run(conn{ctx: once, q: tx, dialect: d.dialect}); err != nil {
		_ = tx.Rollback() // if the server does not hear it, it does so by itself
		return err
	}
	return afterCommit(tx.Commit())
}

// tryPiped is tryAlone where the database takes several statements at once.
func (d *DB) tryPiped(ctx context.Context, pg *pgx.Conn, run func(conn) error) error {
	tx := &pgTx{pg: pg}
	defer tx.rollback() // no change after COMMIT
	if err := run(conn{ctx: ctx, pipe: tx, dialect: d.dialect}); err != nil {
		return err
	}
	return afterCommit(tx.commit(ctx))
}

// afterCommit tells a COMMIT that did not happen from one of which nobody knows.
// PostgreSQL's driver calls a connection that broke while it waited for the answer
// "safe to retry", so its word on that is not asked.
func afterCommit(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrTxDone) {
		return coffer.E(coffer.KindUnavailable, "commit", "the transaction took longer than %v", aloneTime).WithHint(hintServer)
	}
	t, answered := troubleOf(err)
	if errors.Is(err, driver.ErrBadConn) || (answered && !t.lost) {
		return classify(err)
	}
	return coffer.E(coffer.KindUnknown, "commit", "%w", err).WithHint("look at what is there before asking again")
}

// worthAnother reports whether a transaction has left nothing and may do better
// when it is run again.
func worthAnother(err error, tries int) bool {
	if err == nil || coffer.IsKind(err, coffer.KindUnknown) {
		return false
	}
	t, _ := troubleOf(err)
	return (t.busy || t.taken) && tries < aloneTries || t.lost && tries < lostTries
}

// pause waits before the next try, longer each time and never as long as whoever
// it met. It answers false when nobody waits for the next try.
func (d *DB) pause(ctx context.Context, try int) bool {
	most := min(4*time.Millisecond<<try, 400*time.Millisecond)
	timer := time.NewTimer(most/4 + rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-d.stop:
	}
	return false
}
