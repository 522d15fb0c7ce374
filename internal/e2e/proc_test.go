package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/child"
)

// proc is one process of the program that a test has started.
type proc struct {
	cmd  *exec.Cmd
	pid  int
	done chan struct{} // closed when it was waited for
}

// launch starts a command that dies with this process.
func launch(t testing.TB, cmd *exec.Cmd) *proc {
	t.Helper()
	p := &proc{cmd: cmd, done: make(chan struct{})}
	err := child.Start(cmd, func() {
		_ = cmd.Wait() // how it ended is read from the state
		close(p.done)
	})
	if err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	return p
}

func (p *proc) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal is for a process that nobody has waited for yet: its number is its own.
func (p *proc) signal(s syscall.Signal) {
	if !p.ended() {
		_ = syscall.Kill(p.pid, s)
	}
}

// end sends a signal and waits for the end.
func (p *proc) end(t testing.TB, s syscall.Signal) {
	t.Helper()
	p.signal(s)
	p.wait(t, 40*time.Second)
}

func (p *proc) wait(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(d):
		t.Errorf("process %d has not ended within %v", p.pid, d)
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// other is a process that was found in /proc.
type other struct {
	pid, parent int
	state       byte
	name, exe   string
	args        string
}

func (o other) String() string { return fmt.Sprintf("%d (%s) %s", o.pid, o.name, o.args) }

func processes() []other {
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	var all []other
	for _, n := range names {
		raw, err := os.ReadFile(n)
		open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
		if err != nil || open < 0 || end < open {
			continue
		}
		f := strings.Fields(string(raw[end+1:]))
		o := other{name: string(raw[open+1 : end]), state: f[0][0]}
		o.pid, _ = strconv.Atoi(strings.TrimSpace(string(raw[:open])))
		o.parent, _ = strconv.Atoi(f[1])
		dir := filepath.Dir(n)
		o.exe, _ = os.Readlink(filepath.Join(dir, "exe"))
		args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		o.args = strings.ReplaceAll(strings.TrimRight(string(args), "\x00"), "\x00", " ")
		all = append(all, o)
	}
	return all
}

// childOf finds a running child of parent: a guard, or what a guard runs.
func childOf(parent int, is func(other) bool) (int, bool) {
	for _, o := range processes() {
		if o.parent == parent && o.state != 'Z' && is(o) {
			return o.pid, true
		}
	}
	return 0, false
}

func isGuard(o other) bool { return strings.HasSuffix(o.args, " guard") }
func isTool(o other) bool  { return strings.Contains(o.args, "--backup") }

// guardAndTool waits for a backup's guard and its tool, below a process.
func guardAndTool(t testing.TB, of *proc) (guard, tool int) {
	t.Helper()
	within(t, 20*time.Second, "a guarded tool runs", func() bool {
		for _, o := range processes() {
			if o.parent != of.pid || !isGuard(o) {
				continue
			}
			if pid, ok := childOf(o.pid, isTool); ok {
				guard, tool = o.pid, pid
				return true
			}
		}
		return false
	})
	return guard, tool
}
