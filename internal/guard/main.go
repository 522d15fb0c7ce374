package guard

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The guard's descriptors, as Start sets them up.
const (
	fdReport = 3
	hookEnv  = "COFFER_GUARD_HOOK"
)

// Hook runs the guard and exits, if this process was started as one by [Start]
// with [Self] as Spec.Guard. Test binaries call it first in TestMain.
func Hook() {
	if os.Getenv(hookEnv) == "1" {
		os.Exit(Main())
	}
}

// Self is a Spec.Guard for programs that call [Hook].
func Self() []string {
	exe, err := os.Executable()
	if err != nil {
		exe = "/proc/self/exe"
	}
	return []string{exe}
}

// Main is the guard process: it takes its order from standard input, runs the
// tool and returns the process's exit status. It reports on descriptor 3.
func Main() int {
	if _, err := unix.FcntlInt(fdReport, unix.F_GETFD, 0); err != nil {
		fmt.Fprintln(os.Stderr, "guard: this command is started by coffer itself, beside each database tool")
		return 2
	}
	unix.CloseOnExec(fdReport)
	in := bufio.NewReader(os.Stdin)
	g := &guard{out: newOutbox(os.NewFile(fdReport, "reports")), stop: make(chan string, 1)}
	defer g.out.close()
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &g.order)
	}
	if err != nil {
		g.out.send(message{NoStart: "read the order: " + err.Error()})
		return 2
	}
	g.order.Rules = g.order.Rules.withDefaults()
	c, err := g.order.Rules.compile()
	if err != nil {
		g.out.send(message{NoStart: err.Error()})
		return 2
	}
	g.watch = newWatch(c, g.out.send)
	g.agent = newHearing(g.order.Rules.tick(), time.Now())
	go g.listen(in) // ends with the process: standard input cannot be interrupted
	return g.run()
}

type guard struct {
	order order
	out   *outbox
	watch *watch
	agent *hearing
	stop  chan string // holds the first reason to end the tool
}

// end asks for the tool's end; the first reason stays.
func (g *guard) end(reason string) {
	select {
	case g.stop <- reason:
	default:
	}
}

// listen reads the agent's signs of life.
func (g *guard) listen(in io.ByteReader) {
	for {
		b, err := in.ReadByte()
		switch {
		case err != nil:
			g.end("the process that asked for it is gone")
			return
		case b == byteKill:
			g.end("it was asked to stop")
		}
		g.agent.heard(time.Now())
	}
}

// run starts the tool, watches it to its end and reports.
func (g *guard) run() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	t, err := startTool(g.order)
	if err != nil {
		g.out.send(message{NoStart: err.Error()})
		return 2
	}
	g.out.send(message{Started: t.pid()})
	said := make(chan int64, 1)
	go func() { said <- readLines(t.stderr, g.line) }()
	reason := g.untilEnd(t, signals)
	r := t.report()
	r.Reason = reason
	select {
	case r.Bytes = <-said:
		t.stderr.Close()
	case <-time.After(2 * time.Second): // something inherited the pipe and lives
		t.stderr.Close()
		r.Bytes = <-said
	}
	g.watch.finish(&r)
	r.Dropped = g.out.dropped.Load()
	g.out.send(message{At: r.Took, Ended: &r})
	return 0
}

func (g *guard) line(text string) {
	if !g.watch.line(text) && g.order.Lines {
		g.out.sendLine(message{At: time.Since(g.watch.begin), Line: &text})
	}
}

// untilEnd waits for the tool's end and brings it about when it must be; it
// returns the reason, or "" when the tool ended by itself.
func (g *guard) untilEnd(t *tool, signals <-chan os.Signal) (reason string) {
	rules := g.order.Rules
	ticker := time.NewTicker(rules.tick())
	defer ticker.Stop()
	lastBeat := time.Now()
	for {
		why := ""
		select {
		case <-t.done:
			return reason
		case why = <-g.stop:
		case s := <-signals:
			why = "the guard got the signal " + s.String()
		case <-ticker.C:
			why = g.watch.verdict(rules, g.agent.look(time.Now()))
			if time.Since(lastBeat) >= rules.Beat {
				lastBeat = time.Now()
				g.out.sendLine(message{At: time.Since(g.watch.begin), Beat: true})
			}
		}
		if why != "" && reason == "" {
			reason = why
			t.kill()
		}
	}
}
