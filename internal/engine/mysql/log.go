package mysql

import (
	"regexp"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/guard"
)

// The stages of a backup in which it holds others, and the marks in the tool's
// log that decide whether it is good.
const (
	stageDDL      = "ddl"      // other DDL waits behind the tool's own wait
	stageNonTrans = "nontrans" // writers of non-transactional tables wait
	stageCommit   = "commit"   // every commit waits
	stageLast     = "last"     // everybody waits soon: nothing may be pushed back any more

	markClosing  = "closing"
	markAria     = "aria"
	markRedo     = "redo"
	markRetry    = "retry"
	markIgnored  = "ignored"
	markUnopened = "unopened"
	markNoSpace  = "nospace"
	markUndo     = "undo"
	markFiles    = "files"
	markListing  = "listing"
	markCopying  = "copying"
)

// mostIgnored bounds how many ignored tablespaces can be judged one by one.
const mostIgnored = 4000

// rules is what the guard looks for in mariadb-backup's log. Writers of
// non-transactional tables wait from the stage FLUSH on: in it 10.11 copies what
// MyISAM, CSV and their like hold. Tools that copy them later name BLOCK_DDL first.
func rules(opt engine.Options, timings guard.Rules) guard.Rules {
	timings.Stages = []guard.Stage{
		{Name: stageDDL, Begin: `Starting BACKUP STAGE START`, End: `Acquired locks for BACKUP STAGE START`, Max: opt.MaxDDLWait, Locked: true},
		{Name: stageNonTrans, Begin: `Start(?:ing BACKUP STAGE FLUSH|ed BACKUP STAGE BLOCK_DDL)`, End: `All tables unlocked`, Max: opt.MaxBlockNonTrans, Locked: true},
		{Name: stageLast, Begin: `Started BACKUP STAGE BLOCK_DDL`, End: `All tables unlocked`, Locked: true},
		{Name: stageCommit, Begin: `Starting BACKUP STAGE BLOCK_COMMIT`, End: `All tables unlocked`, Max: opt.MaxBlock, Locked: true},
	}
	timings.Marks = []guard.Mark{
		{Name: markClosing, Pattern: `completed OK!$`, Max: 1},
		{Name: markAria, Pattern: `Error on aria table`},
		{Name: markRedo, Pattern: `Was only able to copy log from`, Max: 1},
		{Name: markRetry, Pattern: `Retrying read of log at LSN`, Max: 1},
		{Name: markIgnored, Pattern: `ignore the tablespace `, Max: mostIgnored + 1},
		{Name: markUnopened, Pattern: `Ignoring tablespace for .* because it could not be opened`},
		{Name: markNoSpace, Pattern: `No space left on device`, Max: 1},
		{Name: markUndo, Pattern: `incremental backup is impossible`, Max: 1},
		{Name: markFiles, Pattern: `Too many open files`, Max: 1},
		{Name: markListing, Pattern: `Generating a list of tablespaces`, Max: 1},
		{Name: markCopying, Pattern: `(?:Copying|Streaming) \./`, Max: 1},
	}
	return timings
}

// judge says whether a tool that ended by itself made a good backup, as far as
// its log and its exit status tell. The log comes first: it has the cause.
func judge(tool string, r guard.Report, redoBytes int64) error {
	const op = "read the backup tool's log"
	switch {
	case len(r.Marks[markAria]) > 0:
		return overtaken(op, "table %s was renamed, dropped or damaged while it was to be copied, and is not in the backup", ariaTable(r.Marks[markAria][0]))
	case len(r.Marks[markUnopened]) > 0:
		return coffer.E(coffer.KindTool, op, "a table is not in the backup: %s", r.Marks[markUnopened][0]).
			WithHint("see the server's error log for this table, then take the backup again")
	case len(r.Marks[markRedo]) > 0, r.Exit != 0 && len(r.Marks[markRetry]) > 0:
		return coffer.E(coffer.KindTool, op, "the tool could not copy the redo log as fast as the server overwrote it").
			WithHint("innodb_log_file_size is %d MiB: make it larger, or take the backup at a quieter time or to a faster store", redoBytes>>20)
	case r.Exit != 0 && len(r.Marks[markUndo]) > 0:
		return coffer.E(coffer.KindNeedFull, op, "the tool cannot take an increment: the undo tablespaces were changed, as it also says when one was truncated").
			WithHint("take a full backup")
	case r.Exit != 0 && len(r.Marks[markNoSpace]) > 0:
		return coffer.E(coffer.KindNoSpace, op, "a disk is full: %s", r.Marks[markNoSpace][0]).
			WithHint("free space where the tool runs, then take the backup again")
	case r.Exit != 0 && len(r.Marks[markFiles]) > 0:
		return coffer.E(coffer.KindTool, op, "the server has more tables than the tool may open files").
			WithHint("raise the agent's limit of open files (LimitNOFILE= of its unit) to three times the number of tables")
	case r.Exit != 0 && len(r.Marks[markListing]) > 0 && len(r.Marks[markCopying]) == 0:
		return coffer.E(coffer.KindUnavailable, op, "%w, while it looked for the tablespaces%s", r.Failure(tool), lastError(r)).
			WithHint("that happens when DDL runs meanwhile: take the backup again; if it fails so again, see the server's error log")
	case r.Exit != 0:
		return coffer.E(coffer.KindTool, op, "%w%s", r.Failure(tool), lastError(r)).
			WithHint("see the server's error log; take the backup again when the server answers")
	case len(r.Marks[markClosing]) == 0 || !strings.HasSuffix(lastLine(r), "completed OK!"):
		return coffer.E(coffer.KindTool, op, "the tool exited with status 0 without its closing words; it said last: %s", r.LastWords(3)).
			WithHint("take the backup again; if it happens again, run the tool by hand and compare its version with the server's")
	}
	return nil
}

// lastError is the last line that the tool itself calls an error, if it is not among
// its last words.
func lastError(r guard.Report) string {
	for i := len(r.Tail) - 1; i >= 0; i-- {
		if isErrorLine(r.Tail[i]) {
			if i >= len(r.Tail)-5 {
				break
			}
			return "; before that: " + strings.TrimSpace(r.Tail[i])
		}
	}
	return ""
}

func lastLine(r guard.Report) string {
	for i := len(r.Tail) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(r.Tail[i]); line != "" {
			return line
		}
	}
	return ""
}

var ariaPath = regexp.MustCompile(`Error on aria table(?: file)? (?:open |stat )?(\S+)`)

// ariaTable gives "shop.cart" for a line that names "./shop/cart.MAI".
func ariaTable(line string) string {
	m := ariaPath.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	name := strings.TrimPrefix(m[1], "./")
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".MAI"), ".MAD")
	return strings.ReplaceAll(name, "/", ".")
}

// ignoredSpaces gives the files of the tablespaces that the tool took for
// dropped; ok is false when there were too many to tell.
func ignoredSpaces(r guard.Report) (files []string, ok bool) {
	for _, line := range r.Marks[markIgnored] {
		_, file, _ := strings.Cut(line, "ignore the tablespace ")
		files = append(files, strings.Trim(strings.TrimSpace(file), `'"`))
	}
	return files, len(files) <= mostIgnored
}

// holdHint tells what to do when a hold's bound ended the backup.
func holdHint(reason string) string {
	for stage, hint := range map[string]string{
		stageDDL:      "a long statement kept the tool waiting; find it with SHOW PROCESSLIST, take the backup at a quieter time, or raise the bound max_ddl_wait",
		stageNonTrans: "copying what Aria and MyISAM hold took too long; raise the bound max_block_nontrans, or convert large tables to InnoDB",
		stageCommit:   "commits were held too long; a long-running statement or a slow disk keeps the tool from its end; raise the bound max_block only if writers can wait",
	} {
		if strings.Contains(reason, `"`+stage+`"`) {
			return hint
		}
	}
	return ""
}
