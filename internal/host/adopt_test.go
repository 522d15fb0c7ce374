package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

// The whole life: an agent starts a server and is gone; the next one takes it
// over, and starts it again when it is killed.
func TestOutlivesTheAgent(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{Backoff: 10 * time.Millisecond, Check: 20 * time.Millisecond})
	helper := exec.CommandContext(t.Context(), os.Args[0])
	helper.Env = append(os.Environ(), helperRoot+"="+h.cfg.Root)
	helper.Stderr = os.Stderr
	out, err := helper.Output()
	if err != nil {
		t.Fatal(err)
	}
	var id coffer.InstanceID
	if err := json.Unmarshal(out, &id); err != nil {
		t.Fatal(err)
	}

	run, err := h.Adopt(t.Context())
	if err != nil || len(run) != 1 || run[0].Instance != id || !run[0].Up {
		t.Fatalf("Adopt = %+v, %v; want %s up", run, err, id)
	}
	db := open(t, run[0].Conn(), "unix")
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE kept"); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	for round := range 2 {
		old := h.Running()[0].PID
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the killed server is up again", func() bool {
			r := h.Running()[0]
			return r.PID != old && r.Up && r.Restarts >= round+1
		})
	}
	if _, err := db.ExecContext(t.Context(), "USE kept"); err != nil {
		t.Error(err)
	}

	pid := h.Running()[0].PID
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	if !alivePID(pid) {
		t.Error("the end of Run's context ended the server")
	}
	next := setup(t, Config{Root: h.cfg.Root})
	if run, err := next.Adopt(t.Context()); err != nil || len(run) != 1 || run[0].PID != pid {
		t.Errorf("the next Adopt = %+v, %v; want process %d", run, err, pid)
	}
	if err := next.Stop(t.Context(), id); err != nil {
		t.Error(err)
	}
	if run, err := setup(t, Config{Root: h.cfg.Root}).Adopt(t.Context()); err != nil || len(run) != 0 {
		t.Errorf("Adopt after Stop = %+v, %v; want nothing", run, err)
	}
}

// Two agents that share a root restart a server once, not twice.
func TestTwoSupervisorsAgree(t *testing.T) {
	t.Parallel()
	cfg := Config{Root: newRoot(t), Backoff: 10 * time.Millisecond, Check: 5 * time.Millisecond}
	a, b := setup(t, cfg), setup(t, cfg)
	s := prepared(t, a)
	if _, err := a.Start(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	old := a.Running()[0].PID
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, h := range []*Host{a, b} {
		wg.Go(func() { _ = h.Run(ctx) })
	}
	defer wg.Wait()
	defer cancel()
	eventually(t, "the second has adopted it", func() bool { return len(b.Running()) == 1 })
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both see the same new server", func() bool {
		x, y := a.Running()[0], b.Running()[0]
		return x.PID != old && x.PID == y.PID && x.Up && y.Up
	})
	if n := a.Running()[0].Restarts + b.Running()[0].Restarts; n != 1 {
		t.Errorf("%d restarts, want 1", n)
	}
}

// An agent killed between the start of a server and its record.
func TestAdoptFindsUnrecorded(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{})
	s := prepared(t, h)
	if _, err := h.Start(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	pid := h.Running()[0].PID
	st, err := readState(s)
	if err != nil {
		t.Fatal(err)
	}
	st.process = process{}
	if err := writeState(s, st); err != nil {
		t.Fatal(err)
	}
	next := setup(t, Config{Root: h.cfg.Root})
	if run, err := next.Adopt(t.Context()); err != nil || len(run) != 1 || run[0].PID != pid || !run[0].Up {
		t.Errorf("Adopt = %+v, %v; want process %d", run, err, pid)
	}
	if st, err := readState(s); err != nil || st.PID != pid {
		t.Errorf("the record says %+v, %v", st, err)
	}

	// The same, but its start was never finished: nobody was told of it.
	st.Wanted = false
	if err := writeState(s, st); err != nil {
		t.Fatal(err)
	}
	if run, err := setup(t, Config{Root: h.cfg.Root}).Adopt(t.Context()); err != nil || len(run) != 0 || alivePID(pid) {
		t.Errorf("Adopt = %+v, %v, alive %v; want the unfinished start ended", run, err, alivePID(pid))
	}
}

// A process id that came round again belongs to somebody else.
func TestReusedProcessIDIsLeftAlone(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{})
	s, err := h.Prepare(t.Context(), newID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	stranger := exec.CommandContext(t.Context(), "/bin/sleep", "600")
	if os.Geteuid() == 0 { // by the slot's own user, at that
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.UID), Gid: uint32(s.GID)}}
	}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	is, err := identify(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	was, rebooted := is, is
	was.Ticks--
	rebooted.Boot = "another"
	for _, p := range []process{is, was, rebooted} {
		for _, wanted := range []bool{true, false} {
			st := state{Wanted: wanted, process: p, Args: []string{"--version"}, Started: time.Now()}
			if err := writeState(s, st); err != nil {
				t.Fatal(err)
			}
			if err := h.Stop(t.Context(), s.Instance); err != nil {
				t.Error(err)
			}
			if !is.same() {
				t.Fatalf("Stop for %+v ended a stranger", p)
			}
		}
		if p != is && (p.same() || p.signal(syscall.SIGKILL) != os.ErrProcessDone) {
			t.Errorf("%+v is taken for %+v", p, is)
		}
	}
	if run, err := h.Adopt(t.Context()); err != nil || len(run) != 0 || !is.same() {
		t.Errorf("Adopt = %+v, %v, stranger alive %v", run, err, is.same())
	}
}

// Restarts of a server that cannot run are spaced.
func TestBackoff(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{Mariadbd: "/bin/false", Backoff: time.Minute})
	s, err := h.Prepare(t.Context(), newID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeState(s, state{Wanted: true, Args: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	var pauses []time.Duration
	for range 9 {
		v := h.servers[s.Instance]
		eventually(t, "the process is gone", func() bool { return !v.state.same() })
		pauses = append(pauses, time.Until(v.next).Round(time.Minute)/time.Minute)
		before := v.restarts
		h.watch(t.Context(), s)
		if v.restarts != before {
			t.Fatal("started again before its time")
		}
		v.next = time.Now()
		h.watch(t.Context(), s)
	}
	if got, want := fmt.Sprint(pauses), "[1ns 2ns 4ns 8ns 16ns 32ns 60ns 60ns 60ns]"; got != want {
		t.Errorf("pauses of %s minutes, want %s", got, want)
	}
}

func alivePID(pid int) bool {
	p, err := identify(pid)
	return err == nil && p.same()
}

func fmtInt(n int) string { return strconv.Itoa(n) }

func sessionOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	sid, err := strconv.Atoi(f[3])
	if err != nil {
		t.Fatal(err)
	}
	return sid
}
