package histories

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/guard"
	"github.com/cofferdb/coffer/internal/testenv"
)

// restore restores a chain merged and judges it; stepwise as well, if it is the
// last of its chain or all are wanted. Where both ways work they must give the same.
func (h *history) restore(t *testing.T, chain []taken, last bool) {
	merged, err := h.by(t, engine.Merged, chain)
	if err != nil {
		t.Errorf("seed %d, merged: %v", h.seed, err)
		keepChain(t, h.seed, chain)
	}
	if len(chain) == 1 || !last && !h.heavy {
		return
	}
	stepwise, err := h.by(t, engine.Stepwise, chain)
	var refused *cannot
	switch {
	case errors.As(err, &refused):
		t.Logf("seed %d: the stock way does not restore it: %v", h.seed, err)
	case err != nil:
		t.Errorf("seed %d, step by step: %v", h.seed, err)
	case merged != nil:
		if d := cmp.Diff(stepwise, merged); d != "" {
			t.Errorf("seed %d: step by step and merged differ: %s", h.seed, d)
		}
	}
}

// cannot says that a restore was refused or failed, loudly.
type cannot struct{ error }

// by restores in a way, starts a server on it, and gives the checksums of all tables.
func (h *history) by(t *testing.T, way engine.Way, chain []taken) (map[string]uint64, error) {
	dir, target := newTarget(t)
	defer os.RemoveAll(dir)
	target.Way = way
	var layers []engine.Layer
	for _, b := range chain {
		layers = append(layers, b.layer)
	}
	if err := h.restorer.Restore(t.Context(), target, layers); err != nil {
		said, _ := exec.Command("grep", "-hE", "ERROR|FATAL|Warning", h.words).Output()
		return nil, &cannot{fmt.Errorf("%w; the tool said: %s", err, said[max(0, len(said)-3000):])}
	}
	opts, err := h.engine.ServerOptions(target.Dir)
	if err != nil {
		return nil, err
	}
	var lines []string
	for key, value := range maps.All(opts) {
		lines = append(lines, key+" = "+value)
	}
	s := testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: target.Dir, LogFileMB: 48, ExtraConfig: lines})
	defer s.Kill()
	db := s.DB(t)
	return chain[len(chain)-1].link.judge(t.Context(), db)
}

// newTarget makes an empty folder that the server's account may come to.
func newTarget(t *testing.T) (parent string, target engine.Target) {
	t.Helper()
	parent, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		t.Fatal(err)
	}
	target.Dir = filepath.Join(parent, "data")
	if err := errors.Join(os.Chmod(parent, 0o755), os.Mkdir(target.Dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		u, err := user.Lookup("mysql")
		if err != nil {
			t.Fatal(err)
		}
		target.UID, _ = strconv.Atoi(u.Uid)
		target.GID, _ = strconv.Atoi(u.Gid)
	}
	return parent, target
}

// overheard is an engine for restores; what its tool says is kept in a file.
func overheard(t *testing.T, words *string) *mysql.Engine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cf") // open to the account that the tool runs as
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	*words = filepath.Join(dir, "words")
	tool := filepath.Join(dir, "tool")
	script := "#!/bin/bash\nmariadb-backup \"$@\" 2> >(tee " + *words + " >&2)\n"
	err = errors.Join(os.Chmod(dir, 0o777), os.WriteFile(tool, []byte(script), 0o755), os.WriteFile(*words, nil, 0o666), os.Chmod(*words, 0o666))
	if err != nil {
		t.Fatal(err)
	}
	e, err := mysql.New(mysql.Config{Guard: guard.Self(), Tools: mysql.Tools{Backup: tool}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
