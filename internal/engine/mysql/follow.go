package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer"
)

// Follow makes a restored server the replica of another one.
type Follow struct {
	Host     string          // whom it shall follow
	Port     int             // 0 is 3306
	Position coffer.Position // of the backup that was restored
}

const opFollow = "make the restored server a replica"

// A name or an address, as it may stand in a statement.
var reHost = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$`)

// place is where in the history of the server that is followed the restored data
// stand.
type place struct {
	gtid, file string
	offset     uint64
	of         string // whose coordinates these are, for a person
}

// place picks the coordinates: those of the backup's own source, where that is who
// shall be followed, else those of the server that was backed up.
func (f Follow) place() (place, error) {
	if !reHost.MatchString(f.Host) || f.Port < 0 || f.Port > 65535 {
		return place{}, coffer.E(coffer.KindInvalid, opFollow, "%.80q, port %d, is no server's address", f.Host, f.Port)
	}
	p, s := f.Position, f.Position.Source
	at := place{gtid: p.GTID, file: p.BinlogFile, offset: p.BinlogOffset, of: "the server that was backed up"}
	if s.Host == f.Host && s.Port == f.port() {
		at = place{gtid: s.GTID, file: s.File, offset: s.Offset, of: "the source of the server that was backed up"}
	}
	switch {
	case strings.ContainsAny(at.gtid+at.file, "'\\\n\x00"):
		return place{}, coffer.E(coffer.KindCorrupt, opFollow, "the backup's coordinates are not of a server's making")
	case at.gtid == "" && at.file == "":
		return place{}, coffer.E(coffer.KindUnsupported, opFollow, "the backup does not hold the coordinates of %s", at.of).
			WithHint("back up a server that writes a binary log, or a replica")
	}
	return at, nil
}

func (f Follow) port() int {
	if f.Port == 0 {
		return 3306
	}
	return f.Port
}

// What stands in a printed statement in place of the account.
const (
	userMark     = "<user>"
	passwordMark = "<password>"
)

// Statements are what makes the restored server follow, in order, with marks in place
// of the account; run by hand or by [Follow.Start].
func (f Follow) Statements() ([]string, error) {
	at, err := f.place()
	if err != nil {
		return nil, err
	}
	change := fmt.Sprintf("CHANGE MASTER TO MASTER_HOST = '%s', MASTER_PORT = %d, MASTER_USER = '%s', MASTER_PASSWORD = '%s'",
		f.Host, f.port(), userMark, passwordMark)
	// No two servers of a replication may have the same number; a restored one has
	// the default.
	out := []string{fmt.Sprintf("SET GLOBAL server_id = %d", 1<<20+rand.Uint32N(1<<30))}
	if at.gtid != "" {
		return append(out, fmt.Sprintf("SET GLOBAL gtid_slave_pos = '%s'", at.gtid), change+", MASTER_USE_GTID = slave_pos", "START SLAVE"), nil
	}
	return append(out, change+fmt.Sprintf(", MASTER_LOG_FILE = '%s', MASTER_LOG_POS = %d, MASTER_USE_GTID = no", at.file, at.offset), "START SLAVE"), nil
}

// followWait bounds how long the new replica may take to reach its source.
const followWait = 30 * time.Second

// Start runs statements of [Follow.Statements] on the server of conn and waits until
// it has reached its source. The replication account is read from a private option
// file, and goes nowhere but into the statement.
func (f Follow) Start(ctx context.Context, conn coffer.Conn, credentials string, statements []string) error {
	account, err := readOptions(credentials)
	if err != nil {
		return err
	}
	if account["user"] == "" {
		return coffer.E(coffer.KindInvalid, opCredentials, "%s has no user in its [client] group", credentials)
	}
	c, err := (&Engine{cfg: Config{Conn: conn}}).connect()
	if err != nil {
		return err
	}
	defer c.close()
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	fill := strings.NewReplacer(userMark, quote.Replace(account["user"]), passwordMark, quote.Replace(account["password"]))
	for _, q := range statements {
		if _, err := c.db.ExecContext(ctx, fill.Replace(q)); err != nil {
			said := err.Error()
			if refused, ok := errors.AsType[*driver.MySQLError](err); ok && strings.Contains(q, passwordMark) {
				said = fmt.Sprintf("the server refuses it with error %d", refused.Number) // its words may repeat a part of the password
			}
			return coffer.E(coffer.KindOf(c.failed(ctx, err)), opFollow, "%s: %s", q, said)
		}
	}
	return f.await(ctx, c)
}

// await polls until both threads run, or one has said why it does not.
func (f Follow) await(ctx context.Context, c *client) error {
	ctx, stop := context.WithTimeoutCause(ctx, followWait, errors.New("it has not reached its source in time"))
	defer stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	said := ""
	for {
		s, err := c.replicaRuns(ctx)
		switch {
		case err == nil && s.running:
			return nil
		case err == nil && s.hopeless:
			return coffer.E(coffer.KindTool, opFollow, "%s:%d: %s", f.Host, f.port(), s.words).WithHint("%s", followHint)
		case err == nil && s.words != "":
			said = s.words
		case err != nil && ctx.Err() == nil:
			return err
		}
		select {
		case <-ctx.Done():
			return coffer.E(coffer.KindUnavailable, opFollow, "%s:%d: %w; it says: %s", f.Host, f.port(), context.Cause(ctx), said).
				WithHint("%s", followHint)
		case <-tick.C:
		}
	}
}

const followHint = "see SHOW SLAVE STATUS on the restored server; the account needs REPLICATION SLAVE on the source"

// replicaState is what a replica says of itself.
type replicaState struct {
	running  bool // both threads
	hopeless bool // a thread has ended, or is refused
	words    string
}

const accessDenied = "1045"

func (c *client) replicaRuns(ctx context.Context) (s replicaState, err error) {
	rows, err := c.db.QueryContext(ctx, `SHOW SLAVE STATUS`)
	if err != nil {
		return s, c.failed(ctx, err)
	}
	defer rows.Close()
	if !rows.Next() {
		return s, c.failed(ctx, errors.Join(rows.Err(), sql.ErrNoRows))
	}
	row, err := namedRow(rows)
	if err != nil {
		return s, c.failed(ctx, err)
	}
	s.words = strings.TrimSpace(row["Last_IO_Error"] + " " + row["Last_SQL_Error"])
	reads, applies := row["Slave_IO_Running"], row["Slave_SQL_Running"]
	s.running = reads == "Yes" && applies == "Yes"
	s.hopeless = s.words != "" && (reads == "No" || applies == "No" || row["Last_IO_Errno"] == accessDenied)
	return s, nil
}
