package records

import (
	"context"

	"github.com/cofferdb/coffer"
)

// bundle is statements that go to the database together: they are carried out in
// order, and none of them can depend on what Go code makes of another's answer.
// Where the database takes several at once they cost one round trip, elsewhere one
// each.
type bundle struct{ steps []*step }

// step is one statement of a bundle, and its answer.
type step struct {
	query string
	args  []any
	take  func(row) error // called for each row; nil: the statement gives none
	rows  int64           // how many rows it changed
}

// exec adds a statement that gives no rows.
func (b *bundle) exec(query string, args ...any) *step {
	s := &step{query: query, args: args}
	b.steps = append(b.steps, s)
	return s
}

// held says whether a conditional statement's condition held.
func (s *step) held() bool { return s.rows > 0 }

// answer is what a query of a bundle gave.
type answer[T any] struct{ all []T }

// first is the first row, if there is any.
func (a *answer[T]) first() (v T, found bool) {
	if len(a.all) == 0 {
		return v, false
	}
	return a.all[0], true
}

// ask adds a query.
func ask[T any](b *bundle, scan func(row) (T, error), query string, args ...any) *answer[T] {
	a := &answer[T]{}
	b.steps = append(b.steps, &step{query: query, args: args, take: func(r row) error {
		v, err := scan(r)
		if err == nil {
			a.all = append(a.all, v)
		}
		return err
	}})
	return a
}

// pipe is a connection that takes several statements at once.
type pipe interface {
	// send carries out the steps. last says that the transaction ends well with
	// them: they and its end are one round trip.
	send(ctx context.Context, steps []*step, last bool) error
}

// together carries out a bundle.
func (c conn) together(b *bundle) error { return c.carry(b, false) }

// last carries out the bundle with which a transaction ends: whatever it answers, the
// transaction stands, unless it fails.
func (c conn) last(b *bundle) error { return c.carry(b, true) }

func (c conn) carry(b *bundle, last bool) error {
	if c.pipe != nil {
		for _, s := range b.steps {
			s.query = c.bind(s.query)
		}
		return c.pipe.send(c.ctx, b.steps, last)
	}
	for _, s := range b.steps {
		if err := c.carryOut(s); err != nil {
			return err
		}
	}
	return nil
}

func (c conn) carryOut(s *step) (err error) {
	if s.take == nil {
		s.rows, err = c.exec(s.query, s.args...)
		return err
	}
	return c.each(s.take, s.query, s.args...)
}

// bundled carries out the statements that fill adds, in a transaction of their own.
// They must do no harm when they are carried out twice: of a connection that broke
// nobody knows whether they were.
func (d *DB) bundled(ctx context.Context, op string, fill func(*bundle)) error {
	run := func(c conn) error {
		b := &bundle{}
		fill(b)
		return c.together(b)
	}
	if !d.pipelined {
		return d.write(ctx, op, run)
	}
	return d.repeatable(ctx, op, func() error { return d.withoutTx(ctx, run) })
}

// readTogether carries out the queries that fill adds. They may see different moments.
func (d *DB) readTogether(ctx context.Context, op string, fill func(*bundle)) error {
	for try := 1; ; try++ {
		b, c := &bundle{}, d.reading(ctx)
		fill(b)
		err := c.together(b)
		if t, _ := troubleOf(err); err == nil || !c.alone || !t.lost || try == lostTries || ctx.Err() != nil {
			return coffer.Wrap(op, err)
		}
	}
}
