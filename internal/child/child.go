// Package child starts processes that cannot outlive the one that started them.
//
// The kernel's parent-death signal is bound to the thread that forked, not to the
// process: when the Go runtime ends that thread, the child dies of it. So whoever
// starts such a child must keep its thread until the child is gone, which is what
// [Start] does.
package child

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Start starts cmd in a process group of its own, to be killed by the kernel when
// this process dies; what else cmd.SysProcAttr says holds. When it has started,
// wait is called by another goroutine and must not return before the child has
// ended: it is where cmd.Wait belongs.
func Start(cmd *exec.Cmd, wait func()) error {
	return start(cmd, syscall.SIGKILL, wait)
}

// StartFree is Start for a process that lives on when this one dies.
func StartFree(cmd *exec.Cmd, wait func()) error {
	return start(cmd, 0, wait)
}

func start(cmd *exec.Cmd, atOurDeath syscall.Signal, wait func()) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, atOurDeath
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			wait()
		}
	}()
	return <-started
}
