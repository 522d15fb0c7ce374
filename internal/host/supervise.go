package host

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// Running is one wanted server as the host sees it now.
type Running struct {
	Slot
	PID      int
	Alive    bool // its process exists
	Up       bool // it runs and has answered
	Started  time.Time
	Restarts int    // by this host, since it knows the server
	Error    string // why the last restart failed; "" is none
}

// server is what this process knows beyond the slot's files.
type server struct {
	slot     Slot
	state    state
	up       bool
	restarts int
	fails    int       // restarts since the last calm minute: sets the pause
	next     time.Time // not before
	err      string
}

const (
	calm     = time.Minute // a server that ran this long starts with short pauses again
	maxPause = 60          // × Backoff

	adoptPatience = 3 * time.Second // with who holds a slot: another host that adopts it is quick
)

// remember puts a server under supervision.
func (h *Host) remember(s Slot, st state, up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.servers[s.Instance]
	if !ok {
		v = &server{slot: s}
		h.servers[s.Instance] = v
	}
	v.state, v.up = st, up
}

func (h *Host) forget(id coffer.InstanceID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.servers, id)
}

// Running lists the wanted servers that this host has started or adopted, in the
// order of their ids.
func (h *Host) Running() []Running {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]Running, 0, len(h.servers))
	for _, v := range h.servers {
		all = append(all, Running{
			Slot: v.slot, PID: v.state.PID, Alive: v.state.same(), Up: v.up, Started: v.state.Started, Restarts: v.restarts, Error: v.err,
		})
	}
	slices.SortFunc(all, func(a, b Running) int { return strings.Compare(string(a.Instance), string(b.Instance)) })
	return all
}

// Adopt is the first act of a new agent, and of Run. Servers that run and are wanted are
// taken over; wanted ones that do not run are started (they count as Up once Run
// has seen them answer); a server whose start was never finished is ended. It
// returns the wanted ones. Slots that somebody else holds are left to them.
func (h *Host) Adopt(ctx context.Context) ([]Running, error) {
	slots, err := h.Slots()
	if err != nil {
		return nil, err
	}
	var bad []error
	for _, s := range slots {
		if err := h.adopt(ctx, s); err != nil {
			bad = append(bad, coffer.Wrap("adopt the server of instance "+string(s.Instance), err))
		}
	}
	return h.Running(), errors.Join(bad...)
}

func (h *Host) adopt(ctx context.Context, s Slot) error {
	patience, cancel := context.WithTimeout(ctx, adoptPatience)
	defer cancel()
	_, unlock, err := h.hold(patience, s.Instance)
	if coffer.IsKind(err, coffer.KindBusy, coffer.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	h.claim(s)
	st, err := readState(s)
	if err != nil {
		return err
	}
	p, running := locate(s, st)
	switch {
	case !st.Wanted && running:
		return errors.Join(h.endUnwanted(ctx, st, p), removeInit(s))
	case !st.Wanted:
		return removeInit(s)
	case running:
		recorded := st.process == p
		st.process = p
		h.remember(s, st, ping(ctx, s) == nil)
		if recorded {
			return nil
		}
		return writeState(s, st)
	}
	h.remember(s, st, false)
	h.restart(s)
	return nil
}

// Run adopts what it finds and looks after the wanted servers until ctx ends: one
// that died is started again, with pauses that double up to a bound. A wanted
// server is never ended.
func (h *Host) Run(ctx context.Context) error {
	if _, err := h.Adopt(ctx); err != nil { // the others are looked after all the same
		h.cfg.Log.Error("not every server could be adopted", "err", err)
	}
	tick := time.NewTicker(h.cfg.Check)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		h.mu.Lock()
		slots := make([]Slot, 0, len(h.servers))
		for _, v := range h.servers {
			slots = append(slots, v.slot)
		}
		h.mu.Unlock()
		for _, s := range slots {
			h.watch(ctx, s)
		}
	}
}

// watch is one look at one server.
func (h *Host) watch(ctx context.Context, s Slot) {
	h.mu.Lock()
	v, ok := h.servers[s.Instance]
	if !ok {
		h.mu.Unlock()
		return
	}
	st, wasUp, due := v.state, v.up, !time.Now().Before(v.next)
	h.mu.Unlock()
	if st.same() {
		h.alive(ctx, s, st, wasUp)
		return
	}
	if wasUp {
		h.cfg.Log.Warn("server ended", "instance", s.Instance, "pid", st.PID, "log", logTail(s))
		h.change(s, func(v *server) { v.up = false })
	}
	if !due {
		return
	}
	if unlock, ok := tryLock(s.file("lock")); ok {
		defer unlock()
		h.restart(s)
	}
}

// alive notes that a server answers, and that it has been calm.
func (h *Host) alive(ctx context.Context, s Slot, st state, wasUp bool) {
	if !wasUp {
		err := ping(ctx, s)
		if err != nil && !denied(err) {
			return
		}
		h.cfg.Log.Info("server answers", "instance", s.Instance, "pid", st.PID)
	}
	h.change(s, func(v *server) {
		v.up, v.err = true, ""
		if time.Since(st.Started) > calm {
			v.fails = 0
		}
	})
}

// restart launches a wanted server that does not run. The caller holds the
// slot's lock; the files decide, since another host may have been here.
func (h *Host) restart(s Slot) {
	st, err := readState(s)
	if err == nil && !st.Wanted {
		h.forget(s.Instance)
		return
	}
	if err == nil {
		if p, ok := locate(s, st); ok {
			st.process = p
			h.remember(s, st, false)
			return
		}
		h.releasePort(s.Instance)
		st, err = h.launch(s, st)
	}
	h.change(s, func(v *server) {
		v.next = time.Now().Add(h.cfg.Backoff * time.Duration(min(1<<min(v.fails, 10), maxPause)))
		v.fails++
		v.restarts++
		v.err = ""
		if err != nil {
			v.err = err.Error()
			return
		}
		v.state, v.up = st, false
	})
	h.cfg.Log.Info("server started again", "instance", s.Instance, "pid", st.PID, "err", err)
}

func (h *Host) change(s Slot, f func(*server)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v, ok := h.servers[s.Instance]; ok {
		f(v)
	}
}
