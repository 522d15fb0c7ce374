package guard

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// tool is the guarded process.
type tool struct {
	pid    int
	stderr *os.File
	done   chan struct{} // closed when it was waited for and its group is dead
	state  *os.ProcessState

	mu     sync.Mutex
	reaped bool // the number may be another's now
}

// startTool starts the tool in a group of its own, its standard output being the
// guard's, which the guard then lets go of. The parent-death signal is bound to
// the thread that forks, so the goroutine keeps its thread as long as the tool
// lives.
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if o.User != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: o.User.UID, Gid: o.User.GID}
	}
	t := &tool{stderr: r, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			t.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		t.wait(cmd)
		close(t.done)
	}()
	if err := <-started; err != nil {
		r.Close()
		return nil, err
	}
	return t, letGoOfStdout()
}

// wait waits for the end, kills what is left of the group while the dead leader
// still holds its number, and only then reaps it.
func (t *tool) wait(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, t.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	t.kill()
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = cmd.Wait() // its state says how it ended
	t.reaped = true
	t.state = cmd.ProcessState
}

// kill ends the group. Killed and stopped processes alike cannot resist.
func (t *tool) kill() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.reaped {
		_ = syscall.Kill(-t.pid, syscall.SIGKILL)
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
