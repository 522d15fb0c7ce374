package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer"
)

// lookAtSources finds out whom the server follows. An account that may not ask is
// told of it only where there is something to ask for.
func (c *client) lookAtSources(ctx context.Context, l *sight) error {
	if l.server.product != "mariadb" {
		return nil
	}
	rows, err := c.db.QueryContext(ctx, `SHOW ALL SLAVES STATUS`)
	var refused *driver.MySQLError
	if errors.As(err, &refused) && refused.Number == 1227 {
		return c.warnReplica(ctx, l)
	}
	if err != nil {
		return c.failed(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		s, err := scanSource(rows)
		if err != nil {
			return c.failed(ctx, err)
		}
		l.sources = append(l.sources, s)
	}
	if len(l.sources) > 0 {
		s := l.sources[0]
		s.More = len(l.sources) - 1
		l.facts.Position.Source = s
	}
	return c.failed(ctx, rows.Err())
}

// warnReplica asks what every account may ask: how many threads apply what a source
// has sent.
func (c *client) warnReplica(ctx context.Context, l *sight) error {
	var name string
	var n int
	if err := c.db.QueryRowContext(ctx, `SHOW GLOBAL STATUS LIKE 'Slaves_running'`).Scan(&name, &n); err != nil {
		return c.failed(ctx, err)
	}
	if n > 0 {
		l.warn("the server is a replica, and its source's coordinates will not be in the backup: %s lacks SLAVE MONITOR on *.*", c.login.user)
	}
	return nil
}

// namedRow is a row of very many columns, by their names.
func namedRow(rows *sql.Rows) (map[string]string, error) {
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, at := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		at[i] = &values[i]
	}
	if err := rows.Scan(at...); err != nil {
		return nil, err
	}
	row := make(map[string]string, len(names))
	for i, n := range names {
		row[n] = values[i].String
	}
	return row, nil
}

// scanSource is a replica's connection to one source.
func scanSource(rows *sql.Rows) (s coffer.Source, err error) {
	row, err := namedRow(rows)
	if err != nil {
		return s, err
	}
	s = coffer.Source{Name: row["Connection_name"], Host: row["Master_Host"], GTID: row["Gtid_Slave_Pos"], File: row["Relay_Master_Log_File"]}
	s.Port, _ = strconv.Atoi(row["Master_Port"]) // the server's own numbers
	s.Offset, _ = strconv.ParseUint(row["Exec_Master_Log_Pos"], 10, 64)
	return s, nil
}

var (
	slaveGTID    = regexp.MustCompile(`(?i)SET GLOBAL gtid_slave_pos *= *'([^']*)'`)
	slaveFilePos = regexp.MustCompile(`(?i)MASTER_LOG_FILE *= *'([^']+)', *MASTER_LOG_POS *= *(\d+)`)
)

// source is what a backup of files records of the replica's source: the tool asks
// while it holds every commit, so what it says is the backup's own position.
func (r *run) source(said []byte) coffer.Source {
	s := r.sight.facts.Position.Source
	if s.Zero() {
		return s
	}
	s.GTID, s.File, s.Offset = "", "", 0
	if m := slaveGTID.FindSubmatch(said); m != nil {
		s.GTID = string(m[1])
	}
	if m := slaveFilePos.FindSubmatch(said); m != nil {
		s.File = string(m[1])
		s.Offset, _ = strconv.ParseUint(string(m[2]), 10, 64) // digits
	}
	return r.recorded(s)
}

// dumpSource is the same of a dump: the replica's own table of what it has applied is
// written in the applied transactions themselves, and is in the dump's snapshot.
func (r *run) dumpSource(m *dumpMarks) coffer.Source {
	s := r.sight.facts.Position.Source
	if s.Zero() {
		return s
	}
	s.GTID, s.File, s.Offset = m.replicatedGTIDs(), "", 0
	return r.recorded(s)
}

// recorded tells of a source's coordinates, or that there are none.
func (r *run) recorded(s coffer.Source) coffer.Source {
	where := fmt.Sprintf("%s:%d", s.Host, s.Port)
	if s.GTID == "" && s.File == "" {
		r.event(coffer.Warn, "replica", "the server is a replica of "+where+", and no coordinates of it are in the backup", nil)
		return s
	}
	facts := map[string]string{"source": where}
	var at []string
	if s.GTID != "" {
		facts["gtid"] = s.GTID
		at = append(at, "GTID "+s.GTID)
	}
	if s.File != "" {
		facts["file"], facts["offset"] = s.File, strconv.FormatUint(s.Offset, 10)
		at = append(at, fmt.Sprintf("%s:%d", s.File, s.Offset))
	}
	r.event(coffer.Info, "replica", "the server is a replica of "+where+", which stood at "+strings.Join(at, ", "), facts)
	return s
}
