package mysql

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/guard"
)

const opBackup = "run the backup tool"

// Backup streams one backup into out.
func (e *Engine) Backup(ctx context.Context, out engine.Sink, base engine.Base, opt engine.Options) (engine.Result, error) {
	c, err := e.connect()
	if err != nil {
		return engine.Result{}, err
	}
	defer c.close()
	l, err := e.look(ctx, c, base)
	if err != nil {
		return engine.Result{}, err
	}
	dir, err := newRunDir(e.cfg.StateDir)
	if err != nil {
		return engine.Result{}, err
	}
	r := &run{engine: e, client: c, sight: l, dir: dir, base: base, opt: e.withDefaults(opt)}
	res, err := r.between(ctx, func(ctx context.Context) (engine.Result, error) {
		if l.dialect.method == engine.MySQLDump {
			return r.dump(ctx, out)
		}
		r.asked, _ = base.Position.Start()
		r.stream = newStream(out, base, r.asked)
		r.stream.stock, r.stream.dialect = opt.Stock, l.dialect
		r.out = r.stream
		return r.do(ctx)
	})
	if e := dir.close(); err == nil && e != nil {
		res.Warnings = append(res.Warnings, e.Error()) // the next run removes it
	}
	return res, err
}

func (e *Engine) withDefaults(opt engine.Options) engine.Options {
	opt.MaxDDLWait = cmp.Or(opt.MaxDDLWait, 30*time.Second)
	opt.MaxBlockNonTrans = cmp.Or(opt.MaxBlockNonTrans, 60*time.Second)
	opt.MaxBlock = cmp.Or(opt.MaxBlock, 10*time.Second)
	opt.SpoolDir = cmp.Or(opt.SpoolDir, e.cfg.StateDir)
	return opt
}

// run is one backup.
type run struct {
	engine *Engine
	client *client
	sight  sight
	dir    *runDir
	base   engine.Base
	asked  uint64 // where an increment starts
	opt    engine.Options
	stream *stream   // of files; nil for a dump
	out    io.Writer // what takes the tool's output
	meter  *meter
}

// do runs the tool and judges what it made. The order is that of causes: who
// failed first is told first.
func (r *run) do(ctx context.Context) (engine.Result, error) {
	r.announce()
	var err error
	if r.stream.before, err = r.client.tableIDs(ctx, r.sight.server); err != nil {
		return engine.Result{}, err
	}
	report, err := r.runTool(ctx)
	if err != nil {
		return engine.Result{}, err
	}
	if err := judgePercona(report); err != nil {
		return engine.Result{}, err
	}
	if err := judge(r.sight.facts.Tool, report, r.sight.facts.RedoBytes); err != nil {
		return engine.Result{}, err
	}
	if r.stream.tables, err = r.client.tableIDs(ctx, r.sight.server); err != nil {
		return engine.Result{}, err
	}
	info, err := r.stream.finish()
	if err != nil {
		return engine.Result{}, err
	}
	if len(info.Links) > 0 { // made since the probe
		return engine.Result{}, linked(info.Links)
	}
	if err := r.checkIgnored(report); err != nil {
		return engine.Result{}, err
	}
	if err := r.checkComplete(ctx); err != nil {
		return engine.Result{}, err
	}
	if info.MergeOnly != "" {
		r.event(coffer.Warn, "merge_only", "this increment can only be restored by a merge: "+info.MergeOnly, nil)
	}
	return r.conclude(ctx, report, info)
}

// announce tells of what an operator may want to know before it starts.
func (r *run) announce() {
	if _, mergeable := r.base.Position.Start(); !r.base.Full() && !mergeable {
		r.event(coffer.Warn, "not_mergeable", "the parent's redo start is not known: this increment starts at its end, and the chain cannot be merged", nil)
	}
	if sameDevice(r.opt.SpoolDir, r.sight.facts.DataDir) {
		r.event(coffer.Warn, "spool.on_data_volume", fmt.Sprintf("the spool in %s is on the database's own volume", r.opt.SpoolDir), nil)
	}
}

func (r *run) event(level coffer.Level, code, text string, facts map[string]string) {
	if r.opt.Event != nil {
		r.opt.Event(coffer.Event{At: time.Now(), Level: level, Code: code, Text: text, Facts: facts})
	}
}

func sameDevice(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err1 != nil || err2 != nil {
		return false
	}
	s, ok1 := x.Sys().(*syscall.Stat_t)
	t, ok2 := y.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && s.Dev == t.Dev
}

// checkIgnored judges every tablespace that the tool took for dropped.
func (r *run) checkIgnored(report guard.Report) error {
	const op = "look for lost tables"
	files, ok := ignoredSpaces(report)
	if !ok {
		return overtaken(op, "the tool left out more than %d tablespaces as dropped", mostIgnored)
	}
	for _, f := range files {
		if r.stream.missing(f) {
			return overtaken(op, "the tool left out %s, which exists", f)
		}
	}
	return nil
}

// conclude leaves the nonce and tells the result. A server that was replaced
// while the tool ran shows in its redo log.
func (r *run) conclude(ctx context.Context, report guard.Report, info streamInfo) (engine.Result, error) {
	before := r.sight.facts.Position
	first, err := r.sight.firstLSN()
	if err != nil {
		return engine.Result{}, err
	}
	if first != before.Lineage.FirstLSN {
		return engine.Result{}, coffer.E(coffer.KindTool, opBackup, "the server's redo log was made anew while the backup ran")
	}
	if ctx.Err() != nil {
		return engine.Result{}, coffer.Wrap(opBackup, context.Cause(ctx))
	}
	nonce := coffer.NewNonce()
	if err := addNonce(r.sight.facts.DataDir, nonce); err != nil {
		return engine.Result{}, err
	}
	return engine.Result{
		Position: coffer.Position{
			Lineage: coffer.Lineage{Nonce: nonce, FirstLSN: first}, ServerID: before.ServerID,
			From: info.From, To: info.To, RedoStart: info.RedoStart, Last: info.Last,
			GTID: info.GTID, BinlogFile: info.BinlogFile, BinlogOffset: info.BinlogOffset,
			DataFilePath: info.DataFilePath, PageSize: info.PageSize, UndoSpaces: info.UndoSpaces,
			ServerVersion: info.ServerVersion, PageLists: info.PageLists, MergeOnly: info.MergeOnly, LowerCase: before.LowerCase, Source: r.source(info.Slave),
		},
		Method: string(r.sight.dialect.method), Tool: r.sight.facts.ToolVer, Warnings: r.sight.facts.Warnings, Summary: info.Summary,
		Holds: engine.Holds{
			DDL: max(report.Stages[stageDDL].Total, report.Stages[stageHeld].Total), NonTrans: report.Stages[stageNonTrans].Total, Commit: report.Stages[stageCommit].Total,
		},
	}, nil
}
