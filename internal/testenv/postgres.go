package testenv

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// The account of every private PostgreSQL. Its password is a word that a test can
// look for in places where it must not be.
const (
	PostgresUser     = "coffer_records"
	PostgresPassword = "hidden-word-40d2"
)

// PostgresOptions say what a private server is like. The zero value is a small
// fresh server that asks for the password and speaks in the clear.
type PostgresOptions struct {
	CertFile, KeyFile string   // PEM: TLS, and nothing but TLS
	ExtraConfig       []string // further lines of postgresql.conf
}

// Postgres is one private PostgreSQL.
type Postgres struct {
	Dir     string // everything of this server
	DataDir string
	Port    int // on 127.0.0.1
	Log     string

	program  string
	uid, gid int
	made     atomic.Int64
	run      *process
}

// PostgreSQL starts a private server and ends it with the test.
func PostgreSQL(t testing.TB, o PostgresOptions) *Postgres {
	t.Helper()
	if _, err := lookPostgres("postgres"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("PostgreSQL is not installed, and with CI=true it must be: %v", err)
		}
		t.Skipf("PostgreSQL is not installed: %v", err)
	}
	s, err := StartPostgreSQL(o)
	if err != nil {
		t.Fatalf("start a private PostgreSQL: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// StartPostgreSQL is PostgreSQL for whoever has no test, such as a TestMain; it
// calls Close at the end.
func StartPostgreSQL(o PostgresOptions) (*Postgres, error) {
	s, err := layOutPostgres(o)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		if err = s.configure(o); err == nil {
			err = s.Start()
		}
		if err == nil {
			return s, nil
		}
		if try == 2 || !strings.Contains(err.Error(), "Address already in use") {
			s.Close()
			return nil, err
		}
	}
}

// Close ends the server at once and removes its folder.
func (s *Postgres) Close() {
	s.end(syscall.SIGQUIT)
	os.RemoveAll(s.Dir)
}

// URL is the address of one of the server's databases, without the password.
func (s *Postgres) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(PostgresUser), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), Path: "/" + database}
	return u.String()
}

// Database makes an empty database for a test and gives its address.
func (s *Postgres) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("t%d", s.made.Add(1))
	db, err := s.open("postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	return s.URL(name)
}

// Exec runs statements in the database "postgres".
func (s *Postgres) Exec(t testing.TB, statements ...string) {
	t.Helper()
	db, err := s.open("postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, one := range statements {
		if _, err := db.ExecContext(t.Context(), one); err != nil {
			t.Fatalf("%s: %v", one, err)
		}
	}
}

// open comes in by the socket, whatever the server asks on the network.
func (s *Postgres) open(database string) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", s.socketDir(), s.Port, PostgresUser, database))
	if err != nil {
		return nil, err
	}
	cfg.Password = PostgresPassword
	return stdlib.OpenDB(*cfg), nil
}

func (s *Postgres) socketDir() string { return filepath.Join(s.Dir, "run") }

// Pid is the server's process id; 0 when it was never started.
func (s *Postgres) Pid() int {
	if s.run == nil {
		return 0
	}
	return s.run.pid
}

// Stop shuts the server down in order: sessions are ended, what is committed stays.
func (s *Postgres) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server as a power cut would.
func (s *Postgres) Kill() { s.end(syscall.SIGKILL) }

func (s *Postgres) end(sig syscall.Signal) {
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

// errPostgres joins what a step said with the end of the server's log.
func (s *Postgres) errPostgres(err error) error {
	b, _ := os.ReadFile(s.Log)
	return errors.Join(err, errors.New("the end of its log:\n"+string(b[max(0, len(b)-4000):])))
}
