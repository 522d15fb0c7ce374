package host

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/cofferdb/coffer"
)

// Slot is a place for one server. Prepare makes it; its fields never change.
type Slot struct {
	Instance coffer.InstanceID `json:"instance"`
	Dir      string            `json:"-"` // everything of the slot
	DataDir  string            `json:"-"` // what a restore fills
	Socket   string            `json:"-"`
	Port     int               `json:"port"` // on 127.0.0.1
	UID      int               `json:"uid"`  // who runs the server and owns the data
	GID      int               `json:"gid"`
}

func (s Slot) file(name string) string { return filepath.Join(s.Dir, name) }

// Conn is how the agent reaches the slot's server.
func (s Slot) Conn() coffer.Conn {
	return coffer.Conn{
		Socket: s.Socket, Host: "127.0.0.1", Port: s.Port,
		CredentialsFile: s.file("credentials.cnf"), DataDir: s.DataDir,
	}
}

// slot is where an instance's slot lies, without port and users.
func (h *Host) slot(id coffer.InstanceID) Slot {
	dir := filepath.Join(h.cfg.Root, string(id))
	return Slot{Instance: id, Dir: dir, DataDir: filepath.Join(dir, "data"), Socket: filepath.Join(dir, "run", "sock")}
}

// Prepare makes an empty slot: folders, a uid when root, and a port that is free
// on loopback and stays kept for it. Port 0 picks one; another port is used or
// refused. A slot that exists is KindExists.
func (h *Host) Prepare(ctx context.Context, id coffer.InstanceID, port int) (Slot, error) {
	const op = "prepare a folder for the server"
	if err := checkID(id); err != nil {
		return Slot{}, err
	}
	unlock, err := lock(ctx, filepath.Join(h.cfg.Root, ".lock"))
	if err != nil {
		return Slot{}, coffer.Wrap(op, err)
	}
	defer unlock()
	s := h.slot(id)
	if _, err := os.Lstat(s.Dir); err == nil {
		return Slot{}, coffer.E(coffer.KindExists, op, "%s exists", s.Dir)
	}
	others, err := h.Slots()
	if err != nil {
		return Slot{}, coffer.Wrap(op, err)
	}
	if s.UID, s.GID, err = h.pickUser(others); err != nil {
		return Slot{}, err
	}
	k, port, err := h.pickPort(others, port)
	if err != nil {
		return Slot{}, err
	}
	s.Port = port
	if err := h.makeDirs(s); err != nil {
		k.close()
		return Slot{}, coffer.Wrap(op, err)
	}
	h.mu.Lock()
	h.ports[id] = k
	h.mu.Unlock()
	return s, nil
}

// makeDirs builds the slot beside its place and moves it there whole. The caller
// holds the root's lock, so what lies there from before was left by a crash.
func (h *Host) makeDirs(s Slot) error {
	final := s.Dir
	s.Dir = filepath.Join(h.cfg.Root, ".new")
	stale, err := filepath.Glob(filepath.Join(h.cfg.Root, deadPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range append(stale, s.Dir) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := mkdir(s.Dir, 0o711); err != nil {
		return err
	}
	for _, name := range []string{"data", "run", "tmp"} {
		if err := mkdir(s.file(name), 0o700); err != nil {
			return err
		}
		if err := h.give(s, s.file(name)); err != nil {
			return err
		}
	}
	if err := mkdir(s.file("plugins"), 0o555); err != nil {
		return err
	}
	if err := writeJSON(s.file("slot.json"), s); err != nil {
		return err
	}
	return os.Rename(s.Dir, final)
}

// mkdir makes a folder whose mode does not depend on the umask.
func mkdir(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// give makes the slot's user the owner of path.
func (h *Host) give(s Slot, path string) error {
	if !h.root {
		return nil
	}
	return os.Lchown(path, s.UID, s.GID)
}

// pickUser is the lowest uid of our range that no slot and no account has.
func (h *Host) pickUser(others []Slot) (uid, gid int, err error) {
	if !h.root {
		return os.Getuid(), os.Getgid(), nil
	}
	taken := map[int]bool{}
	for _, o := range others {
		taken[o.UID] = true
	}
	for uid := h.cfg.UIDBase; uid < h.cfg.UIDBase+uidCount; uid++ {
		if taken[uid] {
			continue
		}
		if _, err := user.LookupId(strconv.Itoa(uid)); err != nil {
			return uid, uid, nil
		}
	}
	return 0, 0, coffer.E(coffer.KindQuota, "pick a user for the server", "all %d uids from %d are taken", uidCount, h.cfg.UIDBase).
		WithHint("remove instances, or set another first uid")
}

// Slots lists the slots under the root, running or not, in the order of ids.
func (h *Host) Slots() ([]Slot, error) {
	entries, err := os.ReadDir(h.cfg.Root)
	if err != nil {
		return nil, coffer.Wrap("list the hosted servers", err)
	}
	var all []Slot
	for _, e := range entries {
		id := coffer.InstanceID(e.Name())
		if checkID(id) != nil {
			continue
		}
		s, err := h.load(id)
		if coffer.IsKind(err, coffer.KindNotFound, coffer.KindForbidden) {
			continue // not a slot of ours
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// load reads a slot's marker. A folder without one, or with one that somebody
// else could have written, is KindForbidden: it is not ours.
func (h *Host) load(id coffer.InstanceID) (Slot, error) {
	const op = "look at the server's folder"
	if err := checkID(id); err != nil {
		return Slot{}, err
	}
	s := h.slot(id)
	fi, err := os.Lstat(s.Dir)
	if os.IsNotExist(err) {
		return Slot{}, coffer.E(coffer.KindNotFound, op, "there is no %s", s.Dir)
	} else if err != nil {
		return Slot{}, coffer.Wrap(op, err)
	}
	marker, err := os.Lstat(s.file("slot.json"))
	if !fi.IsDir() || err != nil || !marker.Mode().IsRegular() || !owned(fi) || !owned(marker) {
		return Slot{}, coffer.E(coffer.KindForbidden, op, "%s was not made by this host", s.Dir).
			WithHint("look at it and move it away by hand")
	}
	found := s
	if err := readJSON(s.file("slot.json"), &found); err != nil {
		return Slot{}, coffer.Wrap(op, err)
	}
	if found.Instance != id {
		return Slot{}, coffer.E(coffer.KindForbidden, op, "%s belongs to instance %q", s.Dir, found.Instance)
	}
	return found, nil
}

func owned(fi os.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

func checkID(id coffer.InstanceID) error {
	if !coffer.IsUUID(string(id)) || strings.ToLower(string(id)) != string(id) {
		return coffer.E(coffer.KindInvalid, "check the instance's id", "%q is no lower-case UUID", id)
	}
	return nil
}
