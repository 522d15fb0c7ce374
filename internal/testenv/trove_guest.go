package testenv

import (
	"bufio"
	_ "embed" // of the guest
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

//go:embed trove/guest.py
var troveGuest string

// TroveGuestProcess is a stand-in for Trove's guest agent: a program on Debian's own
// oslo.messaging.
type TroveGuestProcess struct {
	t     testing.TB
	in    io.WriteCloser
	lines chan string
}

// TroveGuest runs a stand-in guest for an instance on a broker, until the test ends.
// It encrypts under key, unless that is "".
func TroveGuest(t testing.TB, b *Broker, instance, key string) *TroveGuestProcess {
	t.Helper()
	python := Need(t, "/usr/bin/python3")[0]
	if key == "" {
		key = "-"
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", troveGuest, "rabbit"+strings.TrimPrefix(b.URL(), "amqp"), instance, key)
	cmd.Env, cmd.Stderr = systemEnv(), t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g := &TroveGuestProcess{t: t, in: in, lines: make(chan string, 1000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			g.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		<-read
		_ = cmd.Wait() // it ends with its input; how is no matter
	})
	g.Hear(nil) // that it is ready
	return g
}

// Hear waits for the next thing that the guest has heard, and decodes it.
func (g *TroveGuestProcess) Hear(into any) {
	g.t.Helper()
	select {
	case line := <-g.lines:
		if into == nil {
			return
		}
		if err := json.Unmarshal([]byte(line), into); err != nil {
			g.t.Fatalf("the guest says %s: %v", line, err)
		}
	case <-time.After(90 * time.Second):
		g.t.Fatal("the guest says nothing")
	}
}

// Heard is how much it has heard that nobody has asked for.
func (g *TroveGuestProcess) Heard() int { return len(g.lines) }

// Do says how the guest treats backups from now on: "complete", "fail", "silent", or
// "foreign", which names another object.
func (g *TroveGuestProcess) Do(mode string) {
	g.t.Helper()
	if _, err := io.WriteString(g.in, mode+"\n"); err != nil {
		g.t.Fatal(err)
	}
	g.Hear(nil)
}
