package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer"
)

// client is a connection to the server.
type client struct {
	db    *sql.DB
	login login
}

// server is what the server says of itself.
type server struct {
	product, versionText, dataDir, redoGroup, dataFilePath string
	version                                                version
	serverID                                               uint32
	uid                                                    string
	pageSize, undoSpaces                                   int
	redoBytes                                              int64
	lsn                                                    uint64
	lowerCase                                              int
	logBin                                                 bool
	gtid, gtidState                                        string
	gtidMode                                               string // MySQL
}

// id joins the two things by which a server can be told from another.
func (s server) id() string { return fmt.Sprintf("%d/%s", s.serverID, s.uid) }

func (s server) redoDir() string {
	if filepath.IsAbs(s.redoGroup) {
		return s.redoGroup
	}
	return filepath.Join(s.dataDir, s.redoGroup)
}

// connect prepares a client; the server is first spoken to by a query.
func (e *Engine) connect() (*client, error) { return e.connectFor(time.Minute) }

// connectFor is connect for queries that take as long as that.
func (e *Engine) connectFor(wait time.Duration) (*client, error) {
	l, err := readLogin(e.cfg.Conn)
	if err != nil {
		return nil, err
	}
	cfg := driver.NewConfig()
	cfg.User, cfg.Passwd, cfg.Logger = l.user, l.password, &driver.NopLogger{}
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = 10*time.Second, wait, 10*time.Second
	cfg.Net, cfg.Addr = "unix", l.socket
	if l.socket == "" {
		cfg.Net, cfg.Addr = "tcp", net.JoinHostPort(l.host, strconv.Itoa(l.port))
	}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, opProbe, "%w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return &client{db: db, login: l}, nil
}

func (c *client) close() { c.db.Close() }

// failed classes an error of a query.
func (c *client) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return coffer.Wrap(opProbe, context.Cause(ctx))
	}
	where := c.login.socket
	if where == "" {
		where = net.JoinHostPort(c.login.host, strconv.Itoa(c.login.port))
	}
	return coffer.E(coffer.KindUnprocessable, opProbe, "%s: %w", where, err).
		WithHint("%s", advice(err, c.login.user))
}

// advice is what to do about an error of a query.
func advice(err error, user string) string {
	var refused *driver.MySQLError
	switch {
	case errors.As(err, &refused) && (refused.Number == 1044 || refused.Number == 1045 || refused.Number == 1698):
		return fmt.Sprintf("are user (%s) and password in the credentials file right, and may this account come in from here?", user)
	case errors.As(err, &refused):
		return "ask the server's own log for more"
	}
	return "does the server run, and does it listen there?"
}

// ask reads the server's variables and its present position.
func (c *client) ask(ctx context.Context) (s server, err error) {
	var comment string
	if err := c.db.QueryRowContext(ctx, `SELECT @@version, @@version_comment`).Scan(&s.versionText, &comment); err != nil {
		return s, c.failed(ctx, err)
	}
	if s.version, err = parseVersion(s.versionText); err != nil {
		return s, err
	}
	switch {
	case strings.Contains(s.versionText, "MariaDB"):
		s.product = "mariadb"
		s, err = c.askMariaDB(ctx, s)
	case strings.Contains(comment, "Percona"):
		s.product = "percona"
		s, err = c.askMySQL(ctx, s)
	default:
		s.product = "mysql"
		s, err = c.askMySQL(ctx, s)
	}
	s.dataDir = filepath.Clean(s.dataDir)
	return s, err
}

// askMariaDB is ask for MariaDB.
func (c *client) askMariaDB(ctx context.Context, s server) (server, error) {
	err := c.db.QueryRowContext(ctx, `SELECT @@server_id, @@server_uid, @@datadir,
		@@innodb_log_group_home_dir, @@innodb_data_file_path, @@innodb_page_size, @@innodb_undo_tablespaces,
		@@innodb_log_file_size, @@lower_case_table_names, @@log_bin, COALESCE(@@gtid_binlog_pos, ''), COALESCE(@@gtid_binlog_state, '')`).
		Scan(&s.serverID, &s.uid, &s.dataDir, &s.redoGroup, &s.dataFilePath, &s.pageSize,
			&s.undoSpaces, &s.redoBytes, &s.lowerCase, &s.logBin, &s.gtid, &s.gtidState)
	if err != nil {
		return s, c.failed(ctx, err)
	}
	var name string
	err = c.db.QueryRowContext(ctx, `SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current'`).Scan(&name, &s.lsn)
	return s, c.failed(ctx, err)
}

// texts is the one column of a query's answer.
func (c *client) texts(ctx context.Context, query string, args ...any) (out []string, err error) {
	rows, err := c.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, c.failed(ctx, err)
		}
		out = append(out, text)
	}
	return out, c.failed(ctx, rows.Err())
}

// binlog is one file of the server's binary log.
type binlog struct {
	file string
	size uint64
}

// binlogs lists the files that the server keeps, the one it writes last; none
// when it writes no binary log.
func (c *client) binlogs(ctx context.Context, s server) (logs []binlog, err error) {
	if !s.logBin {
		return nil, nil
	}
	rows, err := c.db.QueryContext(ctx, `SHOW BINARY LOGS`)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	for rows.Next() {
		var l binlog
		values := []any{&l.file, &l.size}
		for range names[min(2, len(names)):] { // MySQL 8 adds whether it is encrypted
			values = append(values, new(string))
		}
		if err := rows.Scan(values...); err != nil {
			return nil, c.failed(ctx, err)
		}
		logs = append(logs, l)
	}
	return logs, c.failed(ctx, rows.Err())
}

// tableIDs is InnoDB's table id of every tablespace with one table.
func (c *client) tableIDs(ctx context.Context, s server) (map[uint32]uint64, error) {
	rows, err := c.db.QueryContext(ctx, `SELECT SPACE, TABLE_ID FROM `+s.innodbView("TABLES")+` WHERE SPACE > 0`)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	defer rows.Close()
	ids := make(map[uint32]uint64)
	for rows.Next() {
		var space uint32
		var table uint64
		if err := rows.Scan(&space, &table); err != nil {
			return nil, c.failed(ctx, err)
		}
		ids[space] = table
	}
	return ids, c.failed(ctx, rows.Err())
}
