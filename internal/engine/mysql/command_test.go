package mysql

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

func TestOptionsAreReadAsTheClientsDo(t *testing.T) {
	t.Parallel()
	got, err := parseOptions(strings.NewReader(strings.Join([]string{
		"# comment", "; another", "[mysqld]", "user = server", "[client]", "user=me # the backup account",
		`password = "a#b\"c\\d"`, "[mariadb-backup]", "socket= '/run/my sock' ", "flag",
	}, "\n")))
	want := map[string]string{"user": "me", "password": `a#b"c\d`, "socket": "/run/my sock", "flag": ""}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
	if _, err := parseOptions(strings.NewReader("!include /etc/my.cnf")); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("an included file: %v", err)
	}
}

func TestAnyPasswordSurvivesTheOptionFile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := login{user: rapid.String().Draw(t, "user"), password: rapid.String().Draw(t, "password"), socket: "/s"}
		if strings.ContainsAny(l.user+l.password, "\x00") {
			t.Skip("no option file holds NUL")
		}
		got, err := parseOptions(strings.NewReader(l.options("/data", "xtrabackup")))
		if err != nil || got["user"] != l.user || got["password"] != l.password || got["socket"] != "/s" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestCredentialsFileMustBePrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.cnf")
	if err := os.WriteFile(path, []byte("[client]\nuser=u\npassword=p\nport=3307\nhost=127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := readLogin(coffer.Conn{CredentialsFile: path})
	if want := (login{user: "u", password: "p", host: "127.0.0.1", port: 3307}); err != nil || l != want {
		t.Errorf("%+v, %v", l, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := readLogin(coffer.Conn{CredentialsFile: path}); !coffer.IsKind(err, coffer.KindInvalid) || !strings.Contains(coffer.HintOf(err), "chmod") {
		t.Errorf("a file that others can read: %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLogin(coffer.Conn{CredentialsFile: fifo}); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a pipe: %v", err)
	}
	if l, err := readLogin(coffer.Conn{Socket: "/run/sock"}); err != nil || l.user != ownName() || l.user == "" {
		t.Errorf("without a credentials file the login is %q, %v", l.user, err)
	}
	if _, err := readLogin(coffer.Conn{Socket: "run/sock"}); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a relative socket: %v", err)
	}
}

func TestDeadRunsAreRemovedAndLivingOnesAreNot(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	living, err := newRunDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := newRunDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	dead.lock.Close() // as the kernel does for a killed process
	if _, err := dead.writeOptions("password=x"); err != nil {
		t.Fatal(err)
	}
	next, err := newRunDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead.path); !os.IsNotExist(err) {
		t.Errorf("the dead run's secrets are still there: %v", err)
	}
	for _, r := range []*runDir{living, next} {
		if _, err := os.Stat(r.target()); err != nil {
			t.Errorf("a living run was swept: %v", err)
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestToolMustNotBeOlderThanTheServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tool string
		kind coffer.Kind
		warn int
	}{{"10.11.8", coffer.KindUnprocessable, 0}, {"10.11.9", "", 0}, {"10.11.10", "", 0}, {"10.6.99", coffer.KindUnprocessable, 0}, {"11.4.1", "", 1}} {
		path := filepath.Join(t.TempDir(), "tool")
		script := "#!/bin/sh\necho mariadb-backup based on MariaDB server " + c.tool + "-MariaDB Linux\n"
		if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		e := &Engine{cfg: Config{Tools: Tools{Backup: path}}}
		l := sight{dialect: dialectOf(engine.MariaBackup), server: server{version: version{10, 11, 9}}}
		err := e.findTool(context.Background(), &l)
		if coffer.KindOf(err) != c.kind || len(l.facts.Warnings) != c.warn {
			t.Errorf("tool %s for server 10.11.9: %v, warnings %v", c.tool, err, l.facts.Warnings)
		}
	}
}

func TestVersionIDIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	a, b := versionID("mariadb", version{10, 11, 1}), versionID("mariadb", version{10, 11, 19})
	if a != b || !coffer.IsUUID(a) || a == versionID("mariadb", version{10, 6, 1}) {
		t.Errorf("%s, %s", a, b)
	}
}

func TestGTIDHistory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gtid, state string
		want        bool
	}{
		{"0-1-5", "0-1-5", true}, {"0-1-5", "0-1-9,1-1-2", true}, {"0-1-5", "0-1-4", false},
		{"0-1-5", "0-2-9", false}, {"0-1-5", "", false}, {"1-1-2", "0-1-9,1-1-2", true},
	} {
		if got := inHistory(c.gtid, c.state); got != c.want {
			t.Errorf("%s in %q: %v", c.gtid, c.state, got)
		}
	}
	if !sameGTIDs("0-1-5, 1-2-3", "1-2-3,0-1-5") || sameGTIDs("0-1-5", "0-1-5,1-1-1") || sameGTIDs("0-1-5", "") {
		t.Error("positions are compared wrongly")
	}
}
