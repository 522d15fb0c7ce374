package unix_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/bustest"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/bus/unix"
)

var quiet = slog.New(slog.DiscardHandler)

// listen serves a fresh in-process bus on a socket until stop or the test's end.
func listen(t *testing.T, path string) (stop func()) {
	t.Helper()
	ln, err := unix.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- unix.Serve(ctx, ln, local.New(local.WithLog(quiet)), quiet) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func socket(t *testing.T) string {
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestLaw(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(t *testing.T) bus.Bus {
		path := socket(t)
		listen(t, path)
		b := unix.Dial(path, quiet)
		t.Cleanup(func() { b.Close() })
		return b
	})
}

// A server that goes away fails what is under way and is served again when it
// comes back.
func TestServesAgain(t *testing.T) {
	t.Parallel()
	path := socket(t)
	stop := listen(t, path)
	agent, caller := unix.Dial(path, quiet), unix.Dial(path, quiet)
	t.Cleanup(func() { agent.Close(); caller.Close() })
	at := bus.Target{Topic: "guestagent.x"}
	bustest.Serve(t, agent, at, func(context.Context, bus.Message) (any, error) { return "here", nil })
	var got string
	if err := caller.Call(t.Context(), at, "m", nil, &got); err != nil || got != "here" {
		t.Fatalf("got %q, %v", got, err)
	}
	stop()
	if err := caller.Call(t.Context(), at, "m", nil, &got); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Fatalf("while the server is away: %v", err)
	}
	listen(t, path)
	for end := time.Now().Add(10 * time.Second); ; {
		err := caller.Call(t.Context(), at, "m", nil, &got)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the topic is not served again: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	t.Parallel()
	path := socket(t)
	listen(t, path)
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", fi.Mode(), err)
	}
}
