package records

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"

	"github.com/cofferdb/coffer"
)

// cluster makes a database answer COMMIT as Galera does when another node changed
// the same rows first: with an error, and nothing done.
type cluster struct {
	path  string
	with  error
	times int // how many COMMITs are still lost; one connection, so one goroutine at a time
}

func (c *cluster) Driver() driver.Driver { return &sqlite.Driver{} }

func (c *cluster) Connect(context.Context) (driver.Conn, error) {
	cn, err := c.Driver().Open(c.path)
	return clusterConn{cn, c}, err
}

type clusterConn struct {
	driver.Conn
	c *cluster
}

func (cn clusterConn) Begin() (driver.Tx, error) {
	//lint:ignore SA1019 it is all that the wrapper needs
	tx, err := cn.Conn.Begin()
	return clusterTx{tx, cn.c}, err
}

type clusterTx struct {
	driver.Tx
	c *cluster
}

func (tx clusterTx) Commit() error {
	if tx.c.times > 0 {
		tx.c.times--
		return errors.Join(tx.c.with, tx.Rollback())
	}
	return tx.Tx.Commit()
}

// TestDeadlockAtCommit: a COMMIT that lost against another node's is run again as a
// whole; one of which nobody knows is not.
func TestDeadlockAtCommit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		with  error
		times int
		kind  coffer.Kind
		want  uint64
	}{
		{"certification failed twice", &mysql.MySQLError{Number: 1213, Message: "Deadlock found"}, 2, "", 1},
		{"it fails for ever", &mysql.MySQLError{Number: 1213, Message: "Deadlock found"}, 1000, coffer.KindUnavailable, 0},
		{"the node lost its cluster", &mysql.MySQLError{Number: 1047, Message: "WSREP has not yet prepared node"}, 1, coffer.KindUnknown, 0},
		{"the connection broke", mysql.ErrInvalidConn, 1, coffer.KindUnknown, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			under := &cluster{path: filepath.Join(t.TempDir(), "records.db"), with: c.with}
			pool := sql.OpenDB(under)
			pool.SetMaxOpenConns(1)
			steps, err := loadMigrations(migrations, sqliteDialect.name)
			if err != nil {
				t.Fatal(err)
			}
			d, err := begin(t.Context(), dialect{name: sqliteDialect.name, shared: true}, pool, pool, steps)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}()
			under.times = c.times
			_, err = d.RaiseCounter(t.Context(), "c")
			if coffer.KindOf(err) != c.kind || (err != nil) == (coffer.HintOf(err) == "") {
				t.Errorf("answered %q (hint %q): %v, want %q", coffer.KindOf(err), coffer.HintOf(err), err, c.kind)
			}
			if n, err := d.Counter(t.Context(), "c"); n != c.want || err != nil {
				t.Errorf("the counter is %d (%v), want %d", n, err, c.want)
			}
		})
	}
}
