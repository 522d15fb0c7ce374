package guard

import (
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer/internal/child"
)

// tool is the guarded process.
type tool struct {
	cmd    *exec.Cmd
	stderr *os.File
	done   chan struct{} // closed when it was waited for and its group is dead
	state  *os.ProcessState

	mu     sync.Mutex
	reaped bool // the number may be another's now
}

// startTool starts the tool in a group of its own, its standard output being the
// guard's, which the guard then lets go of. The tool dies with the guard.
func startTool(o order) (*tool, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd := exec.Command(o.Exe, o.Args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = o.Env, o.Dir, os.Stdout, w
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would mean the guard's own
	}
	if o.User != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: o.User.UID, Gid: o.User.GID}}
	}
	t := &tool{cmd: cmd, stderr: r, done: make(chan struct{})}
	if err := child.Start(cmd, func() { t.wait(); close(t.done) }); err != nil {
		r.Close()
		return nil, err
	}
	return t, letGoOfStdout()
}

// pid is the tool's process id, which is also its group's.
func (t *tool) pid() int { return t.cmd.Process.Pid }

// wait waits for the end, kills what is left of the group while the dead leader
// still holds its number, and only then reaps it.
func (t *tool) wait() {
	for {
		err := unix.Waitid(unix.P_PID, t.pid(), nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	t.kill()
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.cmd.Wait() // its state says how it ended
	t.reaped = true
	t.state = t.cmd.ProcessState
}

// kill ends the group. Killed and stopped processes alike cannot resist.
func (t *tool) kill() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.reaped {
		_ = syscall.Kill(-t.pid(), syscall.SIGKILL)
	}
}

// report is how it ended; only after done.
func (t *tool) report() Report {
	r := Report{Exit: t.state.ExitCode()}
	if ws, ok := t.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		r.Signal = ws.Signal().String()
	}
	return r
}

// letGoOfStdout makes the tool the only one that holds the pipe, so that its
// reader sees the end when the tool ends.
func letGoOfStdout() error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	return unix.Dup3(int(null.Fd()), int(os.Stdout.Fd()), unix.O_CLOEXEC)
}
