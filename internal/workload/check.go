package workload

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// Report is what Check found.
type Report struct {
	Transactions int64    // in the restored ledger
	Inserts      int64    // of the non-transactional clients, restored
	Rows         int64    // compared one by one
	Position     string   // the last number of each client: "1:1041 2:998 audit:77"
	Problems     []string // at most 20 in words
	Count        int      // all of them
}

const maxProblems = 20

func (r *Report) problem(format string, args ...any) {
	r.Count++
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// Check compares a restored database with the journal. The restored ledger
// defines the position; see the package comment for what must hold there. The
// backup began not earlier than before and ended not later than after; zero
// times leave the two rules out. A problem found is an error of KindCorrupt, and
// the report holds more.
func Check(ctx context.Context, restored *sql.DB, j Journal, before, after time.Time) (Report, error) {
	const op = "compare with the ledger"
	schema, err := useSchema(j.Schema)
	if err != nil {
		return Report{}, err
	}
	c := &checker{db: restored, schema: schema, before: before, after: after, journal: byClient(j), last: map[client]int64{}}
	for _, step := range []func(context.Context) error{c.readLedger, c.readInserts} {
		if err := step(ctx); err != nil {
			return c.Report, coffer.Wrap(op, err)
		}
	}
	c.position()
	c.times()
	if err := c.effects(ctx); err != nil {
		return c.Report, coffer.Wrap(op, err)
	}
	if c.Count > 0 {
		return c.Report, coffer.E(coffer.KindCorrupt, op, "%d problems, the first: %s", c.Count, c.Problems[0])
	}
	return c.Report, nil
}

// checker is one run of Check.
type checker struct {
	Report
	db            *sql.DB
	schema        string
	before, after time.Time
	journal       map[client][]Entry
	last          map[client]int64 // each client's k
}

func byClient(j Journal) map[client][]Entry {
	m := map[client][]Entry{}
	for _, e := range j.Entries {
		m[e.client()] = append(m[e.client()], e)
	}
	return m
}

// entry is number seq of a client; ok is false beyond the journal's end.
func (c *checker) entry(of client, seq int64) (Entry, bool) {
	list := c.journal[of]
	if seq < 1 || seq > int64(len(list)) {
		return Entry{}, false
	}
	return list[seq-1], true
}

// readLedger finds each worker's last transaction, and compares every row with
// what the journal says of it.
func (c *checker) readLedger(ctx context.Context) error {
	rows, err := c.db.QueryContext(ctx, "SELECT worker, seq, effects, crc FROM "+c.schema+".ledger ORDER BY worker, seq")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			of      client
			seq     int64
			effects string
			crc     uint32
		)
		if err := rows.Scan(&of.worker, &seq, &effects, &crc); err != nil {
			return err
		}
		c.Transactions++
		c.next(of, seq)
		e, ok := c.entry(of, seq)
		switch {
		case ledgerCRC(of.worker, seq, effects) != crc:
			c.problem("the ledger's row of %s is damaged", name(of, seq))
		case !ok:
			c.problem("%s is there and was never begun", name(of, seq))
		case e.Effects != effects:
			c.problem("the ledger says of %s %q, the journal %q", name(of, seq), effects, e.Effects)
		}
	}
	return rows.Err()
}

// readInserts does the same for the non-transactional tables, whose rows are
// their own ledger.
func (c *checker) readInserts(ctx context.Context) error {
	for _, t := range nonTransactional() {
		rows, err := c.db.QueryContext(ctx, "SELECT w, seq, id, crc, "+rowCRCSQL(t)+" FROM "+c.schema+"."+t.name+" WHERE seq <> 0 ORDER BY w, seq")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				of        = client{table: t.name}
				seq, id   int64
				crc, real uint32
			)
			if err := rows.Scan(&of.worker, &seq, &id, &crc, &real); err != nil {
				return err
			}
			c.Inserts++
			c.Rows++
			c.next(of, seq)
			e, ok := c.entry(of, seq)
			switch {
			case crc != real:
				c.problem("the row of %s is damaged", name(of, seq))
			case !ok:
				c.problem("%s is there and was never begun", name(of, seq))
			case e.Effects != fmt.Sprintf("%s%d:%08x", t.tag, id, crc):
				c.problem("%s is not what the journal says", name(of, seq))
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

// next notes that a client's seq is there; numbers come in order.
func (c *checker) next(of client, seq int64) {
	if want := c.last[of] + 1; seq != want {
		c.problem("%s is missing (%s follows)", name(of, want), name(of, seq))
	}
	c.last[of] = seq
}

func (c *checker) position() {
	var parts []string
	for _, of := range clients(c.journal) {
		parts = append(parts, fmt.Sprintf("%s:%d", of, c.last[of]))
	}
	c.Position = strings.Join(parts, " ")
}

func (of client) String() string {
	if of.table != "" {
		return of.table
	}
	return fmt.Sprint(of.worker)
}

func name(of client, seq int64) string {
	if of.table != "" {
		return fmt.Sprintf("insert %d into %s", seq, of.table)
	}
	return fmt.Sprintf("transaction %d of worker %d", seq, of.worker)
}
