package records

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// Source says where the records are: in a SQLite file or in a database server.
type Source struct {
	// Path is SQLite's file, for one machine.
	Path string
	// URL is postgres://user@host:port/database or mysql://user@host:port/database
	// (MariaDB too), for many. It never holds a password.
	URL      string
	Password string
	TLS      *tls.Config // nil speaks in the clear
	MaxConns int         // of a server; 0 is 10
}

const (
	defaultConns = 10
	dialTime     = 10 * time.Second
)

// OpenSource opens the records and brings their schema up to date; of several
// processes that start at once one does so.
func OpenSource(ctx context.Context, s Source) (*DB, error) {
	d, err := openSource(ctx, s)
	return d, coffer.Wrap("open the records", err)
}

func openSource(ctx context.Context, s Source) (*DB, error) {
	in, writer, readers, err := connect(ctx, s)
	if err != nil {
		return nil, err
	}
	steps, err := loadMigrations(migrations, in.name)
	if err != nil {
		return nil, errors.Join(err, readers.Close(), writer.Close())
	}
	return begin(ctx, in, writer, readers, steps)
}

// connect gives the pools of a source, tried, whatever their schema is.
func connect(ctx context.Context, s Source) (in dialect, writer, readers *sql.DB, err error) {
	const op = "read where the records are"
	if s.Path != "" && s.URL != "" {
		return in, nil, nil, coffer.E(coffer.KindInvalid, op, "both a file and a server are named").WithHint("name one of them")
	}
	if s.Path != "" {
		writer, readers, err = openSQLite(ctx, s.Path)
		return sqliteDialect, writer, readers, err
	}
	u, err := parseURL(s.URL)
	if err != nil {
		return in, nil, nil, err
	}
	in, open := postgresDialect, openPostgres
	if u.Scheme == "mysql" {
		in, open = mysqlDialect, openMySQL
	}
	pool, err := open(u, s)
	if err != nil {
		return in, nil, nil, err
	}
	if s.MaxConns <= 0 {
		s.MaxConns = defaultConns
	}
	pool.SetMaxOpenConns(s.MaxConns)
	pool.SetMaxIdleConns(s.MaxConns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(30 * time.Minute) // so that a cluster behind one address is spread over again
	if err := pool.PingContext(ctx); err != nil {
		return in, nil, nil, errors.Join(classify(err), pool.Close())
	}
	return in, pool, pool, nil
}

// parseURL reads a server's address; its port is filled in, its scheme is postgres
// or mysql.
func parseURL(text string) (*url.URL, error) {
	const op, form = "read where the records are", "write postgres://user@host:port/database or mysql://user@host:port/database"
	u, err := url.Parse(text)
	if err != nil { // its text could hold a password, and is not shown
		return nil, coffer.E(coffer.KindInvalid, op, "the records' address is no URL").WithHint(form)
	}
	port := "5432"
	switch u.Scheme {
	case "postgres", "postgresql":
		u.Scheme = "postgres"
	case "mysql", "mariadb":
		u.Scheme, port = "mysql", "3306"
	default:
		return nil, coffer.E(coffer.KindInvalid, op, "the records' address names no database that Coffer knows").WithHint(form)
	}
	if _, has := u.User.Password(); has {
		return nil, coffer.E(coffer.KindInvalid, op, "there is a password in the records' address").
			WithHint("take it out of the address, where logs and process lists show it, and give it in a file")
	}
	if u.User.Username() == "" || u.Hostname() == "" || len(strings.Trim(u.Path, "/")) == 0 {
		return nil, coffer.E(coffer.KindInvalid, op, "the records' address lacks its user, host or database").WithHint(form)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, coffer.E(coffer.KindInvalid, op, "the records' address has options").WithHint("take out all that follows the database's name")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

func database(u *url.URL) string { return strings.TrimPrefix(u.Path, "/") }

// tlsFor names the server whose certificate is expected.
func (s Source) tlsFor(u *url.URL) *tls.Config {
	if s.TLS == nil || s.TLS.ServerName != "" {
		return s.TLS
	}
	c := s.TLS.Clone()
	c.ServerName = u.Hostname()
	return c
}
