package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// freshCluster is the content of a newly made PostgreSQL data folder. It is made
// once per process and never changed after that.
var freshCluster = sync.OnceValues(installCluster)

// lookPostgres finds a program of PostgreSQL, whose folder Debian keeps out of PATH.
func lookPostgres(program string) (string, error) {
	for _, version := range []string{"15", "16", "17"} {
		path := filepath.Join("/usr/lib/postgresql", version, "bin", program)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return Look(program)
}

// postgresOwner is whom PostgreSQL runs as: it refuses to be root.
func postgresOwner() (uid, gid int, err error) {
	if os.Getuid() != 0 {
		return os.Getuid(), os.Getgid(), nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return 0, 0, fmt.Errorf("the tests run as root and need an account to run PostgreSQL as: %w", err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid, nil
}

func installCluster() ([]templateFile, error) {
	tool, err := lookPostgres("initdb")
	if err != nil {
		return nil, err
	}
	uid, gid, err := postgresOwner()
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	password := filepath.Join(root, "password")
	if err := os.WriteFile(password, []byte(PostgresPassword+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := chownAll(uid, gid, root, password); err != nil {
		return nil, err
	}
	data, log := filepath.Join(root, "data"), filepath.Join(root, "log")
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(tool, "-D", data, "-U", PostgresUser, "-A", "scram-sha-256", "--pwfile="+password,
		"-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--wal-segsize=1")
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, out, out
	p, err := startProcess(cmd, uid, gid, true)
	if err != nil {
		return nil, err
	}
	<-p.done
	if !cmd.ProcessState.Success() {
		said, _ := os.ReadFile(log)
		return nil, fmt.Errorf("initdb: %s\n%s", cmd.ProcessState, said)
	}
	return readTree(data)
}

// layOutPostgres makes the server's folder, its data folder from the template.
func layOutPostgres(o PostgresOptions) (*Postgres, error) {
	program, err := lookPostgres("postgres")
	if err != nil {
		return nil, err
	}
	files, err := freshCluster()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		return nil, err
	}
	s := &Postgres{Dir: dir, DataDir: filepath.Join(dir, "data"), Log: filepath.Join(dir, "log"), program: program}
	if s.uid, s.gid, err = postgresOwner(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err = errors.Join(
		os.Chmod(dir, 0o755),
		os.Mkdir(s.socketDir(), 0o755),
		writeTree(s.DataDir, files, s.uid, s.gid),
		chownAll(s.uid, s.gid, s.socketDir()),
		s.copyKeys(o),
	); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// copyKeys gives the server a copy of its key that is its own.
func (s *Postgres) copyKeys(o PostgresOptions) error {
	if o.CertFile == "" {
		return nil
	}
	for name, from := range map[string]string{"server.crt": o.CertFile, "server.key": o.KeyFile} {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		to := filepath.Join(s.DataDir, name)
		if err := errors.Join(os.WriteFile(to, b, 0o600), chown(to, s.uid, s.gid)); err != nil {
			return err
		}
	}
	return nil
}

// configure picks a free port and writes the two configuration files.
func (s *Postgres) configure(o PostgresOptions) error {
	ports, err := loopbackPorts(1)
	if err != nil {
		return err
	}
	s.Port = ports[0]
	var b strings.Builder
	fmt.Fprintf(&b, "listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\n", s.Port, s.socketDir())
	b.WriteString(smallPostgres)
	kind := "host"
	if o.CertFile != "" {
		kind = "hostssl"
		b.WriteString("ssl = on\n")
	}
	for _, line := range o.ExtraConfig {
		b.WriteString(line + "\n")
	}
	access := "local all all scram-sha-256\n" + kind + " all all 127.0.0.1/32 scram-sha-256\n"
	for name, body := range map[string]string{"postgresql.conf": b.String(), "pg_hba.conf": access} {
		path := filepath.Join(s.DataDir, name)
		if err := errors.Join(os.WriteFile(path, []byte(body), 0o600), chown(path, s.uid, s.gid)); err != nil {
			return err
		}
	}
	return nil
}

// smallPostgres keeps a test's server small and quick; durability is not at test.
const smallPostgres = `fsync = off
shared_buffers = 16MB
max_connections = 100
autovacuum = off
logging_collector = off
min_wal_size = 2MB
max_wal_size = 256MB
`

// Start runs the server on its folder and port, and waits until it answers.
func (s *Postgres) Start() error {
	out, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(s.program, "-D", s.DataDir)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.DataDir, out, out
	if s.run, err = startProcess(cmd, s.uid, s.gid, true); err != nil {
		return err
	}
	db, err := s.open("postgres")
	if err != nil {
		return err
	}
	defer db.Close()
	deadline := time.Now().Add(30 * time.Second)
	for s.run.running() && time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err = db.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-s.run.done:
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.Kill()
	return s.errPostgres(fmt.Errorf("it does not answer (last try: %w)", err))
}
