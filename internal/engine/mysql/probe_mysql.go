package mysql

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
)

// MySQL and Percona Server answer other questions than MariaDB, and their redo log does
// not tell where it began. What holds an increment to its parent's server there is the
// server's UUID, which no backup contains, the nonce in the data folder, and the binary
// log: without one there are no increments.

// logSequence is the position in SHOW ENGINE INNODB STATUS, the only place where all
// versions give it.
var logSequence = regexp.MustCompile(`Log sequence number\s+(\d+)`)

// gtidSet is what a set of MySQL's GTIDs is made of; nothing in it ends a literal.
var gtidSet = regexp.MustCompile(`^[\w:,-]+$`)

// askMySQL is ask for MySQL and Percona Server.
func (c *client) askMySQL(ctx context.Context, s server) (server, error) {
	err := c.db.QueryRowContext(ctx, `SELECT @@server_id, @@server_uuid, @@datadir, @@innodb_log_group_home_dir,
		@@innodb_data_file_path, @@innodb_page_size, @@innodb_undo_tablespaces, @@innodb_log_file_size,
		@@lower_case_table_names, @@log_bin, @@gtid_mode, @@gtid_executed`).
		Scan(&s.serverID, &s.uid, &s.dataDir, &s.redoGroup, &s.dataFilePath, &s.pageSize, &s.undoSpaces, &s.redoBytes,
			&s.lowerCase, &s.logBin, &s.gtidMode, &s.gtid)
	if err != nil {
		return s, c.failed(ctx, err)
	}
	s.gtid = strings.Join(strings.Fields(s.gtid), "")
	s.gtidState = s.gtid
	var kind, name, status string
	if err := c.db.QueryRowContext(ctx, `SHOW ENGINE INNODB STATUS`).Scan(&kind, &name, &status); err != nil {
		return s, c.failed(ctx, err)
	}
	m := logSequence.FindStringSubmatch(status)
	if m == nil {
		return s, coffer.E(coffer.KindUnprocessable, opProbe, "InnoDB's status does not show the log sequence number")
	}
	s.lsn, err = strconv.ParseUint(m[1], 10, 64)
	return s, coffer.Wrap(opProbe, err)
}

// innodbView is information_schema's view of InnoDB by its name without INNODB_: since
// MySQL 8 none has SYS_ in it any more.
func (s server) innodbView(name string) string {
	if s.product != "mariadb" && s.version[0] >= 8 {
		return "information_schema.INNODB_" + name
	}
	return "information_schema.INNODB_SYS_" + name
}

// checkMySQL refuses what Percona's tools copy and no restore here could use.
func (c *client) checkMySQL(ctx context.Context, s server) error {
	if err := c.checkMySQLEncryption(ctx, s); err != nil {
		return err
	}
	names, err := c.texts(ctx, `SELECT PATH FROM `+s.innodbView("DATAFILES")+` WHERE PATH LIKE '/%' OR PATH LIKE '../%' ORDER BY PATH LIMIT 3`)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return coffer.E(coffer.KindUnsupported, opProbe, "tablespaces outside of the data folder cannot be backed up: %s", strings.Join(names, ", ")).
			WithHint("move them into the data folder")
	}
	names, err = c.texts(ctx, `SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES
		WHERE CREATE_OPTIONS LIKE '%COMPRESSION=%' AND CREATE_OPTIONS NOT LIKE '%COMPRESSION="NONE"%' ORDER BY 1 LIMIT 3`)
	if err != nil || len(names) == 0 {
		return err
	}
	return coffer.E(coffer.KindUnsupported, opProbe, "tables with COMPRESSION are streamed with holes, which cannot be stored: %s", strings.Join(names, ", ")).
		WithHint("ALTER TABLE … COMPRESSION='NONE', then OPTIMIZE TABLE")
}

// checkMySQLEncryption refuses pages and logs of which no restore has the keys.
func (c *client) checkMySQLEncryption(ctx context.Context, s server) error {
	encrypted := `ENCRYPTION = 'Y'`
	if s.version[0] < 8 {
		encrypted = `FLAG & 8192`
	}
	names, err := c.texts(ctx, `SELECT NAME FROM `+s.innodbView("TABLESPACES")+` WHERE `+encrypted+` ORDER BY NAME LIMIT 1`)
	switch {
	case err != nil:
		return err
	case len(names) > 0:
		return coffer.E(coffer.KindUnsupported, opProbe, "the tablespace %s is encrypted by the server, and no restore could open a copy", names[0])
	case s.version[0] < 8:
		return nil
	}
	var redo, undo bool
	if err := c.db.QueryRowContext(ctx, `SELECT @@innodb_redo_log_encrypt, @@innodb_undo_log_encrypt`).Scan(&redo, &undo); err != nil {
		return c.failed(ctx, err)
	}
	if redo || undo {
		return coffer.E(coffer.KindUnsupported, opProbe, "the redo or undo log is encrypted by the server, and no restore could open a copy")
	}
	return nil
}

// checkMySQLBinlog sees that the parent's place is in the server's own history.
func (c *client) checkMySQLBinlog(ctx context.Context, l sight, was coffer.Position) error {
	s, now := l.server, l.facts.Position
	if !s.logBin || was.BinlogFile == "" {
		return refuse("the server has, or had, no binary log, and nothing else tells that its data are the parent's")
	}
	if was.GTID != "" && strings.EqualFold(s.gtidMode, "ON") {
		var subset bool
		if !gtidSet.MatchString(was.GTID) {
			return refuse("its GTID set is none: %.80q", was.GTID)
		}
		if err := c.db.QueryRowContext(ctx, `SELECT GTID_SUBSET('`+was.GTID+`', @@gtid_executed)`).Scan(&subset); err != nil {
			return c.failed(ctx, err)
		}
		if !subset {
			return refuse("the parent stands at GTID %s, which is not in this server's history (%s)", was.GTID, s.gtid)
		}
	}
	i := slices.IndexFunc(l.binlogs, func(b binlog) bool { return b.file == was.BinlogFile })
	switch {
	case i < 0 && binlogNumber(now.BinlogFile) < binlogNumber(was.BinlogFile), i >= 0 && l.binlogs[i].size < was.BinlogOffset:
		return refuse("the binary log was begun anew: the parent stands in %s at %d, the server writes %s", was.BinlogFile, was.BinlogOffset, now.BinlogFile)
	}
	return nil
}
