package child_test

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer/internal/child"
)

const parentEnv = "CHILD_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) != "" {
		beParent()
		return
	}
	goleak.VerifyTestMain(m)
}

// beParent starts a child of either kind, says who they are, and waits for its end.
func beParent() {
	for _, start := range []func(*exec.Cmd, func()) error{child.Start, child.StartFree} {
		cmd := exec.Command("sleep", "100")
		if err := start(cmd, func() { _ = cmd.Wait() }); err != nil {
			panic(err)
		}
		println(cmd.Process.Pid)
	}
	select {}
}

func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(exe)
	parent.Env = append(os.Environ(), parentEnv+"=1")
	out, err := parent.StderrPipe()
	if err == nil {
		err = parent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	var text string
	for b := make([]byte, 64); strings.Count(text, "\n") < 2; {
		n, err := out.Read(b)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		text += string(b[:n])
	}
	for word := range strings.FieldsSeq(text) {
		pid, err := strconv.Atoi(word)
		if err != nil || !alive(pid) {
			t.Fatalf("%q: %v", text, err)
		}
		pids = append(pids, pid)
	}
	defer func() { _ = syscall.Kill(pids[1], syscall.SIGKILL) }()
	_ = parent.Process.Kill()
	_ = parent.Wait()
	for end := time.Now().Add(5 * time.Second); alive(pids[0]); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the child has outlived its parent")
		}
	}
	if !alive(pids[1]) {
		t.Error("the free child has died with its parent")
	}
}

// A child is not ended by the runtime's own comings and goings: a thread ends with
// a goroutine that was locked to it.
func TestChildLivesThoughThreadsEnd(t *testing.T) {
	t.Parallel()
	ended, done := make(chan struct{}), make(chan struct{})
	cmd := exec.Command("sleep", "100")
	if err := child.Start(cmd, func() { <-ended; _ = cmd.Wait(); close(done) }); err != nil {
		t.Fatal(err)
	}
	var all, some sync.WaitGroup
	all.Add(100)
	for range 100 { // more than there are idle threads
		some.Go(func() {
			runtime.LockOSThread()
			all.Done()
			all.Wait()
		})
	}
	some.Wait()
	<-time.After(50 * time.Millisecond) // threads end a little later
	if pgid, err := syscall.Getpgid(cmd.Process.Pid); err != nil || pgid != cmd.Process.Pid || !alive(cmd.Process.Pid) {
		t.Errorf("group %d, %v", pgid, err)
	}
	close(ended)
	_ = cmd.Process.Kill()
	<-done
}

func TestChildThatCannotStart(t *testing.T) {
	t.Parallel()
	if err := child.Start(exec.Command("/nonexistent"), func() { t.Error("waited for nothing") }); err == nil {
		t.Error("no error")
	}
}
