package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/guard"
	"github.com/cofferdb/coffer/internal/spool"
)

// runTool runs the tool with its output going through the spool into the stream.
// Its error is the first cause; without one the tool ended by itself and the
// stream has taken everything.
func (r *run) runTool(ctx context.Context) (guard.Report, error) {
	buffer, err := spool.Open(r.opt.SpoolDir, r.opt.SpoolBytes)
	if err != nil {
		return guard.Report{}, err
	}
	from, to, err := os.Pipe()
	if err != nil {
		return guard.Report{}, errors.Join(coffer.Wrap(opBackup, err), buffer.Close())
	}
	_, _ = unix.FcntlInt(to.Fd(), unix.F_SETPIPE_SZ, 1<<20) // fewer turns; the usual size works too
	r.meter = newMeter(from, r.opt.Progress, r.total(ctx))
	r.meter.pace = newPace(r.engine.cfg.Runner.Polite.Bandwidth)
	edges := make(chan guard.StageEdge, 64)
	proc, err := r.start(ctx, to, func(e guard.StageEdge) { r.edge(e, buffer, edges) })
	to.Close()
	if err != nil {
		from.Close()
		return guard.Report{}, errors.Join(err, buffer.Close())
	}
	report, err := r.pump(ctx, proc, buffer, edges)
	// The source first, so that a Read under way ends; then Close waits for a Write.
	from.Close()
	if e := buffer.Close(); err == nil {
		err = e
	}
	return report, err
}

// start writes the private option file and starts the tool under its guard.
func (r *run) start(ctx context.Context, out *os.File, onStage func(guard.StageEdge)) (*guard.Proc, error) {
	options, err := r.dir.writeOptions(r.client.login.options(r.sight.facts.DataDir, r.sight.dialect.group) + fmt.Sprintf("open_files_limit=%d\n", r.openFiles()))
	if err != nil {
		return nil, err
	}
	runner := r.engine.cfg.Runner
	exe, args, err := polite(runner.Polite, r.sight.facts.Tool, r.sight.dialect.args(backupArgs{
		options: options, target: r.dir.target(), increment: !r.base.Full(), lsn: r.asked,
		extra: runner.Options[r.sight.dialect.method], runner: runner, logBin: r.sight.server.logBin,
		replica: len(r.sight.sources) > 0,
	}))
	if err != nil {
		return nil, err
	}
	return guard.Start(ctx, guard.Spec{
		Guard: r.engine.cfg.Guard, Exe: exe, Args: args,
		Env: toolEnv(r.dir.path), Dir: "/", Out: out,
		Rules:   r.sight.dialect.rules(r.opt, r.engine.cfg.Rules),
		OnStage: onStage,
	})
}

// openFiles is how many files the tool may have open: it opens every tablespace, for a
// moment twice. More than this process could have at most is refused to the tool as a
// whole; then the tool's log says when the bound was met.
func (r *run) openFiles() uint64 {
	want := uint64(1 << 12)
	if r.stream != nil {
		want += 3 * uint64(len(r.stream.before))
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		want = min(want, limit.Max)
	}
	return want
}

// pump copies the tool's output until both have ended, and tells of holds.
func (r *run) pump(ctx context.Context, proc *guard.Proc, buffer *spool.Spool, edges <-chan guard.StageEdge) (guard.Report, error) {
	pipeCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	piped := make(chan error, 1)
	go func() {
		err := buffer.Pipe(pipeCtx, r.out, r.meter)
		if err != nil {
			proc.Kill("its output could not be taken: " + err.Error())
		}
		piped <- err
	}()
	type end struct {
		report guard.Report
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		report, err := proc.Wait()
		ended <- end{report, err}
	}()
	for {
		select {
		case e := <-edges:
			r.tellHold(e)
		case err := <-piped: // before the tool's end: the sink, the stream, the spool or the caller failed, or it closed its output
			t := <-ended
			r.tellHolds(edges)
			return t.report, firstCause(err, t.err, t.report)
		case t := <-ended:
			if t.err != nil || t.report.Exit != 0 {
				stop(errToolEnded) // nobody needs the rest
			}
			err := <-piped
			r.tellHolds(edges)
			return t.report, firstCause(err, t.err, t.report)
		}
	}
}

var errToolEnded = errors.New("the tool ended badly")

// firstCause picks the first cause of a run: what ended the pipe, unless that was
// our own stop after the tool's end.
func firstCause(piped, tool error, report guard.Report) error {
	switch {
	case piped != nil && !errors.Is(piped, errToolEnded):
		return coffer.Wrap(opBackup, piped)
	case tool != nil:
		err := coffer.Wrap(opBackup, tool)
		if hint := holdHint(report.Reason); hint != "" {
			err = coffer.E(coffer.KindTool, opBackup, "%w", tool).WithHint("%s", hint)
		}
		return err
	}
	return nil
}

// edge acts on a stage's begin or end. It runs in the guard's reader and returns
// at once: telling is left to tellHold.
func (r *run) edge(e guard.StageEdge, buffer *spool.Spool, edges chan<- guard.StageEdge) {
	switch {
	case e.Name == stageNonTrans && e.Begin:
		buffer.Roomy() // that wait has its bound, and may be for more than fits into any spool
		r.meter.phase.Store("lock")
	case e.Name == stageLast && e.Begin:
		buffer.Elastic()
	case e.Name == stageNonTrans:
		buffer.Firm()
		r.meter.phase.Store("tail")
	}
	select {
	case edges <- e:
	default: // the report has the sums
	}
}

func (r *run) tellHolds(edges <-chan guard.StageEdge) {
	for {
		select {
		case e := <-edges:
			r.tellHold(e)
		default:
			return
		}
	}
}

// tellHold makes an event of every hold that somebody may have felt.
func (r *run) tellHold(e guard.StageEdge) {
	if e.Begin || e.Took < time.Second || e.Name == stageLast {
		return
	}
	who := map[string]string{
		stageDDL: "other DDL", stageHeld: "other DDL", stageNonTrans: "writers of non-transactional tables", stageCommit: "every commit",
	}[e.Name]
	r.event(coffer.Warn, "hold."+e.Name, fmt.Sprintf("%s had to wait %v", who, e.Took.Round(time.Millisecond)),
		map[string]string{"ms": strconv.FormatInt(e.Took.Milliseconds(), 10)})
}

// total estimates the stream's length; 0 for an increment, whose length nobody
// knows before.
func (r *run) total(ctx context.Context) int64 {
	if !r.base.Full() {
		return 0
	}
	sizes, err := measure(ctx, r.sight.facts.DataDir)
	if err != nil {
		return 0
	}
	return sizes.all
}

// meter counts what comes out of the tool and tells of it a few times a second.
type meter struct {
	src   io.Reader
	tell  func(engine.Progress)
	total int64
	phase atomic.Value // string
	pace  pace
	plain int64
	last  time.Time
}

const tellEvery = 250 * time.Millisecond

func newMeter(src io.Reader, tell func(engine.Progress), total int64) *meter {
	m := &meter{src: src, tell: tell, total: total}
	m.phase.Store("copy")
	if tell != nil {
		tell(engine.Progress{Phase: "start", Total: total})
	}
	return m
}

// Read reads from the tool.
func (m *meter) Read(p []byte) (int, error) {
	locked := m.phase.Load() != "copy"
	if !locked {
		p = m.pace.room(p)
	}
	n, err := m.src.Read(p)
	m.plain += int64(n)
	m.pace.took(n, locked)
	if m.tell != nil && (err != nil || time.Since(m.last) >= tellEvery) {
		m.last = time.Now()
		m.tell(engine.Progress{Phase: m.phase.Load().(string), Plain: m.plain, Total: m.total})
	}
	return n, err
}
