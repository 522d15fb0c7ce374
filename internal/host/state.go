package host

import (
	"context"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/cofferdb/coffer"
)

// state is what a slot's server should be and last was; it outlives the agent.
type state struct {
	Wanted  bool `json:"wanted"`  // somebody started it and nobody stopped it
	Account bool `json:"account"` // the agent's account is in it
	process
	Args    []string  `json:"args,omitempty"`
	Started time.Time `json:"started,omitzero"`
}

func readState(s Slot) (state, error) {
	var st state
	err := readJSON(s.file("state.json"), &st)
	if os.IsNotExist(err) {
		err = nil
	}
	return st, err
}

func writeState(s Slot, st state) error { return writeJSON(s.file("state.json"), st) }

// locate finds the slot's running server: the one written down, or one whose
// writing down a crash prevented.
func locate(s Slot, st state) (process, bool) {
	if st.serves(s) {
		return st.process, true
	}
	if st.PID != 0 || len(st.Args) == 0 { // it was written down and is gone, or never was one
		return process{}, false
	}
	return findServer(s)
}

// hold loads a slot and keeps everybody else from starting or ending its server.
func (h *Host) hold(ctx context.Context, id coffer.InstanceID) (Slot, func(), error) {
	s, err := h.load(id)
	if err != nil {
		return s, nil, err
	}
	unlock, err := lock(ctx, s.file("lock"))
	if err != nil {
		return s, nil, err
	}
	if _, err := h.load(id); err != nil { // removed while we waited
		unlock()
		return s, nil, err
	}
	return s, unlock, nil
}

// logLimit bounds a server's log: a start with a larger one begins a new log and
// keeps one old one.
const logLimit = 4 << 20

func openLog(s Slot) (*os.File, error) {
	path := s.file("server.log")
	if fi, err := os.Lstat(path); err == nil && fi.Size() > logLimit {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// logTail is the last lines of a server's log, made safe to print.
func logTail(s Slot) string {
	const size, lines = 4096, 15
	f, err := os.Open(s.file("server.log"))
	if err != nil {
		return "(no log)"
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Size() > size {
		_, _ = f.Seek(-size, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(f, size))
	text := strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(string(b), "?"))
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
