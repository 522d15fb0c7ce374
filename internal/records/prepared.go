package records

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// maxPrepared bounds the texts that are kept prepared. The queries of this package
// are few; only lists of rows and filters make variants.
const maxPrepared = 256

// prepared keeps a SQLite pool's statements prepared: to parse a query costs more
// than to run it. It is a querier for reading.
type prepared struct {
	pool *sql.DB

	mu     sync.RWMutex
	held   map[string]*sql.Stmt
	wanted []string // met in a transaction, to be prepared when it is over
}

func newPrepared(pool *sql.DB) *prepared {
	return &prepared{pool: pool, held: map[string]*sql.Stmt{}}
}

func (p *prepared) find(query string) (stmt *sql.Stmt, full bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.held[query], len(p.held) >= maxPrepared
}

// get is the query's statement, or nil when there are too many already.
func (p *prepared) get(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, full := p.find(query); stmt != nil || full {
		return stmt, nil
	}
	stmt, err := p.pool.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	other, there := p.held[query]
	if !there {
		p.held[query] = stmt
	}
	p.mu.Unlock()
	if there {
		return other, stmt.Close()
	}
	return stmt, nil
}

// QueryContext implements querier.
func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := p.get(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return p.pool.QueryContext(ctx, query, args...)
	}
	return stmt.QueryContext(ctx, args...)
}

// ExecContext implements querier.
func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.pool.ExecContext(ctx, query, args...)
}

// within gives the statements to one transaction. The pool has one connection and
// the transaction holds it, so what is missing is prepared afterwards, by catchUp.
func (p *prepared) within(tx *sql.Tx) *preparedTx {
	return &preparedTx{p: p, tx: tx, bound: map[string]*sql.Stmt{}}
}

// catchUp prepares what the transactions before it lacked. A text that cannot be
// prepared is run as it was.
func (p *prepared) catchUp(ctx context.Context) {
	for _, query := range p.wanted {
		_, _ = p.get(ctx, query) // its next use says what is wrong
	}
	p.wanted = p.wanted[:0]
}

func (p *prepared) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, stmt := range p.held {
		errs = append(errs, stmt.Close())
	}
	clear(p.held)
	return errors.Join(errs...)
}

// preparedTx is a querier for one transaction.
type preparedTx struct {
	p     *prepared
	tx    *sql.Tx
	bound map[string]*sql.Stmt
}

func (t *preparedTx) bind(ctx context.Context, query string) *sql.Stmt {
	if stmt, ok := t.bound[query]; ok {
		return stmt
	}
	stmt, full := t.p.find(query)
	switch {
	case stmt != nil:
		stmt = t.tx.StmtContext(ctx, stmt)
	case !full:
		t.p.wanted = append(t.p.wanted, query)
	}
	t.bound[query] = stmt
	return stmt
}

// ExecContext implements querier.
func (t *preparedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := t.bind(ctx, query); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return t.tx.ExecContext(ctx, query, args...)
}

// QueryContext implements querier.
func (t *preparedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := t.bind(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return t.tx.QueryContext(ctx, query, args...)
}
