package testenv

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer/internal/child"
)

// process is one run of a program: started, and waited for by one goroutine.
type process struct {
	pid  int
	done chan struct{} // closed when it was waited for
}

// startProcess runs cmd in a process group of its own, as somebody else if we are
// root. With dieWithUs the kernel ends it when this process dies.
func startProcess(cmd *exec.Cmd, uid, gid int, dieWithUs bool) (*process, error) {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	p := &process{done: make(chan struct{})}
	start := child.StartFree
	if dieWithUs {
		start = child.Start
	}
	err := start(cmd, func() {
		_ = cmd.Wait() // how it ended is no matter; that it did is
		close(p.done)
	})
	if err == nil {
		p.pid = cmd.Process.Pid
	}
	return p, err
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// start runs mariadbd and waits until it answers.
func (s *Server) start() error {
	cmd := exec.Command(s.program, "--defaults-file="+s.Config)
	cmd.Dir = s.Dir
	p, err := startProcess(cmd, s.uid, s.gid, !s.keep)
	if err != nil {
		return err
	}
	s.run = p
	db := s.open()
	defer db.Close()
	deadline := time.Now().Add(30 * time.Second)
	for p.running() && time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err = db.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.end(syscall.SIGKILL)
	return fmt.Errorf("it does not answer (last try: %v); the end of its log:\n%s", err, s.logTail())
}

func (s *Server) logTail() string {
	b, _ := os.ReadFile(s.ErrorLog)
	return string(b[max(0, len(b)-4000):])
}

func (s *Server) open() *sql.DB {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = "root", "unix", s.Socket
	cfg.MultiStatements, cfg.Logger = true, &mysql.NopLogger{}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		panic(err) // the configuration above is constant
	}
	return sql.OpenDB(c)
}

// DB is a pool of connections as root, closed with the test. Statements may be
// several in one string.
func (s *Server) DB(t testing.TB) *sql.DB {
	t.Helper()
	db := s.open()
	t.Cleanup(func() { db.Close() })
	return db
}

// Exec runs statements as root, each on the same connection.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	db := s.open()
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), strings.Join(statements, ";\n")); err != nil {
		t.Fatalf("%s: %v", strings.Join(statements, "; "), err)
	}
}

func (s *Server) addBackupUser() error {
	db := s.open()
	defer db.Close()
	var b strings.Builder
	for _, host := range []string{"localhost", "127.0.0.1"} {
		who := fmt.Sprintf("'%s'@'%s'", BackupUser, host)
		fmt.Fprintf(&b, "CREATE USER %s IDENTIFIED BY '%s';", who, BackupPassword)
		fmt.Fprintf(&b, "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, SUPER, REPLICA MONITOR ON *.* TO %s;", who)
	}
	_, err := db.Exec(strings.TrimSuffix(b.String(), ";"))
	return err
}

// Pid is the server's process id; 0 when it was never started.
func (s *Server) Pid() int {
	if s.run == nil {
		return 0
	}
	return s.run.pid
}

// Stop shuts the server down in order and waits for its end.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server as a power cut would.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Restart stops the server, if it runs, and starts it on the same folder, socket
// and port.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	if err := s.start(); err != nil {
		s.t.Fatalf("restart mariadbd: %v", err)
	}
}

func (s *Server) end(sig syscall.Signal) {
	if s.run == nil || !s.run.running() {
		return
	}
	_ = syscall.Kill(s.run.pid, sig)
	_ = syscall.Kill(s.run.pid, syscall.SIGCONT) // a stopped server cannot end in order
	select {
	case <-s.run.done:
	case <-time.After(60 * time.Second):
		_ = syscall.Kill(s.run.pid, syscall.SIGKILL)
		<-s.run.done
	}
}
