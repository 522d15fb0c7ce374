package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/child"
	"github.com/cofferdb/coffer/internal/testenv"
)

// role is one process of the fleet, which may live several times.
type role struct {
	f     *fleet
	name  string
	args  []string
	net   *testenv.Proxy // its own way to the broker
	state string         // folder of an agent
	lossy string         // what its bus loses and repeats; "" is nothing
	fail  string         // COFFER_FAILPOINT of its next life

	one    sync.Mutex // one disturbance of the process at a time
	wires  sync.Mutex // and one of its network
	index  int
	lives  int
	done   chan struct{} // closed when this life was waited for
	cmd    *exec.Cmd
	noted  sync.Mutex
	spoilt []span // when it was killed or stopped
}

// span is a time in which a process was not itself; to is zero while it lasts.
type span struct{ from, to time.Time }

func (f *fleet) add(name string, args ...string) *role {
	f.t.Helper()
	r := &role{f: f, name: name, args: args, net: testenv.NewProxy(f.t, f.broker.Addr())}
	if args[0] == "agent" {
		r.state = filepath.Join(f.dir, name)
	}
	f.roles = append(f.roles, r)
	return r
}

// start begins a life. Its words go on in NAME.log.
func (r *role) start() {
	r.f.t.Helper()
	log, err := os.OpenFile(r.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.f.t.Fatal(err)
	}
	defer log.Close()
	r.lives++
	fmt.Fprintf(log, "--- %s life %d %s\n", time.Now().Format("15:04:05.000"), r.lives, r.fail)
	cmd := exec.Command(r.f.program, r.args...)
	cmd.Env = append(os.Environ(), "COFFER_CONFIG="+r.f.path("coffer.toml"), "COFFER_BUS_HOSTS="+r.net.Addr(),
		"COFFER_TEST_TIMINGS="+r.f.timings, "COFFER_CLOCK_FILE="+r.clock(), "COFFER_FAILPOINT="+r.fail)
	if r.state != "" {
		cmd.Env = append(cmd.Env, "COFFER_AGENT_STATE="+r.state)
	}
	if r.lossy != "" {
		cmd.Env = append(cmd.Env, fmt.Sprintf("COFFER_TEST_BUS=seed=%d,%s", 1000*r.f.seed+1_000_000_000*int64(r.index)+int64(r.lives), r.lossy))
	}
	cmd.Stdout, cmd.Stderr = log, log
	done := make(chan struct{})
	if err := child.Start(cmd, func() {
		_ = cmd.Wait() // how it ended is read from its state
		close(done)
	}); err != nil {
		r.f.t.Errorf("start %s: %v", r.name, err)
		close(done)
	}
	r.cmd, r.done, r.fail = cmd, done, ""
}

func (r *role) log() string   { return r.f.path(r.name + ".log") }
func (r *role) clock() string { return r.f.path(r.name + ".clock") }

func (r *role) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *role) signal(s syscall.Signal) {
	if !r.ended() {
		_ = syscall.Kill(r.cmd.Process.Pid, s)
	}
}

// kill ends this life, and begins the next one after a while.
func (r *role) kill(down time.Duration) {
	r.checkAlive()
	defer r.spoil()()
	r.signal(syscall.SIGKILL)
	<-r.done
	<-time.After(down)
	r.start()
}

// checkAlive complains of a life that has ended by itself.
func (r *role) checkAlive() {
	if r.ended() {
		b, _ := os.ReadFile(r.log())
		r.f.t.Errorf("%s ended by itself: %v\n%s", r.name, r.cmd.ProcessState, b[max(0, len(b)-2000):])
	}
}

// suspend stops the process for d, and wakes it.
func (r *role) suspend(d time.Duration) {
	defer r.spoil()()
	r.signal(syscall.SIGSTOP)
	<-time.After(d)
	r.signal(syscall.SIGCONT)
}

// jump lets the clock of the process stand off by d.
func (r *role) jump(d time.Duration) {
	tmp := r.clock() + ".tmp"
	if err := os.WriteFile(tmp, []byte(d.String()), 0o600); err != nil {
		r.f.t.Error(err)
	}
	if err := os.Rename(tmp, r.clock()); err != nil {
		r.f.t.Error(err)
	}
}

// spoil notes that the process is disturbed now, until what it gives is called.
func (r *role) spoil() func() {
	r.noted.Lock()
	defer r.noted.Unlock()
	i := len(r.spoilt)
	r.spoilt = append(r.spoilt, span{from: time.Now()})
	return func() {
		r.noted.Lock()
		defer r.noted.Unlock()
		r.spoilt[i].to = time.Now()
	}
}

// disturbed reports whether the process was killed or stopped between two moments.
func (r *role) disturbed(from, to time.Time) bool {
	r.noted.Lock()
	defer r.noted.Unlock()
	for _, s := range r.spoilt {
		if s.from.Before(to) && (s.to.IsZero() || s.to.After(from)) {
			return true
		}
	}
	return false
}

// stop asks the process to stop, and wants a clean end.
func (r *role) stop() {
	r.f.t.Helper()
	r.signal(syscall.SIGTERM)
	select {
	case <-r.done:
	case <-time.After(40 * time.Second):
		b, _ := os.ReadFile(r.log())
		r.f.t.Errorf("%s does not stop:\n%s", r.name, b[max(0, len(b)-3000):])
		r.signal(syscall.SIGKILL)
		<-r.done
	}
	if !r.cmd.ProcessState.Success() {
		r.f.t.Errorf("%s ended: %v", r.name, r.cmd.ProcessState)
	}
}

// id is an agent's own.
func (r *role) id() coffer.AgentID {
	b, _ := os.ReadFile(filepath.Join(r.state, "agent", "id"))
	return coffer.AgentID(strings.TrimSpace(string(b)))
}

// stopped reports whether the process has been stopped by a signal.
func (r *role) stopped() bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "T")
}
