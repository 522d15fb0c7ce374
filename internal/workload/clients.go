package workload

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// retryPause is between two tries while the server is away.
const retryPause = 100 * time.Millisecond

// own is the first id of the rows that a client inserts; Fill's lie below.
func own(worker int) int64 { return int64(worker) << 32 }

const (
	keep   = 100 // a worker's rows in orders and events; older ones are deleted
	drawer = 24  // documents that a worker replaces in turn
)

// transact is the life of one transactional client.
func (w *Writer) transact(ctx context.Context, n *notes, g *gauge) {
	vocabulary := words()
	for seq := int64(1); w.rest(ctx, w.o.Pause); seq++ {
		u := w.plan(n.of.worker, seq, vocabulary)
		w.begin(n, seq, u.effects)
		for {
			gtid, err := w.commit(ctx, u, g)
			if err == nil {
				w.returned(n, gtid)
				break
			}
			happened, again := w.settle(ctx, err, "SELECT COUNT(*) FROM "+w.o.Schema+".ledger WHERE worker = ? AND seq = ?", n.of.worker, seq)
			if happened {
				w.returned(n, "")
				break
			}
			if !again {
				return // the journal says: unknown
			}
		}
	}
}

// unit is one transaction: its statements, the ledger's row among them.
type unit struct {
	statements []string
	effects    string
}

// plan makes transaction seq of a worker, always the same one.
func (w *Writer) plan(worker int, seq int64, vocabulary [][]byte) unit {
	p := newProse(w.o.Seed^uint64(worker)<<48, uint64(seq))
	s := w.o.Schema
	var u unit
	var effects []string
	put := func(tag string, id int64, content []byte, format string, args ...any) {
		crc := rowCRC(id, worker, seq, content)
		u.statements = append(u.statements, fmt.Sprintf(format, append(args, worker, seq, crc)...))
		effects = append(effects, fmt.Sprintf("%s%d:%08x", tag, id, crc))
	}
	if share := w.customers / int64(w.o.Workers); share > 0 {
		text := p.text(nil, 60+p.rng.IntN(300), vocabulary)
		id := 1 + int64(worker-1)*share + p.rng.Int64N(share)
		put("c", id, text, "UPDATE %[1]s.customers SET note = '%[2]s', balance = %[3]d, w = %[5]d, seq = %[6]d, crc = %[7]d WHERE id = %[4]d",
			s, text, p.rng.IntN(1e6), id)
	}
	id := own(worker) + seq
	text := p.text(nil, 40+p.rng.IntN(200), vocabulary)
	put("o", id, text, "INSERT INTO %s.orders (id, customer, status, note, w, seq, crc) VALUES (%d, %d, %d, '%s', %d, %d, %d)",
		s, id, p.rng.IntN(1e6), p.rng.IntN(9), text)
	text = p.text(nil, 40+p.rng.IntN(200), vocabulary)
	put("e", id, text, "INSERT INTO %s.events (id, day, kind, payload, w, seq, crc) VALUES (%d, %d, %d, '%s', %d, %d, %d)",
		s, id, p.rng.IntN(days), p.rng.IntN(500), text)
	if seq%4 == 0 {
		blob := p.blob(nil, 1+p.rng.IntN(w.o.MaxBlob), vocabulary)
		doc := own(worker) + seq/4%drawer
		put("d", doc, blob, "REPLACE INTO %s.documents (id, name, body, w, seq, crc) VALUES (%d, 'of worker', x'%s', %d, %d, %d)",
			s, doc, hex.EncodeToString(blob))
	}
	if old := id - keep; seq > keep {
		u.statements = append(u.statements, fmt.Sprintf("DELETE FROM %s.orders WHERE id = %d", s, old),
			fmt.Sprintf("DELETE FROM %s.events WHERE id = %d", s, old))
		effects = append(effects, fmt.Sprintf("-o%d -e%d", old, old))
	}
	u.effects = strings.Join(effects, " ")
	u.statements = append(u.statements, fmt.Sprintf("INSERT INTO %s.ledger (worker, seq, effects, crc) VALUES (%d, %d, '%s', %d)",
		s, worker, seq, u.effects, ledgerCRC(worker, seq, u.effects)))
	return u
}

// commit carries a unit out on one connection, which a failure closes: the server
// then rolls back what is open. (The COMMIT of a sql.Tx cannot be cut short, and
// a backup may let it hang.)
func (w *Writer) commit(ctx context.Context, u unit, g *gauge) (gtid string, err error) {
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer func() {
		if err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
	}()
	run := func(s string) (r sql.Result, err error) {
		err = g.time(func() error { r, err = conn.ExecContext(ctx, s); return err })
		return r, err
	}
	if _, err := run("BEGIN"); err != nil {
		return "", err
	}
	for _, s := range u.statements {
		if err := one(run(s)); err != nil {
			return "", err
		}
	}
	if _, err := run("COMMIT"); err != nil {
		return "", err
	}
	if w.o.GTID { // the commit has happened, whatever becomes of the question
		_ = conn.QueryRowContext(ctx, "SELECT @@last_gtid").Scan(&gtid)
	}
	return gtid, nil
}

// one wants a statement to have changed something: a unit without one of its
// effects would make the oracle lie.
func one(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n < 1 {
		return errors.Join(errors.New("the statement changed no row"), err)
	}
	return nil
}

// settle finds out whether a failed unit happened, for as long as it takes. If it
// did not, the same unit is tried again (should the first try be under way in the
// server yet, its rows are in the way of the second), unless the client has to
// end: then again is false.
func (w *Writer) settle(ctx context.Context, cause error, query string, args ...any) (happened, again bool) {
	w.failed(cause)
	for {
		var n int
		if err := w.db.QueryRowContext(ctx, query, args...).Scan(&n); err == nil && n > 0 {
			return true, true
		} else if !w.rest(ctx, retryPause) {
			return false, false
		} else if err == nil {
			return false, true
		}
	}
}

// insert is the life of a non-transactional client.
func (w *Writer) insert(ctx context.Context, n *notes, g *gauge) {
	vocabulary := words()
	name := w.o.Schema + "." + n.of.table
	for seq := int64(1); w.rest(ctx, max(w.o.Pause, time.Millisecond)); seq++ {
		p := newProse(w.o.Seed^uint64(len(n.of.table))<<40, uint64(seq))
		id, text := own(1)+seq, p.text(nil, 120, vocabulary)
		crc := rowCRC(id, n.of.worker, seq, text)
		query := fmt.Sprintf("INSERT INTO %s (id, note, w, seq, crc) VALUES (%d, '%s', %d, %d, %d)", name, id, text, n.of.worker, seq, crc)
		w.begin(n, seq, fmt.Sprintf("%s%d:%08x", n.of.table[:1], id, crc))
		for {
			err := g.time(func() error { return one(w.db.ExecContext(ctx, query)) })
			if err == nil {
				w.returned(n, "")
				break
			}
			happened, again := w.settle(ctx, err, "SELECT COUNT(*) FROM "+name+" WHERE id = ?", id)
			if happened {
				w.returned(n, "")
				break
			}
			if !again {
				return
			}
		}
	}
}

// define is the life of the client that changes definitions. Names are never
// used twice and nothing is renamed.
func (w *Writer) define(ctx context.Context, g *gauge) {
	const alive = 3
	for i := 1; w.rest(ctx, max(w.o.Pause, 20*time.Millisecond)); i++ {
		name := fmt.Sprintf("%s.scratch_%d", w.o.Schema, i)
		statements := []string{
			"CREATE TABLE " + name + " (id BIGINT PRIMARY KEY, note VARCHAR(600)) ENGINE=InnoDB",
			"INSERT INTO " + name + " SELECT id, note FROM " + w.o.Schema + ".audit LIMIT 200",
			"ALTER TABLE " + name + " ADD COLUMN more INT, ADD KEY (more)",
		}
		if i > alive {
			statements = append(statements, fmt.Sprintf("DROP TABLE IF EXISTS %s.scratch_%d", w.o.Schema, i-alive))
		}
		for _, s := range statements {
			if err := g.time(func() error { _, err := w.db.ExecContext(ctx, s); return err }); err != nil {
				w.failed(err)
				if !w.rest(ctx, retryPause) {
					return
				}
				break
			}
		}
	}
}
