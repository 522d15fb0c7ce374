package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/guard"
)

// dumpArgs is mariadb-dump: one consistent snapshot of all transactional tables,
// which holds nobody, with the place in the binary log that it stands at.
func dumpArgs(a backupArgs) []string {
	args := []string{
		"--defaults-file=" + a.options, "--single-transaction", "--quick",
		"--routines", "--events", "--triggers", "--default-character-set=utf8mb4", "--max-allowed-packet=1G",
	}
	if a.logBin {
		args = append(args, "--master-data=2", "--gtid")
	}
	args = append(args, a.extra...)
	names := a.runner.Databases
	switch {
	case len(names) > 0 && a.runner.NoAccounts:
		return append(append(args, "--databases"), names...)
	case len(names) > 0:
		return append(append(args, "--flush-privileges", "--databases"), append(names[:len(names):len(names)], "mysql")...)
	case a.runner.NoAccounts:
		return append(args, "--all-databases", "--ignore-database=mysql")
	}
	return append(args, "--flush-privileges", "--all-databases")
}

// dumpRules watches for a full disk alone: a dump holds nobody.
func dumpRules(_ engine.Options, timings guard.Rules) guard.Rules {
	timings.Stages = nil
	timings.Marks = []guard.Mark{{Name: markNoSpace, Pattern: `No space left on device`, Max: 1}}
	return timings
}

// dump is one backup by mariadb-dump.
func (r *run) dump(ctx context.Context, out engine.Sink) (engine.Result, error) {
	unsafe, err := r.client.nonTransactional(ctx, r.engine.cfg.Runner.Databases)
	if err != nil {
		return engine.Result{}, err
	}
	marks := newDumpMarks()
	r.out = dumpSink{out, marks}
	report, err := r.runTool(ctx)
	if err != nil {
		return engine.Result{}, err
	}
	if report.Exit != 0 {
		return engine.Result{}, coffer.E(coffer.KindTool, opBackup, "%w", report.Failure(r.sight.facts.Tool)).
			WithHint("a table that was altered or dropped while it was to be dumped ends the dump: take the backup again at a quieter time")
	}
	if err := marks.whole(); err != nil {
		return engine.Result{}, err
	}
	if r.sight.server.logBin && marks.binlogFile == "" {
		return engine.Result{}, coffer.E(coffer.KindTool, opBackup, "the dump does not say where in the binary log it stands")
	}
	if ctx.Err() != nil {
		return engine.Result{}, coffer.Wrap(opBackup, context.Cause(ctx))
	}
	for _, e := range marks.entries() {
		if err := out.Entry(e); err != nil {
			return engine.Result{}, coffer.Wrap(opBackup, err)
		}
	}
	now := r.sight.facts.Position
	res := engine.Result{
		Position: coffer.Position{
			Lineage: coffer.Lineage{FirstLSN: now.Lineage.FirstLSN}, ServerID: now.ServerID,
			GTID: marks.gtid, BinlogFile: marks.binlogFile, BinlogOffset: marks.binlogOffset, ServerVersion: now.ServerVersion,
			LowerCase: now.LowerCase, Source: r.dumpSource(marks),
		},
		Method: string(engine.MySQLDump), Tool: r.sight.facts.ToolVer, Warnings: r.sight.facts.Warnings,
	}
	if len(unsafe) > 0 {
		res.Warnings = append(res.Warnings, "tables without transactions may hold changes of after the dump's position: "+strings.Join(unsafe, ", "))
	}
	return res, nil
}

// dumpSink reads along what goes into the sink.
type dumpSink struct {
	engine.Sink
	marks *dumpMarks
}

// Write passes p on; what was taken is read.
func (s dumpSink) Write(p []byte) (int, error) {
	n, err := s.Sink.Write(p)
	s.marks.read(p[:n])
	return n, err
}

// maxNamed bounds how many tables a warning names.
const maxNamed = 20

// nonTransactional names the tables that a snapshot does not hold still.
func (c *client) nonTransactional(ctx context.Context, databases []string) (names []string, err error) {
	query := `SELECT CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME, ' (', t.ENGINE, ')') FROM information_schema.TABLES t
		JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
		WHERE t.TABLE_TYPE = 'BASE TABLE' AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES'
		AND t.TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')`
	var args []any
	if len(databases) > 0 {
		query += ` AND t.TABLE_SCHEMA IN (?` + strings.Repeat(`, ?`, len(databases)-1) + `)`
		for _, d := range databases {
			args = append(args, d)
		}
	}
	names, err = c.texts(ctx, query+fmt.Sprintf(` ORDER BY 1 LIMIT %d`, maxNamed+1), args...)
	if len(names) > maxNamed {
		names[maxNamed] = "and more"
	}
	return names, err
}
