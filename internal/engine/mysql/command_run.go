package mysql

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
)

// runDir is a private folder of one run of a tool: its option file with the
// secrets, and its scratch space. It is locked as long as the run's process
// lives, so that what a killed process left can be told and removed.
type runDir struct {
	path string
	lock *os.File
}

const (
	runPrefix = "coffer-run-"
	opRunDir  = "make the run's private folder"
)

// newRunDir removes what dead runs have left under parent and makes a new one.
func newRunDir(parent string) (*runDir, error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, coffer.Wrap(opRunDir, err)
	}
	sweepRuns(parent)
	path, err := os.MkdirTemp(parent, runPrefix)
	if err != nil {
		return nil, coffer.Wrap(opRunDir, err)
	}
	lock, err := os.Open(path)
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(path, "target"), 0o700) // also proves that no sweep was quicker
	}
	if err != nil {
		os.RemoveAll(path)
		return nil, coffer.Wrap(opRunDir, err)
	}
	return &runDir{path: path, lock: lock}, nil
}

// sweepRuns removes the folders of runs whose process is gone. What cannot be
// removed now is tried again by the next run.
func sweepRuns(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), runPrefix) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		if _, err := os.Stat(filepath.Join(path, "target")); err != nil {
			continue // not ours, or just being made
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.RemoveAll(path)
		}
		f.Close()
	}
}

// writeOptions writes the option file and returns its path.
func (r *runDir) writeOptions(text string) (string, error) {
	path := filepath.Join(r.path, "options.cnf")
	return path, coffer.Wrap("write the tool's option file", os.WriteFile(path, []byte(text), 0o600))
}

func (r *runDir) target() string { return filepath.Join(r.path, "target") }

// close removes the folder.
func (r *runDir) close() error {
	err := os.RemoveAll(r.path)
	r.lock.Close()
	return coffer.Wrap("remove the run's private folder", err)
}
