package host

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"
)

// helperRoot asks this binary to be an agent that starts a server and ends.
const helperRoot = "COFFER_HOST_TEST_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(helperRoot); root != "" {
		if err := startAndLeave(root); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func startAndLeave(root string) error {
	h, err := New(Config{Root: root})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := h.Prepare(ctx, coffer.InstanceID(coffer.NewUUID()), 0)
	if err == nil {
		err = h.Install(ctx, s, nil)
	}
	if err == nil {
		_, err = h.Start(ctx, s, nil)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s.Instance)
}

// newRoot is a short path that every user can pass through.
func newRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ch")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// setup makes a host whose servers are gone when the test ends.
func setup(t *testing.T, cfg Config) *Host {
	t.Helper()
	testenv.Need(t, "mariadbd", "mariadb-install-db")
	if cfg.Root == "" {
		cfg.Root = newRoot(t)
	}
	if cfg.StopWithin == 0 {
		cfg.StopWithin = 20 * time.Second
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		slots, err := h.Slots()
		if err != nil {
			t.Errorf("list the slots: %v", err)
		}
		for _, s := range slots {
			if err := h.Remove(context.Background(), s.Instance); err != nil {
				t.Errorf("remove %s: %v", s.Instance, err)
			}
		}
	})
	return h
}

func newID() coffer.InstanceID { return coffer.InstanceID(coffer.NewUUID()) }

// prepared is a slot with an empty database in it.
func prepared(t *testing.T, h *Host) Slot {
	t.Helper()
	s, err := h.Prepare(t.Context(), newID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Install(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// open connects as the agent's account, with what the credentials file says.
func open(t *testing.T, c coffer.Conn, network string) *sql.DB {
	t.Helper()
	b, err := os.ReadFile(c.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	cfg := mysql.NewConfig()
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch k {
		case "user":
			cfg.User = v
		case "password":
			cfg.Passwd = v
		}
	}
	cfg.Net, cfg.Addr = network, c.Socket
	if network == "tcp" {
		cfg.Addr = fmt.Sprintf("%s:%d", c.Host, c.Port)
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

// eventually polls until ok, with a deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}
