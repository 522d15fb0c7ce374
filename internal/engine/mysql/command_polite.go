package mysql

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/child"
	"github.com/cofferdb/coffer/internal/engine"
)

// polite puts the programs that lower a tool's priority before it; each becomes
// the next one, so that the guard still holds the tool itself.
func polite(r coffer.Polite, exe string, args []string) (string, []string, error) {
	if r.Nice > 0 {
		nice, err := lookTool("", "nice")
		if err != nil {
			return "", nil, err
		}
		exe, args = nice, append([]string{"-n", strconv.Itoa(r.Nice), exe}, args...)
	}
	if r.IONice != "" {
		ionice, err := lookTool("", "ionice")
		if err != nil {
			return "", nil, err
		}
		exe, args = ionice, append([]string{"-c", r.IONice, exe}, args...)
	}
	return exe, args, nil
}

// between runs a backup between its hooks. The second one runs whatever became of
// the backup, unless the first has failed; the failure of either is the backup's.
func (r *run) between(ctx context.Context, backup func(context.Context) (engine.Result, error)) (engine.Result, error) {
	runner := r.engine.cfg.Runner
	if err := runHook(ctx, "run the hook before the backup", runner.PreHook, runner.HookWait); err != nil {
		return engine.Result{}, err
	}
	res, err := backup(ctx)
	after := runHook(context.WithoutCancel(ctx), "run the hook after the backup", runner.PostHook, runner.HookWait)
	if err == nil && after != nil {
		return engine.Result{}, after
	}
	return res, err
}

// runHook runs a program of the operator's to its end, or to the bound. No shell
// reads its arguments, and it gets nothing of our environment.
func runHook(ctx context.Context, op string, hook []string, wait time.Duration) error {
	if len(hook) == 0 {
		return nil
	}
	if wait == 0 {
		wait = time.Minute
	}
	ctx, stop := context.WithTimeoutCause(ctx, wait, errors.New("it ran longer than its bound"))
	defer stop()
	cmd := exec.CommandContext(ctx, hook[0], hook[1:]...)
	cmd.Env, cmd.Dir = toolEnv("/tmp"), "/"
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	words := &lastBytes{max: 1 << 10}
	cmd.Stdout, cmd.Stderr = words, words
	done := make(chan error, 1)
	err := child.Start(cmd, func() { done <- cmd.Wait() })
	if err == nil {
		err = <-done
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return coffer.E(coffer.KindTool, op, "%s: %w; it said: %s", hook[0], err, strings.TrimSpace(words.String())).
		WithHint("run it by hand; a backup is not taken when a hook fails")
}

// lastBytes keeps the end of what is written.
type lastBytes struct {
	max int
	b   []byte
}

// Write keeps the end.
func (l *lastBytes) Write(p []byte) (int, error) {
	l.b = append(l.b, p...)
	if n := len(l.b) - l.max; n > 0 {
		l.b = append(l.b[:0], l.b[n:]...)
	}
	return len(p), nil
}

func (l *lastBytes) String() string { return string(l.b) }
