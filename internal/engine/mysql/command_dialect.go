package mysql

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/guard"
)

const backupProgram = "mariadb-backup"

// dialect is what differs between the methods.
type dialect struct {
	method  engine.Method
	program string         // its name in PATH
	version *regexp.Regexp // finds the server version that it is based on, in what --version prints
	grants  []grant        // what its account needs on everything
	path    func(Tools) string
	args    func(a backupArgs) []string
	rules   func(engine.Options, guard.Rules) guard.Rules
	prepare func(p prepareArgs) []string
	group   string           // of the option file: the tool's own
	redo    string           // the redo log's name in its stream
	undo    func(int) string // the name of an undo tablespace
	percona bool             // Percona's tool: its deltas are stored as they are and merged by itself only
}

// grant is a privilege by its name, and by its name of before 10.5.
type grant struct{ now, before string }

// backupArgs is what a backup's command line depends on.
type backupArgs struct {
	options   string // path of the private option file
	target    string // private folder, not written to when streaming
	increment bool
	lsn       uint64
	extra     []string // checked options of the operator's
	runner    engine.Runner
	logBin    bool // the server writes a binary log
	replica   bool // the server follows another
}

// prepareArgs is what a prepare's command line depends on.
type prepareArgs struct {
	target, increment string // folders; no increment is the full
	memory            int64  // bytes
	last              bool   // no further increment follows
}

// dialectOf is the row of a method.
func dialectOf(m engine.Method) dialect {
	d := dialect{
		method: m, program: backupProgram, version: regexp.MustCompile(`MariaDB server (\d+\.\d+\.\d+)`),
		grants: []grant{{"RELOAD", ""}, {"PROCESS", ""}, {"LOCK TABLES", ""}, {"BINLOG MONITOR", "REPLICATION CLIENT"}},
		path:   func(t Tools) string { return t.Backup },
		args:   mariabackupArgs, rules: rules, prepare: mariabackupPrepare,
		group: backupProgram, redo: redoFile, undo: undoName,
	}
	switch m {
	case engine.InnoBackupEx:
		d.args = innobackupexArgs
	case engine.MySQLDump:
		d.program, d.version = "mariadb-dump", regexp.MustCompile(`(?:Distrib |from )(\d+\.\d+\.\d+)-MariaDB`)
		d.grants = []grant{
			{"SELECT", ""}, {"SHOW VIEW", ""}, {"TRIGGER", ""}, {"EVENT", ""}, {"RELOAD", ""}, {"PROCESS", ""},
			{"LOCK TABLES", ""}, {"BINLOG MONITOR", "REPLICATION CLIENT"},
		}
		d.path = func(t Tools) string { return t.Dump }
		d.args, d.rules = dumpArgs, dumpRules
	}
	return d
}

// mariabackupArgs is MariaDB's own tool, 10.5 and later.
func mariabackupArgs(a backupArgs) []string {
	args := []string{
		"--defaults-file=" + a.options, // must be the first
		"--backup", "--stream=xbstream", "--target-dir=" + a.target,
		"--innodb-log-checkpoint-now",
		// How often the tool looks at the redo log. It does so while it holds every
		// commit, too: with the usual second, each backup stops all commits for one.
		"--log-copy-interval=50",
	}
	if a.increment {
		args = append(args, "--incremental-lsn="+strconv.FormatUint(a.lsn, 10))
	}
	return append(args, a.physicalExtra()...)
}

// innobackupexArgs is the same tool in the mode of its ancestor, which it knows
// only as its first argument.
func innobackupexArgs(a backupArgs) []string {
	args := []string{
		"--innobackupex", "--defaults-file=" + a.options,
		"--stream=xbstream", "--no-timestamp",
		"--innodb-log-checkpoint-now", "--log-copy-interval=50",
	}
	if a.increment {
		args = append(args, "--incremental", "--incremental-lsn="+strconv.FormatUint(a.lsn, 10))
	}
	return append(append(args, a.physicalExtra()...), a.target)
}

// mariabackupPrepare is the same for every layer: it rolls nothing back.
func mariabackupPrepare(p prepareArgs) []string {
	args := []string{
		"--defaults-file=" + p.target + "/" + optionsFile,
		"--prepare", "--target-dir=" + p.target, fmt.Sprintf("--use-memory=%d", p.memory),
	}
	if p.increment != "" {
		args = append(args, "--incremental-dir="+p.increment)
	}
	return args
}

// physicalExtra is how the instance wants it, the option that has a replica's source
// recorded, and the operator's options, of which the last word is.
func (a backupArgs) physicalExtra() (args []string) {
	const slaveInfo = "--slave-info"
	if n := a.runner.Polite.Parallel; n > 0 {
		args = append(args, "--parallel="+strconv.Itoa(n))
	}
	if n := a.runner.Polite.Throttle; n > 0 {
		args = append(args, "--throttle="+strconv.Itoa(n))
	}
	if a.replica && !slices.Contains(a.extra, slaveInfo) {
		args = append(args, slaveInfo)
	}
	return append(args, a.extra...)
}
