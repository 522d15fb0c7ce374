package host

import (
	"context"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
)

// Install fills an empty slot with a new, empty database instead of a restored
// one. Its root account comes in by the socket and the system user only.
func (h *Host) Install(ctx context.Context, s Slot, opts map[string]string) error {
	const op = "install an empty database"
	s, unlock, err := h.hold(ctx, s.Instance)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	defer unlock()
	program := h.cfg.InstallDB
	if program == "" {
		if program, err = look("mariadb-install-db"); err != nil {
			return coffer.Wrap(op, err)
		}
	}
	if entries, err := os.ReadDir(s.DataDir); err != nil || len(entries) > 0 {
		return coffer.E(coffer.KindConflict, op, "%s is not empty", s.DataDir)
	}
	cnf, err := optionFile(s, opts)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if err := writeFile(s.file("my.cnf"), cnf, 0o644); err != nil {
		return coffer.Wrap(op, err)
	}
	log, err := openLog(s)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	defer log.Close()
	args := []string{"--defaults-file=" + s.file("my.cnf"), "--datadir=" + s.DataDir, "--skip-test-db", "--force"}
	if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
		args = append(args, "--auth-root-socket-user="+u.Username)
	}
	cmd := h.command(ctx, s, log, program, args...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // its session's group
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return coffer.E(coffer.KindTool, op, "%w; its log says:\n%s", err, logTail(s))
	}
	return nil
}
