package mysql

import (
	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/guard"
)

const (
	stageHeld = "held" // other DDL waits all the time that the tool copies

	markInstant = "instant"
	markBulk    = "bulk"
)

// perconaRules is what the guard looks for in the log of Percona's tools. Version 8
// takes its lock against DDL before it copies, and holds it to the end: that is
// measured, and only the wait for it is bounded. Where the server has tables that are
// not of InnoDB, or is older than 8, a lock for everybody comes at the end.
func perconaRules(opt engine.Options, timings guard.Rules) guard.Rules {
	const locks, unlocked = `Executing (?:LOCK (?:INSTANCE|TABLES) FOR BACKUP|FLUSH (?:NO_WRITE_TO_BINLOG )?TABLES)`, `All tables unlocked`
	const everybody = `Executing (?:FLUSH TABLES WITH READ LOCK|LOCK BINLOG FOR BACKUP)`
	timings.Stages = []guard.Stage{
		{Name: stageDDL, Begin: locks, End: `uses posix_fadvise|Starting to backup non-InnoDB|Starting rsync|Executing|` + unlocked, Max: opt.MaxDDLWait, Locked: true},
		{Name: stageHeld, Begin: `Executing LOCK (?:INSTANCE|TABLES) FOR BACKUP`, End: unlocked},
		{Name: stageNonTrans, Begin: `Executing FLUSH TABLES WITH READ LOCK`, End: unlocked, Max: opt.MaxBlockNonTrans, Locked: true},
		{Name: stageLast, Begin: everybody, End: unlocked, Locked: true},
		{Name: stageCommit, Begin: everybody, End: unlocked, Max: opt.MaxBlock, Locked: true},
	}
	timings.Marks = []guard.Mark{
		{Name: markClosing, Pattern: `completed OK!$`, Max: 1},
		{Name: markRedo, Pattern: `log block numbers mismatch|InnoDB log has wrapped|log copying being too slow`, Max: 1},
		{Name: markIgnored, Pattern: `ignore the tablespace `, Max: mostIgnored + 1},
		{Name: markUnopened, Pattern: `[Ii]gnoring tablespace for .* because it could not be opened`},
		{Name: markInstant, Pattern: `Found tables with row versions due to INSTANT`, Max: 1},
		{Name: markBulk, Pattern: `optimized \(without redo logging\) ?DDL`, Max: 1},
		{Name: markNoSpace, Pattern: `No space left on device`, Max: 1},
		{Name: markFiles, Pattern: `Too many open files`, Max: 1},
	}
	return timings
}

// judgePercona is what only Percona's tools say.
func judgePercona(r guard.Report) error {
	const op = "read the backup tool's log"
	switch {
	case len(r.Marks[markInstant]) > 0:
		return coffer.E(coffer.KindUnsupported, op, "tables have columns added or dropped by ALGORITHM=INSTANT, which this version of the tool does not copy").
			WithHint("install a newer version of it, or run OPTIMIZE TABLE on the tables that the tool's log names")
	case len(r.Marks[markBulk]) > 0:
		return coffer.E(coffer.KindTool, op, "an index was built without the redo log while the tool copied, and its pages may be missing").
			WithHint("take the backup again while no DDL runs")
	}
	return nil
}
