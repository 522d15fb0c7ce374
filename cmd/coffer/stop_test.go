package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
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

// A server that is asked to stop in the middle of a backup finishes it, answers
// meanwhile, and begins no other. Its service manager is told that it is ready, that
// it lives, and that it stops.
func TestStopFinishesTheBackup(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program and runs servers")
	}
	testenv.Need(t, "mariadb-backup")
	dir, err := os.MkdirTemp("", "cf")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program, state := filepath.Join(dir, "coffer"), filepath.Join(dir, "s")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	path, next := manager(t, dir)
	src := testenv.MariaDB(t, testenv.MariaDBOptions{})
	run := func(args ...string) []byte {
		t.Helper()
		c := exec.Command(program, append([]string{"--state", state, "-o", "json"}, args...)...)
		out, err := c.Output()
		if err != nil {
			t.Fatalf("coffer %v: %v\n%s", args, err, out)
		}
		return out
	}
	var log bytes.Buffer
	server := exec.Command(program, "--state", state, "server", "--listen", "127.0.0.1:0")
	server.Env = append(os.Environ(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=100000")
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	if got := next(); !strings.HasPrefix(got, "READY=1\n") {
		t.Errorf("first it says %q", got)
	}
	if got := next(); got != "WATCHDOG=1" {
		t.Errorf("then it says %q", got)
	}
	run("instance", "register", "shop", "--socket", src.Socket, "--credentials", src.CredentialsFile)

	// The stage of another backup holds this one in its middle.
	conn, err := src.DB(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BACKUP STAGE START"); err != nil {
		t.Fatal(err)
	}
	var b trove.Backup
	if err := json.Unmarshal(run("backup", "create", "shop"), &b); err != nil {
		t.Fatal(err)
	}
	poll(func() bool { return waits(t, conn) }, func() { t.Fatal("the backup does not begin") })
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for got := next(); got != "STOPPING=1"; got = next() {
		if got != "WATCHDOG=1" {
			t.Errorf("it says %q", got)
		}
	}
	run("instance", "list") // it answers while it stops
	if _, err := conn.ExecContext(t.Context(), "BACKUP STAGE END"); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- server.Wait() }()
	select {
	case err := <-end:
		if err != nil {
			t.Errorf("its end: %v\n%s", err, log.String())
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not stop")
	}
	if !strings.Contains(log.String(), "those that run are finished") {
		t.Errorf("it does not say what it waits for:\n%s", log.String())
	}
	names, err := filepath.Glob(filepath.Join(state, "store", "default", "database_backups", b.ID+".manifest.json"))
	if err != nil || len(names) != 1 {
		t.Errorf("the backup was not finished: %v, %v\n%s", names, err, log.String())
	}
}

// waits reports whether another connection waits for a backup stage.
func waits(t *testing.T, conn *sql.Conn) bool {
	t.Helper()
	var n int
	err := conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'BACKUP STAGE START%' AND id <> CONNECTION_ID()").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}
