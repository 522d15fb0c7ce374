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

// patience is how long a manager may take to take a word.
const patience = time.Second

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
	// A manager that does not listen must not stop us.
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return coffer.E(coffer.KindInternal, "tell the service manager", "%w", err)
	}
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return coffer.E(coffer.KindUnavailable, "tell the service manager", "%w", err)
	}
	return nil
}

// Watched sends a sign of life twice in the manager's interval until ctx ends, each
// after probe has returned: a process that hangs is told by its silence.
func (m *Manager) Watched(ctx context.Context, probe func(context.Context)) {
	if m == nil || m.every == 0 {
		return
	}
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		probe(ctx)
		if ctx.Err() != nil {
			return
		}
		_ = m.Tell("WATCHDOG=1") // one that is lost is followed by the next
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
