package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The account in [Server.CredentialsFile]. Its password is a word that a test
// can look for in places where it must not be.
const (
	BackupUser     = "coffer_backup"
	BackupPassword = "hidden-word-71c5"
)

// MariaDBOptions say what a private server is like. The zero value is a small
// fresh server without a binary log.
type MariaDBOptions struct {
	LogBin      bool     // write a binary log
	LogFileMB   int      // capacity of the redo log in MiB; 0 is 16
	ExtraConfig []string // further lines of the [mariadbd] section
	DataDir     string   // start on this folder (its owner runs the server) and leave it afterwards; "" is a fresh one
	KeepRunning bool     // do not end the server with the test: whoever asked ends it by Pid
}

// Server is one private mariadbd.
type Server struct {
	Dir             string // everything of this server but a reused data folder
	DataDir         string
	Socket          string // absolute
	Port            int    // on 127.0.0.1
	Config          string // its option file
	ErrorLog        string
	CredentialsFile string // option file, 0600: an account with the rights a backup needs

	t        testing.TB
	program  string
	uid, gid int
	keep     bool
	run      *process
}

// MariaDB starts a private server and ends it with the test. The account root
// has no password and comes in by the socket only ([Server.DB]).
func MariaDB(t testing.TB, o MariaDBOptions) *Server {
	t.Helper()
	program := Need(t, "mariadbd", "mariadb-install-db")[0]
	s, err := layOut(o)
	if err != nil {
		t.Fatalf("prepare a private mariadbd: %v", err)
	}
	s.t, s.program, s.keep = t, program, o.KeepRunning
	if !o.KeepRunning {
		t.Cleanup(func() {
			s.Kill()
			os.RemoveAll(s.Dir)
		})
	}
	for try := 0; ; try++ {
		if err = s.configure(o); err == nil {
			err = s.start()
		}
		if err == nil {
			break
		}
		if try == 2 || !strings.Contains(err.Error(), "Address already in use") {
			t.Fatalf("start a private mariadbd: %v", err)
		}
	}
	if o.DataDir == "" {
		if err := s.addBackupUser(); err != nil {
			t.Fatalf("add the backup account: %v", err)
		}
	}
	return s
}

// layOut makes the server's folder; a fresh data folder comes from the template.
func layOut(o MariaDBOptions) (*Server, error) {
	uid, gid, err := owner()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Dir: dir, DataDir: o.DataDir, uid: uid, gid: gid,
		Socket: filepath.Join(dir, "run", "sock"), Config: filepath.Join(dir, "my.cnf"),
		ErrorLog:        filepath.Join(dir, "run", "error.log"),
		CredentialsFile: filepath.Join(dir, "backup.cnf"),
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	for _, sub := range []string{"run", "tmp"} {
		path := filepath.Join(dir, sub)
		if err := os.Mkdir(path, 0o755); err != nil {
			return nil, err
		}
		if err := chown(path, uid, gid); err != nil {
			return nil, err
		}
	}
	if o.DataDir != "" {
		s.uid, s.gid, err = ownerOf(o.DataDir, uid, gid)
		if err == nil {
			err = chownAll(s.uid, s.gid, filepath.Join(dir, "run"), filepath.Join(dir, "tmp"))
		}
		return s, err
	}
	s.DataDir = filepath.Join(dir, "data")
	files, err := freshDataDir()
	if err != nil {
		return nil, err
	}
	return s, writeTree(s.DataDir, files, uid, gid)
}

// configure picks a free port and writes the two option files.
func (s *Server) configure(o MariaDBOptions) error {
	ports, err := loopbackPorts(1)
	if err != nil {
		return err
	}
	s.Port = ports[0]
	if o.LogFileMB == 0 {
		o.LogFileMB = 16
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[mariadbd]\ndatadir = %s\nsocket = %s\nport = %d\nserver-id = %d\n", s.DataDir, s.Socket, s.Port, s.Port)
	fmt.Fprintf(&b, "log-error = %s\ntmpdir = %s\n", s.ErrorLog, filepath.Join(s.Dir, "tmp"))
	fmt.Fprintf(&b, "pid-file = %s\ninnodb_log_file_size = %dM\n", filepath.Join(s.Dir, "run", "pid"), o.LogFileMB)
	b.WriteString(smallServer)
	if o.LogBin {
		fmt.Fprintf(&b, "log-bin = %s\nbinlog-format = ROW\n", filepath.Join(s.DataDir, "binlog"))
	}
	for _, line := range o.ExtraConfig {
		b.WriteString(line + "\n")
	}
	if err := os.WriteFile(s.Config, []byte(b.String()), 0o644); err != nil {
		return err
	}
	cred := fmt.Sprintf("[client]\nuser = %s\npassword = %s\n", BackupUser, BackupPassword)
	return os.WriteFile(s.CredentialsFile, []byte(cred), 0o600)
}

// smallServer keeps a test's server small and quick; durability is not at test.
const smallServer = `bind-address = 127.0.0.1
innodb_buffer_pool_size = 32M
innodb_flush_log_at_trx_commit = 2
sync_binlog = 0
key_buffer_size = 1M
aria_pagecache_buffer_size = 1M
performance_schema = OFF
skip-name-resolve
max_connections = 60
`
