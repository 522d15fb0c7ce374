package bench

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// measured is one run of a command with all that it started.
type measured struct {
	wall time.Duration
	cpu  time.Duration // of the command and everything that it waited for
	peak int64         // bytes: the command's own peak and that of a guard beneath it

	written int64 // bytes into files, by the command and everything that it waited for
}

// measure runs a command to its end. What earlier runs left to be written goes to
// the disk before the clock starts.
func measure(b *testing.B, cmd *exec.Cmd) measured {
	b.Helper()
	var said strings.Builder
	cmd.Stderr = &said
	syscall.Sync()
	from := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	end, peak := make(chan struct{}), make(chan int64)
	go func() { peak <- watch(cmd.Process.Pid, end) }()
	err := cmd.Wait()
	m := measured{wall: time.Since(from)}
	close(end)
	m.peak = <-peak
	if err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, said.String())
	}
	m.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.written = u.Oublock * 512
	}
	return m
}

// watch reads the high-water marks of a process and of a guard that it has
// started, until end, and gives their sum.
func watch(pid int, end <-chan struct{}) int64 {
	peaks := map[int]int64{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, p := range append(guards(pid), pid) {
			peaks[p] = max(peaks[p], highWater(p))
		}
		select {
		case <-end:
			var sum int64
			for _, n := range peaks {
				sum += n
			}
			return sum
		case <-tick.C:
		}
	}
}

// guards are the children that are Coffer's guard. A child has its parent's
// memory for a moment before it becomes the program that it is to be.
func guards(pid int) (found []int) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // it may have ended
		for _, word := range strings.Fields(string(text)) {
			var child int
			fmt.Sscan(word, &child)
			args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
			if strings.Contains(string(args), "\x00guard\x00") {
				found = append(found, child)
			}
		}
	}
	return found
}

// highWater is the most memory that a process has used; 0 when it is gone.
func highWater(pid int) (bytes int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, after, ok := strings.Cut(string(text), "VmHWM:"); ok {
		fmt.Sscan(after, &bytes)
	}
	return bytes << 10
}

// stored is the size of the backups in a folder, records and hidden files not
// counted.
func stored(b *testing.B, dir string) (sum int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != dir && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			fi, err := d.Info()
			if err != nil {
				return err
			}
			sum += fi.Size()
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return sum
}
