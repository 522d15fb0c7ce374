package host

import (
	"context"
	"database/sql"
	"time"

	"github.com/go-sql-driver/mysql"
)

// ping asks the slot's server to do something as the agent's account. The driver
// is told to send no password in clear and no local file, whatever the server
// asks for: its data came from outside.
func ping(ctx context.Context, s Slot) error {
	password, err := readAccount(s)
	if err != nil {
		return err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = AccountUser, password, "unix", s.Socket
	cfg.Timeout, cfg.ReadTimeout, cfg.Logger = 2*time.Second, 2*time.Second, &mysql.NopLogger{}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(c)
	defer db.Close()
	_, err = db.ExecContext(ctx, "DO 1")
	return err
}
