package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/child"
)

const (
	loadSocket = "load.sock" // in the data folder, which nobody else may enter
	loadReady  = time.Minute
	loadStop   = 5 * time.Minute
)

// command is a program that runs as the target's owner, in the target, in a group
// of its own that does not outlive us.
func (l *loader) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = l.target.Dir
	// A server that starts removes what looks like a temporary table in its folder of
	// temporary files, also another server's.
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C", "TMPDIR=" + l.target.Dir}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(l.target.UID), Gid: uint32(l.target.GID)}}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// finish runs a command to its end; its error has what it said last.
func finish(ctx context.Context, op string, cmd *exec.Cmd) error {
	words := &lastBytes{max: 2 << 10}
	cmd.Stderr = words
	done := make(chan error, 1)
	err := child.Start(cmd, func() { done <- cmd.Wait() })
	if err == nil {
		err = <-done
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return coffer.Wrap(op, context.Cause(ctx))
	}
	said := strings.TrimSpace(words.String())
	if strings.Contains(said, "No space left on device") || strings.Contains(said, "(errno: 28") {
		return coffer.E(coffer.KindNoSpace, op, "the target's disk is full: %s", said).WithHint("free some space, or give another folder")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return coffer.Wrap(op, err) // of what was to be read
	}
	return coffer.E(coffer.KindTool, op, "%w: %s", err, said)
}

func (l *loader) install(ctx context.Context) error {
	cmd := l.command(ctx, l.tools.Install, "--defaults-file="+filepath.Join(l.target.Dir, optionsFile), "--datadir="+l.target.Dir,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", "--force")
	return finish(ctx, "install an empty database", cmd)
}

// loadServer is the server that a dump goes into.
type loadServer struct {
	cmd   *exec.Cmd
	words *lastBytes
	ended chan struct{}
	err   error // after ended
	dir   *os.File
	db    *sql.DB
	conn  *sql.Conn // held from before the dump: it stays who it is
}

// start starts the server, without network, binary log, event scheduler and
// plugins (nothing can be put into its folder for them), and waits until it answers. It
// syncs nothing: the restore does that once, at its end, and starts anew after a crash.
func (l *loader) start(ctx context.Context, more ...string) (*loadServer, error) {
	const op = "start a server for the dump"
	dir, err := os.Open(l.target.Dir)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	s := &loadServer{words: &lastBytes{max: 4 << 10}, ended: make(chan struct{}), dir: dir}
	args := append([]string{"--defaults-file=" + filepath.Join(l.target.Dir, optionsFile),
		"--datadir=" + l.target.Dir, "--socket=" + loadSocket, "--skip-networking", "--skip-log-bin", "--skip-slave-start",
		"--event-scheduler=OFF", "--plugin-dir=/proc", "--secure-file-priv=" + l.target.Dir, "--local-infile=OFF",
		"--max-allowed-packet=1G", "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--debug-no-sync",
		"--pid-file=load.pid", "--console"}, more...)
	s.cmd = l.command(context.WithoutCancel(ctx), l.tools.Server, args...)
	s.cmd.Stderr = s.words
	if err := child.Start(s.cmd, func() { s.err = s.cmd.Wait(); close(s.ended) }); err != nil {
		dir.Close()
		return nil, coffer.Wrap(op, err)
	}
	if err := s.await(ctx); err != nil {
		return nil, errors.Join(coffer.Wrap(op, err), s.stop(true))
	}
	return s, nil
}

// await connects. The socket's path may be too long for a name; through the
// folder's descriptor it is short.
func (s *loadServer) await(ctx context.Context) error {
	cfg := driver.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = "root", "unix", fmt.Sprintf("/proc/self/fd/%d/%s", s.dir.Fd(), loadSocket)
	cfg.Logger = &driver.NopLogger{}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return err
	}
	s.db = sql.OpenDB(connector)
	ctx, stop := context.WithTimeout(ctx, loadReady)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.conn, err = s.db.Conn(ctx); err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return coffer.E(coffer.KindTool, "", "it ended (%v): %s", s.err, s.words.String())
		case <-ctx.Done():
			return coffer.Wrap("", errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}

// stop ends the server: in order, or at once when nothing of it is kept.
func (s *loadServer) stop(discard bool) error {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.db != nil {
		s.db.Close()
	}
	defer s.dir.Close()
	sig := syscall.SIGTERM
	if discard {
		sig = syscall.SIGKILL
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, sig) // it may have ended
	late := time.NewTimer(loadStop)
	defer late.Stop()
	select {
	case <-s.ended:
	case <-late.C:
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.ended
	}
	if !discard && s.err != nil {
		return coffer.E(coffer.KindTool, "end the dump's server", "%w: %s", s.err, s.words.String())
	}
	return nil
}

// feed streams the dump through one session of the stock client, which may do
// nothing on this machine and stops at the first error with its line.
func (l *loader) feed(ctx context.Context, text io.Reader) error {
	cmd := l.command(ctx, l.tools.Client, "--no-defaults", "--user=root", "--socket="+loadSocket, "--binary-mode", "--batch", "--sandbox",
		"--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--init-command=SET SESSION sql_log_bin=0")
	cmd.Stdin = io.TeeReader(&counted{r: text, restorer: l.restorer}, readAlong{l.marks})
	if err := finish(ctx, "run the dump's statements", cmd); err != nil {
		return err
	}
	if len(l.target.Databases) > 0 {
		return nil // the index says where its sections end
	}
	return l.marks.whole()
}

// readAlong lets the marks see what passes.
type readAlong struct{ marks *dumpMarks }

// Write reads p.
func (r readAlong) Write(p []byte) (int, error) {
	r.marks.read(p)
	return len(p), nil
}

// accounts closes what the installation has left open, unless the dump brought
// accounts of its own.
func (l *loader) accounts(ctx context.Context, s *loadServer) error {
	if l.marks.holds("mysql") {
		return nil
	}
	for _, q := range []string{
		"DELETE FROM mysql.global_priv WHERE User = '' OR User = 'root' AND Host <> 'localhost'",
		"FLUSH PRIVILEGES",
		"ALTER USER root@localhost IDENTIFIED VIA unix_socket",
	} {
		if _, err := s.conn.ExecContext(ctx, q); err != nil {
			return coffer.Wrap("close the new server's accounts", err)
		}
	}
	return nil
}
