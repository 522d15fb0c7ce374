package records

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/cofferdb/coffer"
)

const (
	maxBatch  = 128 // writes of one transaction
	busyTries = 5   // of a batch that met a lock
)

// write is one caller's change, waiting for its turn.
type write struct {
	ctx  context.Context
	run  func(conn) error
	done chan error
}

// write carries out run in a transaction and returns when it is durable. An error
// of run undoes run alone. run may be called again after a deadlock, so it sets
// its results afresh each time. op is the step that errors name.
func (d *DB) write(ctx context.Context, op string, run func(conn) error) error {
	if d.shared {
		return d.writeAlone(ctx, op, run)
	}
	w := &write{ctx: ctx, run: run, done: make(chan error, 1)}
	select {
	case <-d.stop:
		return errClosed(op)
	default:
	}
	select {
	case d.queue <- w:
	case <-ctx.Done():
		return coffer.Wrap(op, ctx.Err())
	case <-d.stop:
		return errClosed(op)
	}
	select {
	case err := <-w.done:
		return coffer.Wrap(op, err)
	case <-d.stop:
		d.wg.Wait() // the server answers whatever it has taken
		select {
		case err := <-w.done:
			return coffer.Wrap(op, err)
		default:
			return errClosed(op)
		}
	}
}

func errClosed(op string) error {
	return coffer.E(coffer.KindUnavailable, op, "the records are closed")
}

// serveWrites gathers what waits and carries it out, until Close.
func (d *DB) serveWrites() {
	for {
		select {
		case <-d.stop:
			return
		case w := <-d.queue:
			d.commitBatch(d.gather(w))
		}
	}
}

// gather takes first and all that waits behind it, and drops what nobody waits
// for any more.
func (d *DB) gather(first *write) []*write {
	batch := []*write{first}
	for len(batch) < maxBatch {
		select {
		case w := <-d.queue:
			batch = append(batch, w)
			continue
		default:
		}
		break
	}
	live := batch[:0]
	for _, w := range batch {
		if err := w.ctx.Err(); err != nil {
			w.done <- err
			continue
		}
		live = append(live, w)
	}
	return live
}

// commitBatch runs a batch in one transaction and answers every caller.
func (d *DB) commitBatch(batch []*write) {
	if len(batch) == 0 {
		return
	}
	var errs []error
	var err error
	for try := range busyTries {
		errs, err = d.tryBatch(batch)
		if !isBusy(err) {
			break
		}
		select {
		case <-d.stop:
		case <-time.After(time.Duration(try+1) * 20 * time.Millisecond):
		}
	}
	for i, w := range batch {
		if err != nil {
			w.done <- err
			continue
		}
		w.done <- errs[i]
	}
}

// tryBatch returns one error for each write, or the error that undid them all.
// It runs without the callers' contexts: to interrupt one statement would undo
// the others' work.
func (d *DB) tryBatch(batch []*write) ([]error, error) {
	ctx := context.Background()
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, classify(err)
	}
	defer d.written.catchUp(ctx)
	errs := make([]error, len(batch))
	q := d.written.within(tx)
	for i, w := range batch {
		if errs[i], err = underSavepoint(ctx, q, w.run); err != nil {
			return nil, errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, errors.Join(classify(err), ignoreDone(tx.Rollback()))
	}
	return errs, nil
}

// underSavepoint runs one write. own is its own error, undone alone; all is one
// that the whole transaction cannot survive.
func underSavepoint(ctx context.Context, q querier, run func(conn) error) (own, all error) {
	c := conn{ctx: ctx, q: q}
	if _, err := c.exec(`SAVEPOINT w`); err != nil {
		return nil, err
	}
	if own = run(c); own != nil {
		if undoesAll(own) {
			return nil, own
		}
		if _, err := c.exec(`ROLLBACK TO SAVEPOINT w`); err != nil {
			return nil, errors.Join(own, err)
		}
	}
	_, err := c.exec(`RELEASE SAVEPOINT w`)
	return own, err
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return nilIfNoTx(err)
}
