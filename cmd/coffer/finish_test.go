package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/bustest"
	"github.com/cofferdb/coffer/internal/bus/local"
)

func TestFinishingKeepsTheLaw(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(*testing.T) bus.Bus { return finishing{local.New()} })
}

// A server that is asked to stop finishes the message in hand, and answers it.
func TestFinishingFinishes(t *testing.T) {
	t.Parallel()
	b := finishing{local.New()}
	at := bus.Target{Topic: "t"}
	ctx, stop := context.WithCancel(t.Context())
	inside, ended := make(chan struct{}), make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		ended <- b.Serve(ctx, at, func(hctx context.Context, _ bus.Message) (any, error) {
			close(inside)
			<-ctx.Done()
			return "done", hctx.Err()
		}, func() { close(ready) })
	}()
	<-ready
	go func() { <-inside; stop() }()
	var got string
	if err := b.Call(t.Context(), at, "m", nil, &got); err != nil || got != "done" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Records that are not there yet are waited for; a signal ends the wait.
func TestWaitsForTheRecords(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program")
	}
	f := newFleet(t)
	f.write("coffer.toml", strings.NewReplacer("DIR", f.dir, "BROKER", "127.0.0.1:1", "USER", "u", "RECORDS", "postgres://u@127.0.0.1:1/x").Replace(plain), 0o644)
	f.start("conductor", "conductor")
	f.says("conductor", "they are waited for")
	c := f.running["conductor"]
	delete(f.running, "conductor")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != exitStopped {
		t.Errorf("it ended with %v", err)
	}
	if out, err := exec.Command(f.program, "config", "check", filepath.Join(f.dir, "coffer.toml"), "--role", "conductor").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
