package records

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// querier is what *sql.DB and *sql.Tx share.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// conn is the pool or one transaction, bound to one call; its life is that call,
// which is why it holds a context.
type conn struct {
	ctx context.Context
	q   querier
	dialect
	pipe  pipe // in q's place where the database takes several statements at once; else nil
	alone bool // no transaction: a query that met a broken connection can be asked again
}

// exec runs a statement and says how many rows it changed.
func (c conn) exec(query string, args ...any) (int64, error) {
	if c.pipe != nil {
		s := &step{query: c.bind(query), args: args}
		err := c.pipe.send(c.ctx, []*step{s}, false)
		return s.rows, err
	}
	res, err := c.q.ExecContext(c.ctx, c.bind(query), args...)
	if err != nil {
		return 0, classify(err)
	}
	n, err := res.RowsAffected()
	return n, classify(err)
}

// changed runs a conditional statement and says whether its condition held.
func (c conn) changed(query string, args ...any) (bool, error) {
	n, err := c.exec(query, args...)
	return n > 0, err
}

// row is what a scan function reads from.
type row interface{ Scan(dest ...any) error }

// many reads all rows of a query that is bounded by its own LIMIT.
func many[T any](c conn, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	for try := 1; ; try++ {
		out, err := manyOnce(c, scan, query, args...)
		if t, _ := troubleOf(err); err == nil || !c.alone || !t.lost || try == lostTries || c.ctx.Err() != nil {
			return out, err
		}
	}
}

func manyOnce[T any](c conn, scan func(row) (T, error), query string, args ...any) (out []T, err error) {
	err = c.each(func(r row) error {
		v, err := scan(r)
		if err == nil {
			out = append(out, v)
		}
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// each hands a query's rows to take, one after another.
func (c conn) each(take func(row) error, query string, args ...any) (err error) {
	if c.pipe != nil {
		return c.pipe.send(c.ctx, []*step{{query: c.bind(query), args: args, take: take}}, false)
	}
	rows, err := c.q.QueryContext(c.ctx, c.bind(query), args...)
	if err != nil {
		return classify(err)
	}
	defer func() { err = errors.Join(err, classify(rows.Close())) }()
	for rows.Next() {
		if err := take(rows); err != nil {
			return classify(err)
		}
	}
	return classify(rows.Err())
}

// one reads the first row of a query, if there is any.
func one[T any](c conn, scan func(row) (T, error), query string, args ...any) (v T, found bool, err error) {
	all, err := many(c, scan, query, args...)
	if err != nil || len(all) == 0 {
		return v, false, err
	}
	return all[0], true, nil
}

func scanString(r row) (s string, err error) { return s, r.Scan(&s) }

func scanInt(r row) (n int64, err error) { return n, r.Scan(&n) }

// micros is a time as the columns keep it; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment reads a column of micros into a time, in UTC.
type moment struct{ t *time.Time }

// Scan implements sql.Scanner.
func (m moment) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return errors.New("a time column does not hold an integer")
	}
	*m.t = time.Time{}
	if n != 0 {
		*m.t = time.UnixMicro(n).UTC()
	}
	return nil
}

// document reads a column of JSON text; the empty text leaves the zero value.
type document struct{ v any }

// Scan implements sql.Scanner.
func (d document) Scan(src any) error {
	switch s := src.(type) {
	case string:
		if s == "" {
			return nil
		}
		return json.Unmarshal([]byte(s), d.v)
	case []byte:
		if len(s) == 0 {
			return nil
		}
		return json.Unmarshal(s, d.v)
	}
	return errors.New("a document column does not hold text")
}

func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", coffer.E(coffer.KindInvalid, "write a document", "%w", err)
	}
	return string(b), nil
}

// counter is a uint64 as a column can hold it.
func counter(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// clip makes s fit for a column: valid UTF-8, no NUL, at most n bytes.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// page bounds a limit that a caller gave: at least 1, at most most; 0 is most.
func page(limit, most int) int {
	if limit <= 0 || limit > most {
		return most
	}
	return limit
}

// flag is a boolean as the columns keep it.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
