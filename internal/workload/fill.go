package workload

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"golang.org/x/sync/errgroup"
)

// slack is what InnoDB allots to the shop's tablespaces before they use it.
const slack = 48 << 20

// FillOptions say what Fill makes.
type FillOptions struct {
	Seed   uint64
	Bytes  int64  // about what the tables use on disk; 0 is 200 MiB
	Schema string // must not exist; "" is DefaultSchema
}

// Fill makes the schema and its tables. The same options give the same rows.
func Fill(ctx context.Context, db *sql.DB, o FillOptions) error {
	const op = "fill the database"
	schema, err := useSchema(o.Schema)
	if err != nil {
		return err
	}
	if o.Bytes == 0 {
		o.Bytes = 200 << 20
	}
	o.Bytes = max(o.Bytes-slack, o.Bytes/2)
	if err := exec(ctx, db, ddl(schema)...); err != nil {
		return coffer.Wrap(op, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	g.Go(func() error { return fillDocuments(ctx, db, schema, o) })
	for i, f := range fillers(schema) {
		g.Go(func() error {
			return f.run(ctx, db, newProse(o.Seed, uint64(i)), o.Bytes*f.percent/100/f.perRow)
		})
	}
	return coffer.Wrap(op, g.Wait())
}

// filler makes the rows of one table of small rows.
type filler struct {
	insert  string
	percent int64 // of all bytes
	perRow  int64 // bytes on disk, indexes included
	row     func(b []byte, id int64, p *prose, v [][]byte) []byte
}

func fillers(schema string) []filler {
	return []filler{
		{"INSERT INTO " + schema + ".customers (id, email, country, balance, note) VALUES ", 17, 430, customerRow},
		{"INSERT INTO " + schema + ".orders (id, customer, status, note) VALUES ", 17, 480, orderRow},
		{"INSERT INTO " + schema + ".events (id, day, kind, payload) VALUES ", 14, 480, eventRow},
		{"INSERT INTO " + schema + ".audit (id, note) VALUES ", 6, 260, noteRow},
		{"INSERT INTO " + schema + ".hits (id, note) VALUES ", 6, 240, noteRow},
	}
}

// run inserts n rows, many in a statement and several statements in a commit.
func (f filler) run(ctx context.Context, db *sql.DB, p *prose, n int64) error {
	const rows, statements = 1000, 8
	vocabulary := words()
	var b []byte
	for id := int64(1); id <= n; {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for range statements {
			b = append(b[:0], f.insert...)
			from := id
			for ; id <= n && id < from+rows; id++ {
				if id > from {
					b = append(b, ',')
				}
				b = f.row(b, id, p, vocabulary)
			}
			if id == from {
				break
			}
			if _, err := tx.ExecContext(ctx, string(b)); err != nil {
				tx.Rollback()
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func customerRow(b []byte, id int64, p *prose, v [][]byte) []byte {
	r := p.rng.Uint64()
	b = open(b, id)
	b = append(b, ",'"...)
	b = append(b, v[r%uint64(len(v))]...)
	b = strconv.AppendUint(b, r>>40, 36)
	b = append(b, "@example.org','"...)
	b = append(b, 'A'+byte(r>>8%26), 'A'+byte(r>>16%26), '\'', ',')
	b = strconv.AppendUint(b, r>>32%100000, 10)
	return note(b, 180, p, v)
}

func orderRow(b []byte, id int64, p *prose, v [][]byte) []byte {
	r := p.rng.Uint64()
	b = open(b, id)
	b = append(b, ',')
	b = strconv.AppendUint(b, r%100000, 10)
	b = append(b, ',')
	b = strconv.AppendUint(b, r>>32%9, 10)
	return note(b, 190, p, v)
}

func eventRow(b []byte, id int64, p *prose, v [][]byte) []byte {
	r := p.rng.Uint64()
	b = open(b, id)
	b = append(b, ',')
	b = strconv.AppendUint(b, r%days, 10)
	b = append(b, ',')
	b = strconv.AppendUint(b, r>>32%500, 10)
	return note(b, 200, p, v)
}

func noteRow(b []byte, id int64, p *prose, v [][]byte) []byte { return note(open(b, id), 190, p, v) }

func open(b []byte, id int64) []byte { return strconv.AppendInt(append(b, '('), id, 10) }

func note(b []byte, n int, p *prose, v [][]byte) []byte {
	b = append(b, ",'"...)
	b = p.text(b, n, v)
	return append(b, "')"...)
}

// fillDocuments inserts the large values: from a kilobyte to a quarter megabyte,
// and one in a thousand of two megabytes.
func fillDocuments(ctx context.Context, db *sql.DB, schema string, o FillOptions) error {
	const percent, batch = 36, 8
	p, vocabulary := newProse(o.Seed, 100), words()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	insert := "INSERT INTO " + schema + ".documents (id, name, body) VALUES " + strings.Repeat("(?,?,?),", batch-1) + "(?,?,?)"
	st, err := conn.PrepareContext(ctx, insert)
	if err != nil {
		return err
	}
	defer st.Close()
	id := int64(0)
	for left := o.Bytes * percent / 100; left > 0; {
		args := make([]any, 0, 3*batch)
		for range batch {
			id++
			size := 1<<10 + p.rng.IntN(256<<10)
			if id%1000 == 3 && left > 32<<20 {
				size = 2 << 20
			}
			args = append(args, id, string(p.text(nil, 30, vocabulary)), p.blob(nil, size, vocabulary))
			left -= int64(size)
		}
		if _, err := st.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
