package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/trove"
)

// Each role is a process of its own, and they may start in any order: without a
// broker the API answers, and takes work that goes out by itself when the broker
// comes. Two APIs and one Idempotency-Key make one backup.
func TestRolesAreProcesses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program and runs servers")
	}
	testenv.Need(t, "mariadb-backup", "mariadbd")
	f := newFleet(t)
	f.servers(plain, testenv.RabbitMQOptions{}, testenv.PostgresOptions{})
	src := testenv.MariaDB(t, testenv.MariaDBOptions{})
	src.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.t (i INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO shop.t VALUES (1), (2), (3)")
	f.broker.Drop()
	first, second := f.api("api1"), f.api("api2")
	for _, role := range []string{"taskmanager", "conductor", "agent"} {
		f.start(role, role)
	}
	if out := f.coffer(first, "backup", "list"); strings.TrimSpace(out) != "[]" {
		t.Fatalf("without a broker: %s", out)
	}
	f.broker.Resume()
	for _, role := range []string{"taskmanager", "conductor", "agent"} {
		f.says(role, "works")
	}
	poll(func() bool { return strings.Contains(f.coffer(second, "agent", "list"), `"free_bytes"`) }, func() { t.Fatal("no agent is heard") })
	f.coffer(first, "instance", "register", "shop", "--socket", src.Socket, "--credentials", src.CredentialsFile)
	f.coffer(second, "backup", "create", "shop", "--wait")

	f.broker.Drop()
	ids := make([]trove.Backup, 2)
	var wg sync.WaitGroup
	for i, url := range []string{first, second} {
		wg.Go(func() {
			began := time.Now()
			out := f.coffer(url, "backup", "create", "shop", "--name", "night", "--idempotency-key", "k1")
			if err := json.Unmarshal([]byte(out), &ids[i]); err != nil {
				t.Errorf("%v in %s", err, out)
			}
			t.Logf("without a broker a create was answered after %v", time.Since(began).Round(time.Millisecond))
		})
	}
	wg.Wait()
	if ids[0].ID == "" || ids[0].ID != ids[1].ID {
		t.Fatalf("one key made %q and %q", ids[0].ID, ids[1].ID)
	}
	f.broker.Resume()
	f.coffer(first, "backup", "wait", ids[0].ID)
	if out := f.coffer(first, "sweep"); !strings.Contains(out, `"places": 1`) {
		t.Errorf("an API alone sweeps: %s", out)
	}
	out := f.coffer(second, "restore", ids[0].ID, "--name", "copy")
	if !strings.Contains(out, `"socket"`) {
		t.Errorf("the restore gave %s", out)
	}
	f.survives(out)
	f.coffer(first, "instance", "delete", "copy")
	poll(func() bool {
		left, err := filepath.Glob(filepath.Join(f.dir, "agent", "hosted", "*-*"))
		return err == nil && len(left) == 0
	}, func() { t.Error("the deleted instance's server stays") })
	for _, name := range []string{"agent", "taskmanager", "conductor", "api1", "api2"} {
		f.stop(name)
	}
}

// Agents of other machines join with a token, over TLS everywhere, and prove who they
// are: one beside a database backs it up, another restores it. A token works once.
func TestAgentsJoin(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program and runs servers")
	}
	testenv.Need(t, "mariadb-backup", "mariadbd")
	f := newFleet(t)
	f.certify("rabbit", "records", "api")
	address := freeAddress(t)
	f.servers(strings.ReplaceAll(secure, "ADDRESS", address), testenv.RabbitMQOptions{
		Management: true, TLS: &testenv.BrokerTLS{CA: f.ca("ca.crt"), Cert: f.ca("rabbit.crt"), Key: f.ca("rabbit.key")},
	}, testenv.PostgresOptions{CertFile: f.ca("records.crt"), KeyFile: f.ca("records.key")})
	src := testenv.MariaDB(t, testenv.MariaDBOptions{})
	for _, role := range []string{"api", "taskmanager", "conductor"} {
		f.start(role, role)
		f.says(role, "coffer ")
	}
	url := "https://" + address
	token := f.token(url, "instance", "register", "shop", "--socket", src.Socket, "--credentials", src.CredentialsFile, "--join")
	f.join("joined", token)
	if out, err := exec.Command(f.program, "--state", filepath.Join(f.dir, "thief"), "agent", "join", token).CombinedOutput(); err == nil {
		t.Errorf("a token works twice: %s", out)
	}
	f.join("host", f.token(url, "agent", "invite"))
	poll(func() bool { return strings.Contains(f.coffer(url, "instance", "show", "shop"), `"ACTIVE"`) }, func() { t.Fatal("the instance is not looked at") })
	f.coffer(url, "backup", "create", "shop", "--wait")
	var list []trove.Backup
	if err := json.Unmarshal([]byte(f.coffer(url, "backup", "list")), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	poll(func() bool { return strings.Count(f.coffer(url, "agent", "list"), `"free_bytes"`) == 2 }, func() { t.Fatal("two agents are not heard") })
	f.coffer(url, "restore", list[0].ID, "--name", "copy")
	f.coffer(url, "instance", "delete", "copy")
	poll(func() bool {
		left, err := filepath.Glob(filepath.Join(f.dir, "host", "hosted", "*-*"))
		return err == nil && len(left) == 0
	}, func() { t.Error("the deleted instance's server stays") })
	id, err := os.ReadFile(filepath.Join(f.dir, "host", "agent", "id"))
	if err != nil {
		t.Fatal(err)
	}
	f.stop("host")
	f.coffer(url, "agent", "dismiss", strings.TrimSpace(string(id)))
	for _, name := range []string{"joined", "conductor", "taskmanager", "api"} {
		f.stop(name)
	}
}
