package agent

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/message"
)

// files is what the journal keeps of a restore without a server: enough to take
// back what it made, and never what is somebody else's.
type files struct {
	Dir    string    `json:"dir"`
	Node   string    `json:"node"`            // which folder that was, whatever bears its name later
	Sealed time.Time `json:"sealed,omitzero"` // when all was in its place, by the folder's clock; zero is not yet
}

// discarder is an engine that can take a restore's files back: those of a folder
// that bears the mark of an unfinished restore, or was whole at sealed and of which
// nothing was changed since (else KindConflict).
type discarder interface {
	Discard(dir string, sealed time.Time) error
}

// restoreFiles fills an empty folder of this machine; no server is started.
func (a *Agent) restoreFiles(ctx context.Context, o message.Order, e *entry, d *diary, eng engine.Engine, layers []engine.Layer, total int64) (ended, error) {
	dir := o.Target.Dir
	if err := emptyDir(dir); err != nil {
		return ended{}, err
	}
	if err := a.room(dir, o); err != nil {
		return ended{}, err
	}
	node, err := nodeOf(dir)
	if err != nil {
		return ended{}, coffer.Wrap("look at the restore's folder", err)
	}
	e.Files = &files{Dir: dir, Node: node}
	if err := a.journal.put(*e); err != nil {
		return ended{}, coffer.Wrap("note the folder in the journal", err)
	}
	t := a.target(dir, o, d, total)
	t.UID, t.GID = filesOwner()
	t.Sealed = func(at time.Time) error {
		e.Files.Sealed = at
		err := a.journal.put(*e)
		a.step("sealed")
		return err
	}
	if err := eng.Restore(ctx, t, layers); err != nil {
		return ended{}, coffer.Wrap("restore into "+dir, err)
	}
	a.step("restored")
	return ended{Outcome: string(message.Ended)}, nil
}

// discard takes back the files of a restore that has failed in the end. What
// somebody has taken over since stays: it is theirs.
func (a *Agent) discard(f files) error {
	node, err := nodeOf(f.Dir)
	if os.IsNotExist(err) || err == nil && node != f.Node {
		return nil // another folder by now, or none
	}
	if err != nil {
		return coffer.Wrap("look at the restore's folder", err)
	}
	eng, err := a.Engines.Engine(coffer.Conn{})
	if err != nil {
		return coffer.Wrap("choose the engine", err)
	}
	dis, ok := eng.(discarder)
	if !ok {
		return nil
	}
	err = dis.Discard(f.Dir, f.Sealed)
	if coffer.IsKind(err, coffer.KindConflict) {
		a.Log.Warn("a restore counts as failed, and its files are in use: they are left", "dir", f.Dir, "err", err)
		return nil
	}
	return err
}

// nodeOf names a folder for as long as it exists.
func nodeOf(dir string) (string, error) {
	fi, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return "", coffer.E(coffer.KindUnsupported, "look at "+dir, "this system does not number its files")
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}
