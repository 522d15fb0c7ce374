package trovedb

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/cofferdb/coffer"
)

const (
	opOpen   = "open Trove's database"
	dialTime = 10 * time.Second
	maxFile  = 1 << 20
)

// ReadURL takes the database's URL out of a file: its first line, or the connection of
// [database] where it is a trove.conf. It holds a password, so it never stands in an
// argument.
func ReadURL(path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", coffer.E(coffer.KindNotFound, opOpen, "%w", err)
	}
	if fi.Size() > maxFile {
		return "", coffer.E(coffer.KindInvalid, opOpen, "%s has more than %d bytes", path, maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", coffer.E(coffer.KindForbidden, opOpen, "%w", err)
	}
	section := ""
	for n, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if n == 0 && strings.Contains(line, "://") && !strings.Contains(strings.SplitN(line, "://", 2)[0], "=") {
			return line, nil
		}
		if strings.HasPrefix(line, "[") {
			section = line
		}
		key, value, ok := strings.Cut(line, "=")
		if ok && section == "[database]" && strings.TrimSpace(key) == "connection" {
			return strings.TrimSpace(value), nil
		}
	}
	return "", coffer.E(coffer.KindInvalid, opOpen, "%s holds no URL", path).
		WithHint("its first line is one, as mysql+pymysql://trove:password@db.example/trove; or name trove.conf")
}

// Open connects to a database by its URL as SQLAlchemy has it: mysql+pymysql://,
// postgresql://, or sqlite:///. Errors never hold it. Off this machine the connection is
// encrypted, by the authority that ssl_ca or sslrootcert names, unless plaintext is
// allowed.
func Open(raw string, plaintext bool) (*sql.DB, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, opOpen, "its address is no URL")
	}
	kind, _, _ := strings.Cut(u.Scheme, "+")
	if kind == "sqlite" {
		path := strings.TrimPrefix(u.Path, "/") // sqlite:////srv/x.db is /srv/x.db
		if _, err := os.Stat(path); err != nil {
			return nil, coffer.E(coffer.KindNotFound, opOpen, "%w", err)
		}
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(10000)")
		return db, coffer.Wrap(opOpen, err)
	}
	q := u.Query()
	secure, err := tlsOf(u.Hostname(), first(q, "ssl_ca", "sslrootcert"), plaintext)
	if err != nil {
		return nil, err
	}
	password, _ := u.User.Password()
	switch kind {
	case "mysql", "mariadb":
		return openMySQL(u, password, secure)
	case "postgresql", "postgres":
		return openPostgres(u, password, secure)
	}
	return nil, coffer.E(coffer.KindInvalid, opOpen, "there is no database of kind %.20q", kind).WithHint("it is mysql, postgresql or sqlite")
}

func openMySQL(u *url.URL, password string, secure *tls.Config) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName = "tcp", u.Host, strings.Trim(u.Path, "/")
	if socket := u.Query().Get("unix_socket"); socket != "" {
		c.Net, c.Addr = "unix", socket
	} else if u.Port() == "" {
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	c.User, c.Passwd, c.TLS, c.Timeout, c.ParseTime = u.User.Username(), password, secure, dialTime, true
	c.Logger = &mysql.NopLogger{}
	con, err := mysql.NewConnector(c)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, opOpen, "its address is not one of MySQL")
	}
	return sql.OpenDB(con), nil
}

func openPostgres(u *url.URL, password string, secure *tls.Config) (*sql.DB, error) {
	address := url.URL{Scheme: "postgres", Host: u.Host, Path: u.Path, User: url.User(u.User.Username()), RawQuery: "sslmode=disable"}
	c, err := pgx.ParseConfig(address.String())
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, opOpen, "its address is not one of PostgreSQL")
	}
	c.Password, c.TLSConfig, c.Fallbacks, c.ConnectTimeout = password, secure, nil, dialTime
	return stdlib.OpenDB(*c), nil
}

// tlsOf is how a server is reached; nil is plainly.
func tlsOf(host, ca string, plaintext bool) (*tls.Config, error) {
	ip := net.ParseIP(host)
	local := host == "" || host == "localhost" || ip != nil && ip.IsLoopback()
	if ca == "" && (local || plaintext) {
		return nil, nil
	}
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, opOpen, "%w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, coffer.E(coffer.KindInvalid, opOpen, "%s holds no certificate", ca)
	}
	return c, nil
}

func first(q url.Values, keys ...string) string {
	for _, k := range keys {
		if v := q.Get(k); v != "" {
			return v
		}
	}
	return ""
}
