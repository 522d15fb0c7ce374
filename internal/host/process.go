package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// process names one process for ever: a process id alone is used again, together
// with the kernel's start time and the boot it is not.
type process struct {
	PID   int    `json:"pid,omitempty"`
	Ticks uint64 `json:"start_ticks,omitempty"` // since boot, of /proc/<pid>/stat
	Boot  string `json:"boot,omitempty"`
}

// command makes a run of a program for the slot: not as root, in a session of its
// own, with nothing of our environment and no file of ours but its log.
func (h *Host) command(ctx context.Context, s Slot, log *os.File, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.file("run")
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + s.file("run")}
	if tz, ok := os.LookupEnv("TZ"); ok {
		cmd.Env = append(cmd.Env, "TZ="+tz)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if h.root {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.UID), Gid: uint32(s.GID)}
	}
	return cmd
}

// identify reads what tells this life of pid from another.
func identify(pid int) (process, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return process{}, err
	}
	st, err := readStat(pid)
	if err != nil {
		return process{}, err
	}
	return process{PID: pid, Ticks: st.ticks, Boot: strings.TrimSpace(string(boot))}, nil
}

// same reports whether p still exists, as itself. A zombie does not; ours is
// reaped on the way, so that no goroutine has to wait for a server.
func (p process) same() bool {
	if p.PID <= 0 {
		return false
	}
	now, err := identify(p.PID)
	if err != nil || now != p {
		return false
	}
	st, err := readStat(p.PID)
	if err != nil || st.ticks != p.Ticks {
		return false
	}
	if st.state != 'Z' && st.state != 'X' {
		return true
	}
	if st.parent == os.Getpid() {
		_, _ = syscall.Wait4(p.PID, nil, syscall.WNOHANG, nil)
	}
	return false
}

// signal reaches p or nobody: the handle is taken first, the check comes second.
func (p process) signal(sig os.Signal) error {
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return err
	}
	defer handle.Release()
	if !p.same() {
		return os.ErrProcessDone
	}
	if err := handle.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// serves reports whether p is a server of s: on its data folder, by its user.
func (p process) serves(s Slot) bool {
	if !p.same() {
		return false
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
	if err != nil || !slices.Contains(strings.Split(string(args), "\x00"), "--datadir="+s.DataDir) {
		return false
	}
	return realUID(p.PID) == s.UID
}

// findServer looks for a server of s whose process id nobody wrote down: the
// agent was killed between the start and the record.
func findServer(s Slot) (process, bool) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			continue
		}
		args, err := os.ReadFile(d + "/cmdline")
		if err != nil || !bytes.Contains(args, []byte("--datadir="+s.DataDir+"\x00")) {
			continue
		}
		if p, err := identify(pid); err == nil && p.serves(s) {
			return p, true
		}
	}
	return process{}, false
}

func realUID(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				if uid, err := strconv.Atoi(f[0]); err == nil {
					return uid
				}
			}
		}
	}
	return -1
}

type stat struct {
	state  byte
	parent int
	ticks  uint64
}

// readStat reads /proc/<pid>/stat. The program's name stands in parentheses and
// may hold anything, so the fields are counted from the last one.
func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	i := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat has an unknown form", pid)
	}
	parent, err := strconv.Atoi(f[1])
	if err != nil {
		return stat{}, err
	}
	ticks, err := strconv.ParseUint(f[19], 10, 64)
	return stat{state: f[0][0], parent: parent, ticks: ticks}, err
}
