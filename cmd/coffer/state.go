package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
)

// stateDir is the folder in which one Coffer keeps what is its own.
//
//	records.db   the metadata (SQLite)
//	agent/       the agent's id, journal and chain summaries
//	hosted/      restored servers
//	keys/        recipients.txt, and identity.txt unless it is kept elsewhere
//	store/       backups, unless --store names another folder
//	token        the local administrator's token, 0600
//	endpoint     where the API listens
//	lock         held by the one process that owns the folder
type stateDir string

func defaultState() string {
	if os.Getuid() == 0 {
		return "/var/lib/coffer"
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "coffer")
	}
	return "coffer-state"
}

func (s stateDir) path(elem ...string) string {
	return filepath.Join(append([]string{string(s)}, elem...)...)
}

// make creates the folder and its parts. The folder itself may be entered by
// others (restored servers run under their own users), its parts may not.
func (s stateDir) make() error {
	if err := os.MkdirAll(string(s), 0o711); err != nil {
		return coffer.E(coffer.KindForbidden, "make the state folder", "%w", err).
			WithHint("name a folder that you may write with --state")
	}
	for _, d := range []string{"agent", "keys", "spool"} {
		if err := os.MkdirAll(s.path(d), 0o700); err != nil {
			return coffer.E(coffer.KindForbidden, "make the state folder", "%w", err)
		}
	}
	return nil
}

// lockPatience is how long a process waits for the state folder. One that was
// killed may leave a child that has not yet become another program, and for that
// moment the child holds the lock.
const lockPatience = 300 * time.Millisecond

// lock takes the folder for this process. KindBusy means that another one has it.
func (s stateDir) lock() (*os.File, error) {
	f, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, coffer.E(coffer.KindForbidden, "lock the state folder", "%w", err)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Since(start) > lockPatience {
			break
		}
	}
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		err = coffer.E(coffer.KindBusy, "lock the state folder", "another coffer works in %s", s).
			WithHint("wait for it to end, or work in another folder")
	default:
		err = coffer.E(coffer.KindInternal, "lock the state folder", "%w", err)
	}
	f.Close()
	return nil, err
}

// once reads a small file, or makes it with what fresh gives.
func (s stateDir) once(name string, fresh func() string) (string, error) {
	b, err := os.ReadFile(s.path(name))
	if err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", coffer.E(coffer.KindForbidden, "read "+name, "%w", err)
	}
	v := fresh()
	if err := os.WriteFile(s.path(name), []byte(v+"\n"), 0o600); err != nil {
		return "", coffer.E(coffer.KindForbidden, "write "+name, "%w", err)
	}
	return v, nil
}

// endpoint is where a server that owns the folder can be reached.
type endpoint struct {
	URL     string           `json:"url"`
	Project coffer.ProjectID `json:"project"`
	Socket  string           `json:"socket,omitempty"` // the bus, for agents of this machine
	CA      string           `json:"ca,omitempty"`     // file of the CA that signed the API's certificate
}

func (s stateDir) publish(e endpoint) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	tmp := s.path(".endpoint.tmp")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return coffer.E(coffer.KindForbidden, "write the endpoint", "%w", err)
	}
	return os.Rename(tmp, s.path("endpoint"))
}

func (s stateDir) endpoint() (endpoint, error) {
	b, err := os.ReadFile(s.path("endpoint"))
	var e endpoint
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil {
		return e, coffer.E(coffer.KindUnavailable, "find the server", "no server has run in %s", s).
			WithHint("start one with: coffer server --state %s", s)
	}
	return e, nil
}
