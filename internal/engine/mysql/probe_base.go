package mysql

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

const opBase = "check the parent backup"

func refuse(format string, args ...any) error {
	return coffer.E(coffer.KindNeedFull, opBase, format, args...).WithHint("take a full backup")
}

// checkBase refuses a parent that is not this server's own past. Every reason
// alone is enough: each one catches a scene that the others miss.
func (c *client) checkBase(ctx context.Context, l sight, base engine.Base) error {
	was, now := base.Position, l.facts.Position
	switch {
	case was.To == 0:
		return refuse("its position is not known")
	case !hasNonce(l.nonces, was.Lineage.Nonce):
		return refuse("the data folder has no trace of it: the folder is another one, or was put back to an earlier state")
	case now.Lineage.FirstLSN == 0 && !l.dialect.percona:
		return refuse("the server's redo log is of a kind that does not show where it began")
	case now.Lineage.FirstLSN != was.Lineage.FirstLSN:
		return refuse("the server's redo log began at LSN %d, the parent's at %d: the data folder was restored, or its log was made anew",
			now.Lineage.FirstLSN, was.Lineage.FirstLSN)
	case now.To < max(was.To, was.Last):
		return refuse("the server is at LSN %d, behind the parent's %d: its data was put back to an earlier state", now.To, max(was.To, was.Last))
	case now.ServerID != was.ServerID:
		return refuse("the server's identity was %s and is %s", was.ServerID, now.ServerID)
	case len(base.Summary) == 0:
		return refuse("the summary of its chain is missing on this machine")
	}
	if err := sameShape(was, now); err != nil {
		return err
	}
	if _, err := parseSummary(base.Summary); err != nil {
		return err
	}
	if l.dialect.percona {
		return c.checkMySQLBinlog(ctx, l, was)
	}
	if l.server.logBin {
		return c.checkBinlog(ctx, l, was)
	}
	return nil
}

// sameShape refuses to mix layers that no restore could join.
func sameShape(was, now coffer.Position) error {
	switch {
	case was.PageSize != 0 && was.PageSize != now.PageSize:
		return refuse("innodb_page_size was %d and is %d", was.PageSize, now.PageSize)
	case was.DataFilePath != "" && was.DataFilePath != now.DataFilePath:
		return refuse("innodb_data_file_path was %q and is %q", was.DataFilePath, now.DataFilePath)
	case was.UndoSpaces != now.UndoSpaces:
		return refuse("innodb_undo_tablespaces was %d and is %d", was.UndoSpaces, now.UndoSpaces)
	}
	before, err1 := parseVersion(was.ServerVersion)
	after, err2 := parseVersion(now.ServerVersion)
	if err1 == nil && err2 == nil && before.series() != after.series() {
		product := "MySQL"
		if strings.Contains(now.ServerVersion, "MariaDB") {
			product = "MariaDB"
		}
		return refuse("the server was %s %s and is %s", product, before.series(), after.series())
	}
	return nil
}

// checkBinlog sees that the parent's place in the binary log is in the server's
// own history: after RESET MASTER or a failover it is not.
func (c *client) checkBinlog(ctx context.Context, l sight, was coffer.Position) error {
	s := l.server
	for gtid := range gtids(was.GTID) {
		if !inHistory(gtid, s.gtidState) {
			return refuse("the parent stands at GTID %s, which is not in this server's history (%s)", gtid, s.gtidState)
		}
	}
	if was.BinlogFile == "" {
		return nil // the log was off when the parent was taken
	}
	now := l.facts.Position.BinlogFile
	kept := slices.ContainsFunc(l.binlogs, func(b binlog) bool { return b.file == was.BinlogFile })
	switch {
	case !kept && binlogNumber(now) < binlogNumber(was.BinlogFile):
		return refuse("the binary log was begun anew: the parent stands in %s, the server writes %s", was.BinlogFile, now)
	case !kept:
		return nil // purged in order; the GTIDs were found
	}
	var there sql.NullString
	err := c.db.QueryRowContext(ctx, `SELECT BINLOG_GTID_POS(?, ?)`, was.BinlogFile, was.BinlogOffset).Scan(&there)
	if err != nil {
		return c.failed(ctx, err)
	}
	if !there.Valid || !sameGTIDs(there.String, was.GTID) {
		return refuse("the binary log was begun anew: at %s:%d stands GTID %q, the parent stood at %q",
			was.BinlogFile, was.BinlogOffset, there.String, was.GTID)
	}
	return nil
}

// binlogNumber is 12 of "binlog.000012"; 0 when there is none.
func binlogNumber(file string) uint64 {
	n, _ := strconv.ParseUint(file[strings.LastIndexByte(file, '.')+1:], 10, 64)
	return n
}

// gtids splits a GTID position into the set of its members.
func gtids(pos string) map[string]bool {
	set := make(map[string]bool)
	for g := range strings.SplitSeq(pos, ",") {
		if g = strings.TrimSpace(g); g != "" {
			set[g] = true
		}
	}
	return set
}

func sameGTIDs(a, b string) bool {
	x, y := gtids(a), gtids(b)
	for g := range x {
		if !y[g] {
			return false
		}
	}
	return len(x) == len(y)
}

// inHistory reports whether the state (the newest GTID of each domain and server)
// reaches gtid.
func inHistory(gtid, state string) bool {
	source, n := cutGTID(gtid)
	for g := range gtids(state) {
		if s, m := cutGTID(g); s == source && m >= n {
			return true
		}
	}
	return false
}

// cutGTID splits domain-server-sequence after the server.
func cutGTID(g string) (source string, n uint64) {
	i := strings.LastIndexByte(g, '-')
	if i < 0 {
		return g, 0
	}
	n, _ = strconv.ParseUint(g[i+1:], 10, 64)
	return g[:i], n
}
