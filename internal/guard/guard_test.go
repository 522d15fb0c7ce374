package guard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/guard"
)

const parentEnv = "GUARD_TEST_PARENT"

func TestMain(m *testing.M) {
	guard.Hook()
	if script := os.Getenv(parentEnv); script != "" {
		actAsParent(script)
		return
	}
	goleak.VerifyTestMain(m)
}

// quick are rules scaled down for tests of what happens on silence.
func quick() guard.Rules {
	return guard.Rules{
		Beat: 50 * time.Millisecond, Silence: 3 * time.Second, SilenceLocked: 600 * time.Millisecond,
		Stages: []guard.Stage{{Name: "lock", Begin: "^LOCK", End: "^UNLOCK", Locked: true}},
	}
}

func sh(script string) guard.Spec {
	return guard.Spec{Guard: guard.Self(), Exe: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

func start(t *testing.T, spec guard.Spec) *guard.Proc {
	t.Helper()
	p, err := guard.Start(t.Context(), spec)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return p
}

// actAsParent is a helper process: it guards one tool, says who is who, and waits.
func actAsParent(script string) {
	spec := sh(script)
	spec.Rules = quick()
	locked := make(chan struct{}, 16)
	spec.OnStage = func(guard.StageEdge) { locked <- struct{}{} }
	p, err := guard.Start(context.Background(), spec)
	if err != nil {
		panic(err)
	}
	if strings.Contains(script, "LOCK") {
		<-locked
	}
	_ = json.NewEncoder(os.Stdout).Encode([]int{p.Pid(), p.GuardPid()})
	_, _ = p.Wait()
}

// family starts a parent, a guard and a tool as three processes apart from us.
func family(t *testing.T, script string) (parent *exec.Cmd, tool, guardPid int) {
	t.Helper()
	parent = exec.Command(guard.Self()[0])
	parent.Env = append(os.Environ(), parentEnv+"="+script)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err == nil {
		err = parent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = parent.Process.Kill()
		_ = parent.Wait()
	})
	var pids []int
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&pids); err != nil {
		t.Fatal(err)
	}
	return parent, pids[0], pids[1]
}

// awaitGone waits until no process of the group lives, and the pid is gone.
func awaitGone(t *testing.T, within time.Duration, pids ...int) {
	t.Helper()
	deadline := time.Now().Add(within)
	for _, pid := range pids {
		for alive(pid) || groupAlive(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process or group %d is still there after %v", pid, within)
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

// alive is false for zombies: an orphan may wait for its reaper.
func alive(pid int) bool { return stateOf(pid) != "" && stateOf(pid) != "Z" }

func stateOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	return f[0]
}

func groupAlive(pgid int) bool {
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range dirs {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if f[2] == strconv.Itoa(pgid) && f[0] != "Z" {
			return true
		}
	}
	return false
}

func TestToolRunsToItsEnd(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	spec := sh(`echo "LOCK now" >&2; echo out; pwd; echo "env=$FOO" >&2; echo "UNLOCK" >&2; echo "odd one" >&2; exit 3`)
	spec.Env, spec.Dir, spec.Out = append(spec.Env, "FOO=bar"), "/", w
	spec.Rules = guard.Rules{
		Stages: quick().Stages,
		Marks:  []guard.Mark{{Name: "odd", Pattern: "^odd"}},
	}
	var edges []string
	var lines []string
	spec.OnStage = func(e guard.StageEdge) { edges = append(edges, e.Name+strconv.FormatBool(e.Begin)) }
	spec.OnLine = func(l string) { lines = append(lines, l) }
	p := start(t, spec)
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil || string(out) != "out\n/\n" {
		t.Errorf("standard output %q, %v", out, err)
	}
	rep, err := p.Wait()
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	if rep.Exit != 3 || rep.Stages["lock"].Count != 1 || len(rep.Marks["odd"]) != 1 || len(rep.Tail) != 4 {
		t.Errorf("report %+v", rep)
	}
	if got := strings.Join(edges, " "); got != "locktrue lockfalse" {
		t.Errorf("edges %s", got)
	}
	if len(lines) != 1 || lines[0] != "env=bar" {
		t.Errorf("lines %q", lines)
	}
	if err := rep.Failure("x"); !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(err.Error(), "odd one") {
		t.Errorf("failure %v", err)
	}
}

func TestToolThatCannotStart(t *testing.T) {
	t.Parallel()
	spec := sh("")
	spec.Exe = "/nonexistent/tool"
	if _, err := guard.Start(t.Context(), spec); !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("err = %v", err)
	}
	spec = sh("")
	spec.Guard = []string{"/bin/true"}
	if _, err := guard.Start(t.Context(), spec); err == nil {
		t.Error("a program that is no guard was taken for one")
	}
	spec = sh("")
	spec.Rules.Marks = []guard.Mark{{Name: "bad", Pattern: "("}}
	if _, err := guard.Start(t.Context(), spec); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("err = %v", err)
	}
}

func TestStageBound(t *testing.T) {
	t.Parallel()
	spec := sh(`echo LOCK >&2; sleep 100 & wait`)
	spec.Rules = quick()
	spec.Rules.SilenceLocked = 10 * time.Second
	spec.Rules.Stages[0].Max = 200 * time.Millisecond
	begin := time.Now()
	p := start(t, spec)
	rep, err := p.Wait()
	if !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(err.Error(), `"lock" lasted longer`) {
		t.Errorf("err = %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second || rep.Signal != "killed" || rep.Stages["lock"].Longest < 200*time.Millisecond {
		t.Errorf("after %v: %+v", took, rep)
	}
	awaitGone(t, time.Second, p.Pid(), p.GuardPid())
}

func TestCallerStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	p, err := guard.Start(ctx, sh(`trap "" TERM INT; sleep 100 & sleep 100`))
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	cancel(coffer.E(coffer.KindCanceled, "cancel", "%w", why))
	if _, err := p.Wait(); !coffer.IsKind(err, coffer.KindCanceled) || !errors.Is(err, why) {
		t.Errorf("err = %v", err)
	}
	awaitGone(t, time.Second, p.Pid(), p.GuardPid())

	p = start(t, sh(`sleep 100`))
	p.Kill("the sink failed")
	p.Kill("a later reason")
	if _, err := p.Wait(); err == nil || !strings.Contains(err.Error(), "the sink failed") {
		t.Errorf("err = %v", err)
	}
	awaitGone(t, time.Second, p.Pid(), p.GuardPid())
}

func TestStragglersOfTheGroupDieWithTheTool(t *testing.T) {
	t.Parallel()
	p := start(t, sh(`sleep 100 & exit 0`))
	rep, err := p.Wait()
	if err != nil || rep.Exit != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	awaitGone(t, time.Second, p.Pid())
}

func TestKilledGuardTakesToolAndGroupAlong(t *testing.T) {
	t.Parallel()
	p := start(t, sh(`sleep 100 & sleep 100 & wait`))
	if err := syscall.Kill(p.GuardPid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(err.Error(), "guard died") {
		t.Errorf("err = %v", err)
	}
	awaitGone(t, time.Second, p.Pid())
}

func TestStoppedGuardIsKilled(t *testing.T) {
	t.Parallel()
	spec := sh(`echo LOCK >&2; sleep 100 & wait`)
	spec.Rules = quick()
	locked := make(chan struct{}, 1)
	spec.OnStage = func(guard.StageEdge) { locked <- struct{}{} }
	p := start(t, spec)
	<-locked
	begin := time.Now()
	if err := syscall.Kill(p.GuardPid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(err.Error(), "guard was silent") {
		t.Errorf("err = %v", err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the lock's shorter patience was not used: %v", took)
	}
	awaitGone(t, time.Second, p.Pid(), p.GuardPid())
}

func TestKilledParentLeavesNothing(t *testing.T) {
	t.Parallel()
	parent, tool, g := family(t, `sleep 100 & sleep 100 & wait`)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, 2*time.Second, tool, g)
}

func TestStoppedParentCannotHoldALock(t *testing.T) {
	t.Parallel()
	parent, tool, g := family(t, `echo LOCK >&2; sleep 100 & wait`)
	begin := time.Now()
	if err := parent.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, 2*time.Second, tool, g)
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("ended after %v: not by its silence", took)
	}
}

func TestStoppedParentWithoutALockHasMorePatience(t *testing.T) {
	t.Parallel()
	parent, tool, g := family(t, `sleep 100 & wait`)
	begin := time.Now()
	if err := parent.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, 6*time.Second, tool, g)
	if took := time.Since(begin); took < 2*time.Second {
		t.Errorf("ended after %v, before its patience of 3 s", took)
	}
}

// A gigabyte of errors, most of it one line, is neither kept nor in the way: the
// guard, whose memory the tool reads itself, and its caller stay as small as they
// were.
func TestGigabyteOfErrorsIsBounded(t *testing.T) {
	t.Parallel()
	const memory = `sed -n 's/^VmHWM/peak/p' /proc/$PPID/status >&2; `
	line := "noise " + strings.Repeat("na ", 30)
	spec := sh(memory + `head -c 1006632960 /dev/zero | tr '\0' x >&2; echo >&2; yes "` + line + `" | head -c 67108864 >&2; echo >&2; ` +
		memory + `echo "done well" >&2`)
	spec.Rules.Marks = []guard.Mark{{Name: "done", Pattern: "^done"}, {Name: "noise", Pattern: "^noise"}, {Name: "peak", Pattern: "^peak"}}
	longest, got := 0, 0
	spec.OnLine = func(l string) { longest, got = max(longest, len(l)), got+1 }
	ours := kilobytes(t, "/proc/self/status", "VmHWM")
	p := start(t, spec)
	rep, err := p.Wait()
	if err != nil || rep.Exit != 0 {
		t.Fatalf("%v, exit %d", err, rep.Exit)
	}
	if longest > guard.MaxLine || len(rep.Marks["noise"]) > guard.MaxSightings || len(rep.Marks["done"]) != 1 {
		t.Errorf("longest line %d, %d sightings, done %d", longest, len(rep.Marks["noise"]), len(rep.Marks["done"]))
	}
	if rep.Bytes < 1<<30 || rep.Tail[len(rep.Tail)-1] != "done well" {
		t.Errorf("read %d bytes, last words %s", rep.Bytes, rep.LastWords(1))
	}
	const most = 48 << 10
	if peak := rep.Marks["peak"]; len(peak) != 2 || number(t, peak[1])-number(t, peak[0]) > most {
		t.Errorf("the guard's memory: %q", peak)
	}
	if more := kilobytes(t, "/proc/self/status", "VmHWM") - ours; more > most {
		t.Errorf("the caller's memory grew by %d kB", more)
	}
	t.Logf("%d bytes in %v; %q; %d lines came through", rep.Bytes, rep.Took, rep.Marks["peak"], got)
}

// kilobytes is a field of a process's status.
func kilobytes(t *testing.T, path, field string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, field) {
			return number(t, line)
		}
	}
	t.Fatalf("%s has no %s", path, field)
	return 0
}

// number is the second word of a line.
func number(t *testing.T, line string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Fields(line)[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// With the guard and its caller both gone at once nobody is left to end the tool
// but the kernel.
func TestToolDiesWhenGuardAndParentAreKilledTogether(t *testing.T) {
	t.Parallel()
	parent, tool, g := family(t, `exec sleep 100`)
	if err := parent.Process.Signal(syscall.SIGSTOP); err != nil { // so that it cannot help
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Kill(g, syscall.SIGKILL), parent.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, 2*time.Second, tool, g)
}
