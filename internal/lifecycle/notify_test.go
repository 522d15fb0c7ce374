package lifecycle_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/lifecycle"
)

// hear listens as a service manager does.
func hear(t *testing.T, name string) func() string {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func() string {
		b := make([]byte, 512)
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if err != nil {
			return err.Error()
		}
		return string(b[:n])
	}
}

func env(pairs ...string) func(string) string {
	return func(k string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == k {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// A manager is told through a socket with a path and through an abstract one.
func TestTell(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "n")
	abstract := fmt.Sprintf("coffer-test-%d", os.Getpid())
	for listen, name := range map[string]string{path: path, "\x00" + abstract: "@" + abstract} {
		heard := hear(t, listen)
		m := lifecycle.ManagerOf(env("NOTIFY_SOCKET", name), 1)
		if err := m.Tell("READY=1", "STATUS=serves"); err != nil {
			t.Fatal(err)
		}
		if got := heard(); got != "READY=1\nSTATUS=serves" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	for _, none := range []string{"", "relative"} {
		m := lifecycle.ManagerOf(env("NOTIFY_SOCKET", none), 1)
		if m.Watched(t.Context(), nil); m != nil || m.Tell("READY=1") != nil {
			t.Errorf("%q is a manager", none)
		}
	}
	if err := lifecycle.ManagerOf(env("NOTIFY_SOCKET", path+".none"), 1).Tell("READY=1"); err == nil {
		t.Error("nobody was told, and that is no error")
	}
}

// Signs of life come while the probe returns, and stop while it hangs.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "n")
	heard := hear(t, path)
	m := lifecycle.ManagerOf(env("NOTIFY_SOCKET", path, "WATCHDOG_USEC", "20000", "WATCHDOG_PID", "7"), 7)
	ctx, stop := context.WithCancel(t.Context())
	hang, hangs := make(chan struct{}), make(chan struct{})
	probes, end := 0, make(chan struct{})
	go func() {
		defer close(end)
		m.Watched(ctx, func(context.Context) {
			if probes++; probes == 4 {
				close(hangs)
				<-hang
			}
		})
	}()
	<-hangs
	for range 3 {
		if got := heard(); got != "WATCHDOG=1" {
			t.Fatalf("got %q", got)
		}
	}
	stop()
	close(hang)
	<-end
	if err := m.Tell("STOPPING=1"); err != nil {
		t.Fatal(err)
	}
	if got := heard(); got != "STOPPING=1" {
		t.Errorf("a process that hung gave the sign %q", got)
	}
	other := lifecycle.ManagerOf(env("NOTIFY_SOCKET", path, "WATCHDOG_USEC", "20000", "WATCHDOG_PID", "7"), 8)
	other.Watched(t.Context(), nil) // another process's: it returns at once
}
