package enginetest

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// Fake is an engine whose database is a list of rows. Its streams are JSON
// lines: the rows, then padding up to the wished size, then an end. The zero
// value works; the fields script what goes wrong and must not change while a
// call runs.
type Fake struct {
	Bytes      int64 // a full's stream is at least so long
	DeltaBytes int64 // an increment's; 0 is a tenth of Bytes
	Rate       int64 // bytes a second; 0 is as fast as it goes

	ProbeErr   error
	FailErr    error // Backup fails with it once FailAt bytes are out
	FailAt     int64
	At         func(ctx context.Context, plain int64) error // called before every 64 KiB: to wait, to fail, to kill
	Hold       time.Duration                                // how long "locks" are held, in phase "lock"
	NoNonce    bool                                         // "forget" to leave the nonce, as a killed backup does
	RestoreErr error

	// StateFile keeps the database over processes; "" keeps it in memory.
	StateFile string

	mu    sync.Mutex
	state fakeState
	ready bool
}

type fakeState struct {
	Rows     []string `json:"rows"`
	Nonces   []string `json:"nonces"`
	FirstLSN uint64   `json:"first_lsn"`
	LSN      uint64   `json:"lsn"` // 1000 + what was ever added
}

type fakeLine struct {
	Row  *string `json:"row,omitempty"`
	Pad  string  `json:"pad,omitempty"`
	From *int    `json:"from,omitempty"` // first line: rows that the base holds
	End  *int    `json:"end,omitempty"`  // last line: rows in all
}

// fakeFile is the name of the one file in a fake's stream and restored folder.
const fakeFile = "rows.json"

func (f *Fake) change(do func(*fakeState)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ready {
		f.state = fakeState{FirstLSN: 1000, LSN: 1000}
		if b, err := os.ReadFile(f.StateFile); f.StateFile != "" && err == nil {
			if err := json.Unmarshal(b, &f.state); err != nil {
				return err
			}
		}
		f.ready = true
	}
	do(&f.state)
	if f.StateFile == "" {
		return nil
	}
	b, err := json.Marshal(f.state)
	if err != nil {
		return err
	}
	return os.WriteFile(f.StateFile, b, 0o600)
}

func (f *Fake) look() (s fakeState, err error) {
	err = f.change(func(st *fakeState) {
		s = *st
		s.Rows, s.Nonces = slices.Clone(st.Rows), slices.Clone(st.Nonces)
	})
	return s, err
}

// Add writes rows into the fake database.
func (f *Fake) Add(rows ...string) error {
	return f.change(func(s *fakeState) {
		s.Rows = append(s.Rows, rows...)
		s.LSN += uint64(len(rows))
	})
}

// Rows is what the fake database holds.
func (f *Fake) Rows() ([]string, error) {
	s, err := f.look()
	return s.Rows, err
}

// Rollback puts the whole data folder back to what it was before its first
// backup: no increment can follow any earlier backup.
func (f *Fake) Rollback() error {
	return f.change(func(s *fakeState) { s.Nonces = nil })
}

// ReadRestored is what a Restore left in dir.
func ReadRestored(dir string) ([]string, error) {
	var rows []string
	b, err := os.ReadFile(filepath.Join(dir, fakeFile))
	if err != nil {
		return nil, err
	}
	return rows, json.Unmarshal(b, &rows)
}

// Probe gives made-up facts, and refuses a base that is not in the fake's past.
func (f *Fake) Probe(ctx context.Context, base engine.Base) (engine.Facts, error) {
	const op = "look at the server"
	if err := cmp.Or(ctx.Err(), f.ProbeErr); err != nil {
		return engine.Facts{}, coffer.Wrap(op, err)
	}
	s, err := f.look()
	if err != nil {
		return engine.Facts{}, err
	}
	if !base.Full() {
		if err := f.follows(s, base); err != nil {
			return engine.Facts{}, err
		}
	}
	return engine.Facts{
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11", VersionID: "5a2f8d0c-2b6e-4b53-9c1b-0f1a6f0a1011"},
		Tool:      "/fake/tool", ToolVer: "fake 1", DataDir: "/fake/data",
		DataBytes: max(f.Bytes, 1<<20), RedoBytes: 1 << 24,
		Position: coffer.Position{Lineage: coffer.Lineage{FirstLSN: s.FirstLSN}, ServerID: "1/fake", To: s.LSN, Last: s.LSN},
	}, nil
}

func (f *Fake) follows(s fakeState, base engine.Base) error {
	const op = "check the parent"
	at := base.Position
	why := ""
	switch {
	case !slices.Contains(s.Nonces, at.Lineage.Nonce):
		why = "the parent's nonce is not in the data folder"
	case at.Lineage.FirstLSN != s.FirstLSN:
		why = "the first LSN differs"
	case at.To > s.LSN:
		why = "the server is behind the parent"
	case len(base.Summary) == 0:
		why = "the parent's summary is missing"
	default:
		return nil
	}
	return coffer.E(coffer.KindNeedFull, op, "%s", why).WithHint("take a full backup")
}

// Backup streams the rows.
func (f *Fake) Backup(ctx context.Context, out engine.Sink, base engine.Base, opt engine.Options) (engine.Result, error) {
	s, err := f.look()
	if err != nil {
		return engine.Result{}, err
	}
	from, size, start := 0, f.Bytes, uint64(0)
	if !base.Full() {
		if err := f.follows(s, base); err != nil {
			return engine.Result{}, err
		}
		start, _ = base.Position.Start()
		from, size = int(base.Position.To-s.FirstLSN), cmp.Or(f.DeltaBytes, f.Bytes/10)
	}
	w := &fakeWriter{ctx: ctx, f: f, out: out, opt: opt, total: size}
	if err := f.stream(w, s, from, size); err != nil {
		return engine.Result{}, coffer.Wrap("run the fake tool", err)
	}
	pos := coffer.Position{
		Lineage: coffer.Lineage{Nonce: coffer.NewNonce(), FirstLSN: s.FirstLSN}, ServerID: "1/fake",
		From: start, To: s.LSN, RedoStart: s.LSN, Last: s.LSN, PageSize: 16384, ServerVersion: "10.11-fake",
	}
	if !f.NoNonce {
		err = f.change(func(st *fakeState) { st.Nonces = append(st.Nonces, pos.Lineage.Nonce) })
	}
	return engine.Result{
		Position: pos, Method: "mariabackup", Tool: "fake 1",
		Holds: engine.Holds{NonTrans: f.Hold, Commit: f.Hold}, Summary: []byte(`{"fake":1}`),
	}, err
}

var _ engine.Engine = (*Fake)(nil)
