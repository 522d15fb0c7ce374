package host

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/go-sql-driver/mysql"
)

// Start writes the slot's option file, starts a server on its data and returns
// when the server answers to the agent's account. From then on it is wanted: Run
// keeps it running until Stop. A server that ends or stays silent is ended, and
// the error holds the last lines of its log. A server that already runs is only
// waited for. Options outside [AllowedOption] are refused.
func (h *Host) Start(ctx context.Context, s Slot, opts map[string]string) (coffer.Conn, error) {
	const op = "start the server"
	s, unlock, err := h.hold(ctx, s.Instance)
	if err != nil {
		return coffer.Conn{}, coffer.Wrap(op, err)
	}
	defer unlock()
	st, err := readState(s)
	if err != nil {
		return coffer.Conn{}, coffer.Wrap(op, err)
	}
	p, running := locate(s, st)
	if running && !st.Wanted { // of a start that nobody finished
		if err := h.endUnwanted(ctx, st, p); err != nil {
			return coffer.Conn{}, coffer.Wrap(op, err)
		}
		running = false
	}
	if !running {
		if st, err = h.begin(s, st, opts); err != nil {
			return coffer.Conn{}, coffer.Wrap(op, err)
		}
	}
	if err := h.await(ctx, s, st.process); err != nil {
		return coffer.Conn{}, errors.Join(err, h.giveUp(ctx, s, st))
	}
	st.Wanted, st.Account = true, true
	if err := errors.Join(writeState(s, st), removeInit(s)); err != nil {
		return coffer.Conn{}, errors.Join(coffer.Wrap(op, err), h.giveUp(ctx, s, st))
	}
	h.remember(s, st, true)
	h.cfg.Log.Info("server started", "instance", s.Instance, "pid", st.PID, "port", s.Port)
	return s.Conn(), nil
}

// begin writes the files that a start needs and launches the server. The port's
// keeper goes at the last moment.
func (h *Host) begin(s Slot, st state, opts map[string]string) (state, error) {
	cnf, err := optionFile(s, opts)
	if err != nil {
		return st, err
	}
	if err := writeFile(s.file("my.cnf"), cnf, 0o644); err != nil {
		return st, err
	}
	st.Args = []string{"--defaults-file=" + s.file("my.cnf"), "--datadir=" + s.DataDir}
	var once []string
	if !st.Account {
		initFile, err := h.newAccount(s)
		if err != nil {
			return st, err
		}
		once = append(once, "--init-file="+initFile)
	}
	h.releasePort(s.Instance)
	return h.launch(s, st, once...)
}

// launch starts the server's process and writes down which it is. Before that it
// forgets the last one, so that a crash in between is seen as what it is.
func (h *Host) launch(s Slot, st state, once ...string) (state, error) {
	st.process, st.Started = process{}, time.Now()
	if err := writeState(s, st); err != nil {
		return st, err
	}
	log, err := openLog(s)
	if err != nil {
		return st, err
	}
	defer log.Close()
	args := append(append([]string(nil), st.Args...), once...)
	cmd := h.command(context.Background(), s, log, h.cfg.Mariadbd, args...)
	if err := cmd.Start(); err != nil {
		return st, err
	}
	st.process, err = identify(cmd.Process.Pid)
	if err == nil {
		err = writeState(s, st)
	}
	if err != nil { // it must not run unknown
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return st, err
	}
	return st, cmd.Process.Release()
}

// await returns when p answers to the agent's account.
func (h *Host) await(ctx context.Context, s Slot, p process) error {
	const op = "wait for the server"
	ctx, cancel := context.WithTimeout(ctx, h.cfg.ReadyWithin)
	defer cancel()
	for {
		if !p.same() {
			return coffer.E(coffer.KindTool, op, "it ended; its log says:\n%s", logTail(s)).
				WithHint("the whole log is %s", s.file("server.log"))
		}
		err := ping(ctx, s)
		if err == nil {
			return nil
		}
		if denied(err) {
			return coffer.E(coffer.KindTool, op, "it refuses the agent's account: %w; its log says:\n%s", err, logTail(s)).
				WithHint("the init file did not run: the restored system tables may be of another version")
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return coffer.E(coffer.KindOf(ctx.Err()), op, "it does not answer (%w); its log says:\n%s", err, logTail(s)).
				WithHint("the whole log is %s", s.file("server.log"))
		}
	}
}

// giveUp ends a server whose start failed, whatever became of ctx.
func (h *Host) giveUp(ctx context.Context, s Slot, st state) error {
	st.Wanted = false
	h.forget(s.Instance)
	return errors.Join(writeState(s, st), h.endUnwanted(context.WithoutCancel(ctx), st, st.process), removeInit(s))
}

func removeInit(s Slot) error {
	if err := os.Remove(s.file("init.sql")); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// denied reports whether a server answered and refused the account.
func denied(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && (e.Number == 1045 || e.Number == 1698 || e.Number == 1130 || e.Number == 4151)
}
