package host

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

// deaf is a program that takes a server's place, never answers and does not stop
// when it is asked to.
func deaf(t *testing.T) string {
	t.Helper()
	path := filepath.Join(newRoot(t), "mariadbd")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ntrap '' TERM\nwhile :; do kill -STOP $$; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// halfMade is a host with a server in a start that nobody finishes: the agent was
// killed.
func halfMade(t *testing.T) (*Host, Slot, process) {
	t.Helper()
	h := setup(t, Config{Mariadbd: deaf(t), StopWithin: time.Minute})
	s, err := h.Prepare(t.Context(), newID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s, unlock, err := h.hold(t.Context(), s.Instance)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	st, err := h.begin(s, state{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server runs", func() bool { return st.serves(s) })
	return h, s, st.process
}

// A half-made server is nobody's: it is killed at once by whoever meets it, and not
// asked for a minute.
func TestHalfMadeServerDiesAtOnce(t *testing.T) {
	t.Parallel()
	for name, meet := range map[string]func(h *Host, id coffer.InstanceID) error{
		"adopt":  func(h *Host, _ coffer.InstanceID) error { _, err := h.Adopt(t.Context()); return err },
		"remove": func(h *Host, id coffer.InstanceID) error { return h.Remove(t.Context(), id) },
		"start": func(h *Host, id coffer.InstanceID) error {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			s, err := h.load(id)
			if err != nil {
				return err
			}
			if _, err := h.Start(ctx, s, nil); err == nil {
				t.Error("a server that does not answer was started")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, s, p := halfMade(t)
			begin := time.Now()
			if err := meet(h, s.Instance); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took > 10*time.Second || p.same() {
				t.Errorf("after %v the server runs: %v", took, p.same())
			}
			if other, runs := findServer(s); runs {
				t.Errorf("another one runs: %v", other)
			}
		})
	}
}
