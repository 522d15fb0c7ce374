package records

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"syscall"

	"github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer"
)

// openMySQL gives a pool of a MySQL or MariaDB database. Rows that a change found
// count as changed, as they do elsewhere, also when they hold the same values
// afterwards.
func openMySQL(u *url.URL, s Source) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.DBName = "tcp", u.Host, database(u)
	cfg.User, cfg.Passwd, cfg.TLS = u.User.Username(), s.Password, s.tlsFor(u)
	cfg.ClientFoundRows = true
	cfg.InterpolateParams = true // one round trip a statement
	cfg.Timeout = dialTime
	cfg.ReadTimeout, cfg.WriteTimeout = 2*aloneTime, aloneTime
	cfg.Logger = &mysql.NopLogger{} // what breaks is returned
	cfg.Params = map[string]string{
		"sql_mode":                 "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'",
		"innodb_lock_wait_timeout": "10",
	}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, "read where the records are", "the address is not one of MySQL")
	}
	return sql.OpenDB(session{c}), nil
}

// session makes each new connection read what is committed: under MySQL's own
// choice a transaction that waited for a row goes on seeing what was there before.
// MariaDB also ends the transaction of a process that was stopped in its midst.
type session struct{ driver.Connector }

const sessionSetup = `SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED`

const sessionIdle = `SET SESSION autocommit = 1 /*M!100300 , SESSION idle_transaction_timeout = 15 */`

// Connect implements driver.Connector.
func (s session) Connect(ctx context.Context) (driver.Conn, error) {
	cn, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	run, ok := cn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the MySQL driver cannot run a statement"), cn.Close())
	}
	for _, statement := range []string{sessionSetup, sessionIdle} {
		if _, err := run.ExecContext(ctx, statement, nil); err != nil {
			return nil, errors.Join(err, cn.Close())
		}
	}
	return cn, nil
}

// mysqlTrouble reads an error of MySQL or MariaDB, or of their connection.
func mysqlTrouble(err error) (trouble, bool) {
	e, is := errors.AsType[*mysql.MySQLError](err)
	if !is {
		return trouble{}, false
	}
	switch e.Number {
	case 1205, 1213, 3572: // no lock in time, deadlock (Galera: also at COMMIT)
		return trouble{kind: coffer.KindUnavailable, hint: "others changed the same rows; try again", busy: true}, true
	case 1062:
		return trouble{taken: true}, true
	case 1047, 1053, 1077, 1079, 1180, 1317, 1927, 1928, 4031: // shutting down, killed, no quorum: whether a COMMIT was done is open
		return trouble{kind: coffer.KindUnavailable, hint: hintServer, lost: true}, true
	case 1040, 1203, 1290, 1836, 3024: // too many connections, read-only
		return trouble{kind: coffer.KindUnavailable, hint: hintServer}, true
	case 1044, 1045, 1049, 1142, 1143, 1227, 1698:
		return trouble{kind: coffer.KindUnavailable, hint: hintAccount}, true
	case 1021, 1041, 1114:
		return trouble{kind: coffer.KindNoSpace, hint: hintSpace}, true
	case 1034, 1035, 1194, 1195, 1712:
		return trouble{kind: coffer.KindCorrupt, hint: hintServer}, true
	case 1264, 1366, 1406, 3988:
		return trouble{kind: coffer.KindInvalid, hint: hintText}, true
	}
	return trouble{}, true
}

// isCut reports whether a connection ended where an answer was due.
func isCut(err error) bool {
	for _, cut := range []error{mysql.ErrInvalidConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, cut) {
			return true
		}
	}
	return false
}
