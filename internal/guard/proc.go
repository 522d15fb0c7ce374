package guard

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
)

// Spec is one tool to run. Nothing in Args or Env may be secret.
type Spec struct {
	Guard []string // the guard's own command line, e.g. {"/usr/bin/coffer", "guard"}
	Exe   string
	Args  []string // without the program's name
	Env   []string // the tool's whole environment
	Dir   string
	User  *User    // whom the tool runs as; nil is whom we run as
	Out   *os.File // the tool's standard output; nil discards it. Start does not close it.
	Rules Rules

	// The callbacks run one at a time and must return at once.
	OnStage func(StageEdge)
	OnMark  func(Sighting)
	OnLine  func(line string) // any other line, as far as they can be kept up with
}

// Proc is a tool that runs under its guard.
type Proc struct {
	spec  Spec
	rules Rules
	cmd   *exec.Cmd
	orders,
	reports *os.File

	guard *hearing
	kill  chan string // holds the first reason of ours to end it
	done  chan struct{}

	mu     sync.Mutex
	tool   int                 // its process id, and its group's
	locked map[string]struct{} // locked stages under way
	ended  *Report

	report Report // after done
	err    error
}

// Start runs a tool under a guard and returns when the tool has started. The
// caller must call Wait. When ctx ends, the tool is ended.
func Start(ctx context.Context, spec Spec) (*Proc, error) {
	const op = "start a guarded tool"
	rules := spec.Rules.withDefaults()
	if _, err := rules.compile(); err != nil {
		return nil, err
	}
	if len(spec.Guard) == 0 {
		return nil, coffer.E(coffer.KindInternal, op, "no guard program is set")
	}
	p := &Proc{
		spec: spec, rules: rules, kill: make(chan string, 1), done: make(chan struct{}),
		guard: newHearing(rules.tick(), time.Now()), locked: map[string]struct{}{},
	}
	if err := p.startGuard(); err != nil {
		return nil, coffer.E(coffer.KindTool, op, "%w", err).WithHint("is %s still installed?", spec.Guard[0])
	}
	started := make(chan error, 1)
	go p.run(ctx, started)
	if err := <-started; err != nil {
		<-p.done
		return nil, coffer.E(coffer.KindTool, op, "%w", err)
	}
	return p, nil
}

func (p *Proc) startGuard() error {
	in, orders, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	reports, out, err := os.Pipe()
	if err != nil {
		orders.Close()
		return err
	}
	defer out.Close()
	p.orders, p.reports = orders, reports
	p.cmd = exec.Command(p.spec.Guard[0], p.spec.Guard[1:]...)
	p.cmd.Env = []string{hookEnv + "=1", "PATH=" + os.Getenv("PATH")}
	p.cmd.Stdin, p.cmd.ExtraFiles = in, []*os.File{out}
	if p.spec.Out != nil {
		p.cmd.Stdout = p.spec.Out
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	b, err := json.Marshal(order{
		Exe: p.spec.Exe, Args: p.spec.Args, Env: p.spec.Env, Dir: p.spec.Dir, User: p.spec.User,
		Lines: p.spec.OnLine != nil, Rules: p.rules,
	})
	if err == nil {
		err = p.cmd.Start()
	}
	if err == nil {
		if err = p.say(append(b, '\n')); err != nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	}
	if err != nil {
		orders.Close()
		reports.Close()
	}
	return err
}

// say writes to the guard; a guard that does not read cannot block us.
func (p *Proc) say(b []byte) error {
	if err := p.orders.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, err := p.orders.Write(b)
	return err
}

// Pid is the tool's process id, which is also its group's.
func (p *Proc) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tool
}

// GuardPid is the guard's process id.
func (p *Proc) GuardPid() int { return p.cmd.Process.Pid }

// Kill ends the tool. The first reason given stands in Wait's error.
func (p *Proc) Kill(reason string) {
	select {
	case p.kill <- reason:
	default:
	}
}

// Wait returns when tool and guard are gone. A nil error means that the tool
// ended by itself: look at Report.Exit and at what it said. Else the error says
// why it was ended or how it was lost, and the report what is known.
func (p *Proc) Wait() (Report, error) {
	<-p.done
	return p.report, p.err
}

// run watches the guard to its end.
func (p *Proc) run(ctx context.Context, started chan<- error) {
	defer close(p.done)
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		p.listen(started)
	}()
	why := p.untilEnd(ctx, listened)
	_ = p.cmd.Process.Kill() // it has reported, or is silent
	p.killGroup()
	_ = p.cmd.Wait()
	// What is left in the pipe is read up to its end: the guard was its only writer.
	<-listened
	p.orders.Close()
	p.reports.Close()
	p.conclude(why)
	select {
	case started <- p.err: // the guard died before it said anything
	default:
	}
}

// listen reads the guard's reports to their end.
func (p *Proc) listen(started chan<- error) {
	dec := json.NewDecoder(bufio.NewReader(p.reports))
	for {
		var m message
		if dec.Decode(&m) != nil {
			return
		}
		p.guard.heard(time.Now())
		switch {
		case m.Started != 0:
			p.mu.Lock()
			p.tool = m.Started
			p.mu.Unlock()
			started <- nil
		case m.NoStart != "":
			started <- coffer.E(coffer.KindTool, "start "+p.spec.Exe, "%s", m.NoStart)
		case m.Ended != nil:
			p.mu.Lock()
			p.ended = m.Ended
			p.mu.Unlock()
		case m.Stage != nil:
			p.stage(m)
		case m.Mark != nil && p.spec.OnMark != nil:
			p.spec.OnMark(*m.Mark)
		case m.Line != nil && p.spec.OnLine != nil:
			p.spec.OnLine(*m.Line)
		}
	}
}

func (p *Proc) stage(m message) {
	e := *m.Stage
	e.At = m.At
	if e.Locked {
		p.mu.Lock()
		if e.Begin {
			p.locked[e.Name] = struct{}{}
		} else {
			delete(p.locked, e.Name)
		}
		p.mu.Unlock()
	}
	if p.spec.OnStage != nil {
		p.spec.OnStage(e)
	}
}
