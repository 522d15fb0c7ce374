package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/trove"
)

// manager is a service manager's socket, and what it has heard.
func manager(t *testing.T, dir string) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return path, func() string {
		b := make([]byte, 512)
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// stopping is a server with a backup that stands still in its middle.
type stopping struct {
	t              *testing.T
	program, state string
	server         *exec.Cmd
	log            bytes.Buffer
	next           func() string // of the service manager
	holder         *sql.Conn
	backup         string
}

func newStopping(t *testing.T) *stopping {
	t.Helper()
	dir, err := os.MkdirTemp("", "cf")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &stopping{t: t, program: filepath.Join(dir, "coffer"), state: filepath.Join(dir, "s")}
	if out, err := exec.Command("go", "build", "-o", s.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var path string
	path, s.next = manager(t, dir)
	src := testenv.MariaDB(t, testenv.MariaDBOptions{})
	s.start("NOTIFY_SOCKET="+path, "WATCHDOG_USEC=100000")
	if got := s.next(); !strings.HasPrefix(got, "READY=1\n") {
		t.Errorf("first it says %q", got)
	}
	if got := s.next(); got != "WATCHDOG=1" {
		t.Errorf("then it says %q", got)
	}
	s.run("instance", "register", "shop", "--socket", src.Socket, "--credentials", src.CredentialsFile)
	s.hold(src)
	return s
}

func (s *stopping) start(env ...string) {
	s.t.Helper()
	os.Remove(filepath.Join(s.state, "endpoint"))
	c := exec.Command(s.program, "--state", s.state, "server", "--listen", "127.0.0.1:0")
	c.Env = append(os.Environ(), env...)
	c.Stdout, c.Stderr = &s.log, &s.log
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.server = c
	s.t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		if s.t.Failed() {
			s.t.Log(s.log.String())
		}
	})
}

func (s *stopping) run(args ...string) []byte {
	s.t.Helper()
	c := exec.Command(s.program, append([]string{"--state", s.state, "-o", "json"}, args...)...)
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("coffer %v: %v\n%s", args, err, out)
	}
	return out
}

// hold takes a backup that the stage of another one holds in its middle.
func (s *stopping) hold(src *testenv.Server) {
	s.t.Helper()
	var err error
	if s.holder, err = src.DB(s.t).Conn(s.t.Context()); err == nil {
		_, err = s.holder.ExecContext(s.t.Context(), "BACKUP STAGE START")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	var b trove.Backup
	if err := json.Unmarshal(s.run("backup", "create", "shop"), &b); err != nil {
		s.t.Fatal(err)
	}
	s.backup = b.ID
	poll(s.waits, func() { s.t.Fatal("the backup does not begin") })
}

func (s *stopping) release() {
	s.t.Helper()
	if _, err := s.holder.ExecContext(s.t.Context(), "BACKUP STAGE END"); err != nil {
		s.t.Fatal(err)
	}
}

// waits reports whether another connection waits for a backup stage.
func (s *stopping) waits() bool {
	s.t.Helper()
	return waitsForStage(s.t, s.holder)
}

// ends waits for the server's end.
func (s *stopping) ends() error {
	s.t.Helper()
	end := make(chan error, 1)
	go func() { end <- s.server.Wait() }()
	select {
	case err := <-end:
		return err
	case <-time.After(30 * time.Second):
		s.t.Fatal("it does not stop")
		return nil
	}
}

// ask asks the server to stop, and waits until it says that it does.
func (s *stopping) ask() {
	s.t.Helper()
	if err := s.server.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	for got := s.next(); got != "STOPPING=1"; got = s.next() {
		if got != "WATCHDOG=1" {
			s.t.Errorf("it says %q", got)
		}
	}
}

func needStopping(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program and runs servers")
	}
	testenv.Need(t, "mariadb-backup")
}

// A server that is asked to stop in the middle of a backup finishes it, answers
// meanwhile, and begins no other. Its service manager is told that it is ready, that
// it lives, and that it stops.
func TestStopFinishesTheBackup(t *testing.T) {
	t.Parallel()
	needStopping(t)
	s := newStopping(t)
	s.ask()
	s.run("instance", "list") // it answers while it stops
	s.release()
	if err := s.ends(); err != nil {
		t.Errorf("its end: %v", err)
	}
	if !strings.Contains(s.log.String(), "those that run are finished") {
		t.Error("it does not say what it waits for")
	}
	names, err := filepath.Glob(filepath.Join(s.state, "store", "default", "database_backups", s.backup+".manifest.json"))
	if err != nil || len(names) != 1 {
		t.Errorf("the backup was not finished: %v, %v", names, err)
	}
}

// A second signal ends it at once; the backup is FAILED after the next start, leaves
// nothing readable, and the instance takes another one.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	needStopping(t)
	s := newStopping(t)
	s.ask()
	poll(func() bool { _ = s.server.Process.Signal(syscall.SIGTERM); return !alive(s.server.Process.Pid) }, func() { t.Fatal("it lives on") })
	if err := s.ends(); err == nil {
		t.Error("it ended as if nothing had been left")
	}
	s.release()
	s.start()
	poll(func() bool { return exists(filepath.Join(s.state, "endpoint")) }, func() { t.Fatal("it does not start again") })
	poll(func() bool { return strings.Contains(string(s.run("backup", "show", s.backup)), `"FAILED"`) }, func() { t.Error("the backup is not settled") })
	s.run("backup", "create", "shop", "--wait")
	if names, err := filepath.Glob(filepath.Join(s.state, "store", "default", "database_backups", s.backup+".manifest.json")); err != nil || len(names) != 0 {
		t.Errorf("the failed backup can be read: %v, %v", names, err)
	}
	if err := s.server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.ends(); err != nil {
		t.Errorf("its end: %v", err)
	}
}

// alive reports whether a child of ours runs that nobody has waited for.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(b, []byte(") Z "))
}
