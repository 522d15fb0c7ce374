package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
)

// Stop ends the slot's server in order and keeps its data. The wish is written
// down first, so the server is not started again whatever happens to us.
func (h *Host) Stop(ctx context.Context, id coffer.InstanceID) error {
	s, unlock, err := h.hold(ctx, id)
	if err != nil {
		return coffer.Wrap("stop the server", err)
	}
	defer unlock()
	return coffer.Wrap("stop the server", h.stop(ctx, s, h.end))
}

// stop notes that the server is not wanted and ends it, gently or not.
func (h *Host) stop(ctx context.Context, s Slot, end func(context.Context, process) error) error {
	st, err := readState(s)
	if err != nil {
		return err
	}
	p, running := locate(s, st)
	st.Wanted = false
	if err := writeState(s, st); err != nil {
		return err
	}
	h.forget(s.Instance)
	if !running {
		return nil
	}
	return end(ctx, p)
}

// endUnwanted ends a server that nobody wants. One whose first start was never
// finished is half-made and dies at once: it may be recovering for long, and does
// not listen before it is done. Another one holds data, and stops in order.
func (h *Host) endUnwanted(ctx context.Context, st state, p process) error {
	if st.Account {
		return h.end(ctx, p)
	}
	return h.kill(ctx, p)
}

// end asks p to stop, waits, and kills it when the bound has passed. When ctx
// ends first, p has been asked and that is all.
func (h *Host) end(ctx context.Context, p process) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return gone(err)
	}
	_ = p.signal(syscall.SIGCONT) // a stopped process cannot stop
	for deadline := time.Now().Add(h.cfg.StopWithin); time.Now().Before(deadline); {
		if !p.same() {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return coffer.E(coffer.KindUnavailable, "wait for the server's end", "process %d still runs: %w", p.PID, err)
		}
	}
	return h.kill(ctx, p)
}

// kill ends p as a power cut would, and waits until it is gone.
func (h *Host) kill(ctx context.Context, p process) error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return gone(err)
	}
	for range 1000 {
		if !p.same() {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			break
		}
	}
	return coffer.E(coffer.KindUnavailable, "kill the server", "process %d does not end", p.PID).
		WithHint("its disk may hang; try again later")
}

func gone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Remove kills the slot's server, whose data goes anyway, and deletes the slot. An
// absent slot is no error; a folder that this host did not make is refused. The
// marker goes last and with the name, so that a removal that was cut short can be
// repeated.
func (h *Host) Remove(ctx context.Context, id coffer.InstanceID) error {
	const op = "remove the server"
	s, unlock, err := h.hold(ctx, id)
	if coffer.IsKind(err, coffer.KindNotFound) {
		h.forget(id)
		return nil
	}
	if err != nil {
		return coffer.Wrap(op, err)
	}
	defer unlock()
	if err := h.stop(ctx, s, h.kill); err != nil {
		return coffer.Wrap(op, err)
	}
	h.unclaim(id)
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	for _, e := range entries {
		if e.Name() == "slot.json" {
			continue
		}
		if err := os.RemoveAll(s.file(e.Name())); err != nil {
			return coffer.Wrap(op, err)
		}
	}
	dead := filepath.Join(h.cfg.Root, deadPrefix+string(id))
	if err := os.Rename(s.Dir, dead); err != nil {
		return coffer.Wrap(op, err)
	}
	return coffer.Wrap(op, os.RemoveAll(dead))
}

// deadPrefix begins the name of what a crash may leave of a removed slot: a
// marker and an empty folder. The next Prepare takes it away.
const deadPrefix = ".dead-"
