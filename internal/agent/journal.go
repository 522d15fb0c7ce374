package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
)

// entry is what an agent must know of a job after a restart. Its runner is the
// life that began it: the next life ends the job in that name.
type entry struct {
	Job    coffer.JobID      `json:"job"`
	Runner coffer.Runner     `json:"runner"`
	Begun  time.Time         `json:"begun"`
	Kind   coffer.JobKind    `json:"kind,omitempty"`
	Commit bool              `json:"commit,omitempty"` // commit was sent
	Slot   coffer.InstanceID `json:"slot,omitempty"`   // a restore's half-made server
	Files  *files            `json:"files,omitempty"`  // a restore's half-made folder
	Table  *tableWork        `json:"table,omitempty"`  // one table's restore
	Ended  *ended            `json:"ended,omitempty"`  // what is left is to say so
}

// ended is a last word that was not yet answered.
type ended struct {
	Outcome string `json:"outcome"`
	Kind    string `json:"kind,omitempty"`
	Error   string `json:"error,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// A restore's new server.
	Conn      *coffer.Conn      `json:"conn,omitempty"`
	Datastore *coffer.Datastore `json:"datastore,omitempty"`
}

// journal keeps one fsynced file for each entry. It is small: jobs that run now.
type journal struct {
	mu  sync.Mutex
	dir string
}

func openJournal(state string) (*journal, error) {
	dir := filepath.Join(state, "journal")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, coffer.E(coffer.KindInternal, "make the journal's folder", "%w", err).
			WithHint("give the agent a state folder that it can write")
	}
	return &journal{dir: dir}, nil
}

func (j *journal) path(id coffer.JobID) string {
	return filepath.Join(j.dir, strings.ReplaceAll(string(id), "/", "_")+".json")
}

func (j *journal) put(e entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return writeDurably(j.path(e.Job), b)
}

// drop forgets an entry, unless a later life has taken the job up in its place.
func (j *journal) drop(e entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	now, err := readEntry(j.path(e.Job))
	if errors.Is(err, fs.ErrNotExist) || err == nil && now.Runner != e.Runner {
		return nil
	}
	err = os.Remove(j.path(e.Job))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func readEntry(path string) (e entry, err error) {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	return e, err
}

func (j *journal) all() ([]entry, error) {
	names, err := filepath.Glob(filepath.Join(j.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, n := range names {
		e, err := readEntry(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its job has ended meanwhile
		}
		if err != nil {
			return nil, coffer.E(coffer.KindCorrupt, "read the journal", "%s: %w", n, err).
				WithHint("move the file away; the control plane will settle the job by looking")
		}
		out = append(out, e)
	}
	return out, nil
}

// writeDurably replaces a small file: temp beside it, fsync, rename, fsync of the
// folder.
func writeDurably(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error is told
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
