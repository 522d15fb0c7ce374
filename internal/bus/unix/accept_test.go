package unix

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/local"
)

// full is a listener of a process that had no descriptor left for a moment.
type full struct {
	net.Listener
	failed atomic.Bool
}

func (f *full) Accept() (net.Conn, error) {
	if !f.failed.Swap(true) {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestServesOnAfterAFailedAccept(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: %v", fi.Mode(), err)
	}
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- Serve(ctx, &full{Listener: ln}, local.New(), log) }()
	b := Dial(path, log)
	defer b.Close()
	if n := b.Pending(bus.Target{Topic: "x"}); n != 0 {
		t.Error(n)
	}
	if err := b.Cast(t.Context(), bus.Target{Topic: "nobody"}, "m", nil); err == nil {
		t.Error("a cast to nobody went through")
	}
	stop()
	if err := <-end; err != nil {
		t.Error(err)
	}
}
