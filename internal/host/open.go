package host

import (
	"database/sql"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer"
)

// OpenDB opens a pool on a hosted server's socket with the agent's own account.
// The slot is known by its credentials file, as [Host.Start] gave it.
func OpenDB(conn coffer.Conn) (*sql.DB, error) {
	password, err := readPassword(conn.CredentialsFile)
	if err != nil {
		return nil, err
	}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = AccountUser, password, "unix", conn.Socket
	c.ParseTime, c.Timeout = true, 10*time.Second
	con, err := mysql.NewConnector(c)
	if err != nil {
		return nil, coffer.Wrap("open the hosted server", err)
	}
	return sql.OpenDB(con), nil
}
