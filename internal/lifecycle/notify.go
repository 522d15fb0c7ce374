package lifecycle

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// Manager is the service manager that started this process, as systemd says it in
// the environment (sd_notify). The nil Manager is none, and told nothing.
type Manager struct {
	address *net.UnixAddr
	every   time.Duration // between two signs of life; 0 is none wanted
}

// ManagerOf reads the environment of process pid. The variables are not for the
// process's children: the caller unsets them.
func ManagerOf(getenv func(string) string, pid int) *Manager {
	path := getenv("NOTIFY_SOCKET")
	if path == "" || path[0] != '/' && path[0] != '@' {
		return nil
	}
	if name, abstract := strings.CutPrefix(path, "@"); abstract {
		path = "\x00" + name
	}
	m := &Manager{address: &net.UnixAddr{Name: path, Net: "unixgram"}}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if of := getenv("WATCHDOG_PID"); err == nil && usec > 0 && (of == "" || of == strconv.Itoa(pid)) {
		m.every = time.Duration(usec) * time.Microsecond / 2
	}
	return m
}

// Tell sends lines such as "READY=1".
func (m *Manager) Tell(lines ...string) error {
	if m == nil {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, m.address)
	if err != nil {
		return coffer.E(coffer.KindUnavailable, "tell the service manager", "%w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return coffer.E(coffer.KindUnavailable, "tell the service manager", "%w", err)
	}
	return nil
}

// Watched sends a sign of life twice in the manager's interval until ctx ends, each
// after probe has returned: a process that hangs is told by its silence.
func (m *Manager) Watched(ctx context.Context, probe func(context.Context)) error {
	if m == nil || m.every == 0 {
		return nil
	}
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		probe(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := m.Tell("WATCHDOG=1"); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
