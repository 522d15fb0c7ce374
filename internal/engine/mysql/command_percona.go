package mysql

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// Percona's tools, for MySQL and Percona Server: xtrabackup, and innobackupex as it
// came with version 2. Their command lines, words and files are from their public
// documentation and logs; docs/ENGINES.md says that none was run here.

const (
	xtrabackupProgram   = "xtrabackup"
	innobackupexProgram = "innobackupex"
	perconaRedoFile     = "xtrabackup_logfile"
)

// perconaVersion finds in "xtrabackup version 8.0.35-30 based on MySQL server 8.0.35"
// what counts: the server. innobackupex gives its own version only.
var (
	perconaVersion      = regexp.MustCompile(`^\S*xtrabackup version .* based on MySQL server (\d+\.\d+(?:\.\d+)?)`)
	innobackupexVersion = regexp.MustCompile(`^\S*innobackupex version (\d+\.\d+\.\d+)`)
)

// dialectFor is the row of a method on one server. A method that is another product's
// is refused.
func dialectFor(m engine.Method, s server) (dialect, error) {
	const op = "choose the method"
	switch {
	case s.product == "mariadb" && m == engine.XtraBackup:
		return dialect{}, coffer.E(coffer.KindUnsupported, op, "XtraBackup is for MySQL and Percona Server, and the server is MariaDB %s", s.version).
			WithHint("a MariaDB is backed up by MariaBackup, InnoBackupEx or MySQLDump")
	case s.product == "mariadb":
		return dialectOf(m), nil
	case m == engine.MariaBackup || m == engine.MySQLDump:
		return dialect{}, coffer.E(coffer.KindUnsupported, op, "%s is for MariaDB, and the server is %s", m.Class(false), s.versionText).
			WithHint("MySQL and Percona Server are backed up by XtraBackup, 5.7 and before also by InnoBackupEx")
	case m == engine.InnoBackupEx && s.version[0] >= 8:
		return dialect{}, coffer.E(coffer.KindUnsupported, op, "innobackupex ended with MySQL 5.7, and the server is %s", s.versionText).
			WithHint("use XtraBackup")
	}
	d := perconaDialect(m)
	d.undo = undoName
	if s.version[0] >= 8 {
		d.undo = func(n int) string { return "undo_" + undoName(n)[len("undo"):] }
		d.grants = append(d.grants, grant{"BACKUP_ADMIN", ""})
	}
	return d, nil
}

// perconaDialect is the row as far as it does not depend on the server.
func perconaDialect(m engine.Method) dialect {
	d := dialect{
		method: m, program: xtrabackupProgram, version: perconaVersion,
		grants: []grant{{"RELOAD", ""}, {"PROCESS", ""}, {"LOCK TABLES", ""}, {"REPLICATION CLIENT", ""}},
		path:   func(t Tools) string { return t.XtraBackup },
		args:   xtrabackupArgs, rules: perconaRules, prepare: xtrabackupPrepare,
		group: xtrabackupProgram, redo: perconaRedoFile, undo: undoName, percona: true,
	}
	if m == engine.InnoBackupEx {
		d.program, d.version = innobackupexProgram, innobackupexVersion
		d.path = func(t Tools) string { return t.InnoBackupEx }
		d.args, d.prepare = perconaInnobackupexArgs, innobackupexPrepare
	}
	return d
}

// dialectOfLayer is the row that restores what m has made of a server of that version.
func dialectOfLayer(m engine.Method, serverVersion string) dialect {
	m = cmp.Or(m, engine.MariaBackup)
	old := m == engine.InnoBackupEx && serverVersion != "" && !strings.Contains(serverVersion, "MariaDB")
	if m == engine.XtraBackup || old {
		return perconaDialect(m)
	}
	return dialectOf(m)
}

// xtrabackupArgs is Percona's tool, 2.4 and 8. Its check for news is off: it would ask
// a host on the Internet.
func xtrabackupArgs(a backupArgs) []string {
	args := []string{
		"--defaults-file=" + a.options,
		"--backup", "--stream=xbstream", "--target-dir=" + a.target, "--no-version-check",
	}
	if a.increment {
		args = append(args, "--incremental-lsn="+strconv.FormatUint(a.lsn, 10))
	}
	return append(args, a.physicalExtra()...)
}

// perconaInnobackupexArgs is the old tool: its action is what is left when nothing else
// is said, and its folder stands at the end without a name.
func perconaInnobackupexArgs(a backupArgs) []string {
	args := []string{
		"--defaults-file=" + a.options,
		"--stream=xbstream", "--no-timestamp", "--no-version-check",
	}
	if a.increment {
		args = append(args, "--incremental", "--incremental-lsn="+strconv.FormatUint(a.lsn, 10))
	}
	return append(append(args, a.physicalExtra()...), a.target)
}

// xtrabackupPrepare applies the log. Only after the last layer does it roll back what
// was not committed: a further increment could not be applied then.
func xtrabackupPrepare(p prepareArgs) []string {
	args := []string{
		"--defaults-file=" + p.target + "/" + optionsFile,
		"--prepare", "--target-dir=" + p.target, fmt.Sprintf("--use-memory=%d", p.memory),
	}
	if !p.last {
		args = append(args, "--apply-log-only")
	}
	if p.increment != "" {
		args = append(args, "--incremental-dir="+p.increment)
	}
	return args
}

// innobackupexPrepare is the same in the old tool's words.
func innobackupexPrepare(p prepareArgs) []string {
	args := []string{
		"--defaults-file=" + p.target + "/" + optionsFile,
		"--apply-log", fmt.Sprintf("--use-memory=%d", p.memory),
	}
	if !p.last {
		args = append(args, "--redo-only")
	}
	if p.increment != "" {
		args = append(args, "--incremental-dir="+p.increment)
	}
	return append(args, p.target)
}

// covers says whether a tool made for one version of MySQL backs up a server of
// another. Since 8.0.34 the series 8.0 and 8.4 get corrections only, and Percona lets a
// tool of such a version back up every later one; before, a tool must be as new as the
// server. Series do not mix, but for 2.4, which is made for 5.7 and knows 5.6.
func covers(tool, server version) bool {
	switch s := server.series(); {
	case tool.series() == "5.7", tool.series() == "2.4":
		return s == "5.6" || s == "5.7"
	case tool.series() != s:
		return false
	case tool.series() == "8.4" || tool.series() == "8.0" && tool[2] >= 34 && server[2] >= 34:
		return true
	}
	return tool[2] >= server[2]
}
