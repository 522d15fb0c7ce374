package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
)

// look says what a restore here would meet.
func (a *Agent) look(ctx context.Context, r message.LookArgs) (message.LookReply, error) {
	if r.Target.Table != nil {
		return a.lookTable(ctx, r)
	}
	out := message.LookReply{Dir: r.Target.Dir, Tools: map[string]string{}, Stops: a.lookAtKeys(ctx, r)}
	if r.Target.Dir != "" {
		if err := peekEmpty(r.Target.Dir); err != nil {
			out.Stops = append(out.Stops, err.Error())
		}
	} else if a.Host == nil {
		out.Stops = append(out.Stops, "this agent does not run servers")
	} else {
		out.Dir = a.Host.Dir()
		if err := portFree(r.Target.Port); err != nil {
			out.Stops = append(out.Stops, err.Error())
		}
	}
	free, err := freeBytes(nearest(out.Dir))
	if err != nil {
		out.Stops = append(out.Stops, "cannot measure the free space of "+out.Dir+": "+err.Error())
	}
	out.Free = free
	eng, err := a.Engines.Engine(coffer.Conn{})
	if err != nil {
		out.Stops = append(out.Stops, err.Error())
		return out, nil
	}
	if t, ok := eng.(interface {
		Found() (map[string]string, []string)
	}); ok {
		var missing []string
		out.Tools, missing = t.Found()
		out.Stops = append(out.Stops, missing...)
	}
	return out, nil
}

// lookAtKeys says which backups of the chain could not be decrypted here.
func (a *Agent) lookAtKeys(ctx context.Context, r message.LookArgs) (stops []string) {
	tried := map[coffer.KeyID]bool{"": true}
	for _, l := range r.Chain {
		if tried[l.Key] {
			continue
		}
		tried[l.Key] = true
		p, err := a.place(ctx, l.Store, r.Project, l.Container)
		var ids []age.Identity
		if err == nil {
			ids, err = a.identities(ctx, p, l.Key)
		}
		switch {
		case err != nil:
			stops = append(stops, fmt.Sprintf("backup %s is encrypted: %v", l.Backup, err))
		case len(ids) == 0:
			stops = append(stops, fmt.Sprintf("backup %s is encrypted and the agent has no identity: start it with --identity FILE", l.Backup))
		}
	}
	return stops
}

// portFree says early what a new server's start would say; 0 is any port.
func portFree(port int) error {
	if port == 0 {
		return nil
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return coffer.E(coffer.KindConflict, "look at the new server's port", "port %d is in use; choose another, or 0 for any", port)
	}
	return ln.Close()
}

// peekEmpty is emptyDir without making anything.
func peekEmpty(dir string) error {
	const op = "look at the restore's folder"
	if !filepath.IsAbs(dir) {
		return coffer.E(coffer.KindInvalid, op, "%q is not an absolute path", dir)
	}
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	if len(list) > 0 {
		return coffer.E(coffer.KindConflict, op, "%s is not empty", dir)
	}
	return nil
}

// nearest is the deepest folder on the way to dir that exists.
func nearest(dir string) string {
	for dir != "/" && dir != "." {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}
