package host

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
)

// The defaults of [Config].
const (
	DefaultUIDBase = 510000 // above what systems hand out, below what containers use
	DefaultPortMin = 13306
	DefaultPortMax = 14305
	uidCount       = 10000
	maxSocketPath  = 104 // the kernel's limit is 108 with the closing NUL
)

// Config says where and how restored servers run. Root is needed; the zero value
// of every other field is useful.
type Config struct {
	Root      string // folder of all slots; made if absent
	UIDBase   int    // first uid for servers when root; 0 is DefaultUIDBase. Ignored unless root
	Mariadbd  string // the server's program; "" looks it up
	InstallDB string // mariadb-install-db; "" looks it up when it is needed
	PortMin   int    // 0 is DefaultPortMin
	PortMax   int    // 0 is DefaultPortMax
	Log       *slog.Logger

	ReadyWithin time.Duration // Start's deadline; 0 is 5 min (a server may have to recover)
	StopWithin  time.Duration // from SIGTERM to SIGKILL; 0 is 60 s
	Backoff     time.Duration // first pause before a restart, doubled up to 60 times; 0 is 1 s
	Check       time.Duration // how often Run looks; 0 is 500 ms
}

// Host runs servers under one root folder. Its methods may be called by many
// goroutines, and several hosts may share a root.
type Host struct {
	cfg  Config
	root bool // we are root: every slot has its own uid

	mu      sync.Mutex
	servers map[coffer.InstanceID]*server
	ports   map[coffer.InstanceID]*kept
}

// New checks the configuration, looks the programs up and makes the root folder.
func New(cfg Config) (*Host, error) {
	const op = "set up the host"
	h := &Host{
		cfg: cfg, root: os.Geteuid() == 0,
		servers: map[coffer.InstanceID]*server{}, ports: map[coffer.InstanceID]*kept{},
	}
	if err := h.defaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(h.cfg.Root, 0o711); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	if err := h.checkReach(); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *Host) defaults() error {
	const op = "set up the host"
	c := &h.cfg
	if c.Root == "" {
		return coffer.E(coffer.KindInvalid, op, "no folder is named for restored databases")
	}
	abs, err := filepath.Abs(c.Root)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	c.Root = abs
	if n := len(h.slot(coffer.InstanceID(coffer.NewUUID())).Socket); n > maxSocketPath {
		return coffer.E(coffer.KindInvalid, op, "%s makes socket paths of %d bytes, the system allows %d", abs, n, maxSocketPath).
			WithHint("choose a folder with a path shorter by %d bytes", n-maxSocketPath)
	}
	if c.Mariadbd == "" {
		if c.Mariadbd, err = look("mariadbd"); err != nil {
			return err
		}
	}
	c.UIDBase = or(c.UIDBase, DefaultUIDBase)
	c.PortMin, c.PortMax = or(c.PortMin, DefaultPortMin), or(c.PortMax, DefaultPortMax)
	if c.PortMin < 1 || c.PortMax > 65535 || c.PortMin > c.PortMax {
		return coffer.E(coffer.KindInvalid, op, "%d to %d is no range of ports", c.PortMin, c.PortMax)
	}
	if c.UIDBase < 0 {
		return coffer.E(coffer.KindInvalid, op, "%d is no uid", c.UIDBase)
	}
	c.ReadyWithin, c.StopWithin = or(c.ReadyWithin, 5*time.Minute), or(c.StopWithin, time.Minute)
	c.Backoff, c.Check = or(c.Backoff, time.Second), or(c.Check, 500*time.Millisecond)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// checkReach says early what mariadbd would say late and unclearly: another uid
// must be able to pass through every folder above the root's slots.
func (h *Host) checkReach() error {
	if !h.root {
		return nil
	}
	for dir := h.cfg.Root; ; dir = filepath.Dir(dir) {
		fi, err := os.Stat(dir)
		if err != nil {
			return coffer.Wrap("set up the host", err)
		}
		if fi.Mode().Perm()&0o001 == 0 {
			return coffer.E(coffer.KindInvalid, "set up the host", "servers run under users of their own and cannot pass through %s", dir).
				WithHint("chmod o+x %s, or choose another folder", dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// Dir is the absolute path of the root folder.
func (h *Host) Dir() string { return h.cfg.Root }

// Free is the number of bytes that restores may still fill under the root.
func (h *Host) Free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(h.cfg.Root, &st); err != nil {
		return 0, coffer.Wrap("ask for free space in "+h.cfg.Root, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Close gives back what holds the slots' ports against other hosts. Servers run
// on, and a slot keeps its port among the slots of its root.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, k := range h.ports {
		k.close()
		delete(h.ports, id)
	}
	return nil
}

// look finds a program in PATH or where systems keep their servers.
func look(program string) (string, error) {
	for _, try := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program, "/usr/bin/" + program} {
		if path, err := exec.LookPath(try); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", coffer.E(coffer.KindUnprocessable, "look for "+program, "it is not installed").
		WithHint("install mariadb-server (its service need not run)")
}

func or[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}
