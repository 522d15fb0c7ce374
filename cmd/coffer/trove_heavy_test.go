package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
)

// The steps of docs/operators/trove.md under a real Trove: what its guest was given is
// imported, the database is named, and "coffer agent" is the guest. What Trove's own
// client asks for ends COMPLETED in Trove's database, encrypted and plain.
func TestHeavyTroveRunsTheProgram(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("COFFER_HEAVY is not set: starts a real Trove")
	}
	testenv.Need(t, "mariadb-backup", "mariadbd", "/usr/bin/openstack")
	server := testenv.Trove(t, testenv.TroveOptions{Secure: true})
	for _, secure := range []bool{true, false} {
		t.Run(map[bool]string{true: "encrypted", false: "plain"}[secure], func(t *testing.T) {
			if !secure {
				if err := server.Start(testenv.TroveOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			underTrove(t, server, secure)
		})
	}
}

func underTrove(t *testing.T, server *testenv.TroveServer, secure bool) {
	src := testenv.MariaDB(t, testenv.MariaDBOptions{})
	src.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.t (i INT PRIMARY KEY, v LONGBLOB)", "INSERT INTO shop.t SELECT seq, RANDOM_BYTES(1000) FROM shop.seq_1_to_30000")
	id := server.AddInstance(t, "farm-a", secure)
	f := newFleet(t)
	f.configureGuest(server, src, id, secure)
	f.start("guest", "--state", filepath.Join(f.dir, "guest"), "agent")
	f.says("guest", "guest agent of Trove's instance "+id+" works")
	defer f.stop("guest")
	awaitHealthy(t, server, id)
	full := f.troveBackup(server, id)
	src.Exec(t, "INSERT INTO shop.t VALUES (0, 'only in the increment')")
	inc := f.troveBackup(server, id, "--incremental")
	where := server.Swift.KeystoneURL + "/AUTH_" + server.Keystone.Projects["farm-a"] + "/database_backups/"
	for backup, kind := range map[string]string{full: "full", inc: "incremental"} {
		var got, checksum, location, parent string
		var size float64
		err := server.DB.QueryRow(`SELECT coalesce(backup_type, ''), coalesce(checksum, ''), coalesce(location, ''), coalesce(parent_id, ''), coalesce(size, 0)
			FROM trove.backups WHERE id = ?`, backup).Scan(&got, &checksum, &location, &parent, &size)
		if err != nil || got != kind || len(checksum) != 32 || location != where+backup+".xbstream.gz" || size < 0.01 || (parent == full) != (kind == "incremental") {
			t.Errorf("the %s as Trove has it: %s, %s, %s of %s, %v GiB, %v", kind, got, checksum, location, parent, size, err)
		}
		list := strings.Fields(openstack(t, server, "object", "list", "database_backups", "--prefix", backup, "-f", "value"))
		if len(list) == 0 || kind == "full" && len(list) < 3 {
			t.Errorf("of the %s there lie %q", kind, list)
		}
	}
}

// configureGuest imports the two files that Trove gives a guest, and says which
// database it is.
func (f *fleet) configureGuest(server *testenv.TroveServer, src *testenv.Server, id string, secure bool) {
	f.t.Helper()
	f.write("trove-guestagent.conf", fmt.Sprintf("[DEFAULT]\ntransport_url = rabbit://%s:%s@%s//\ncontrol_exchange = trove\nenable_secure_rpc_messaging = %t\nos_region_name = RegionOne\n",
		testenv.BrokerUserName, testenv.BrokerUserPassword, server.Broker.Addr(), secure), 0o600)
	info := "[DEFAULT]\nguest_id = " + id + "\ndatastore_manager = mariadb\n"
	if secure {
		info += "instance_rpc_encr_key = " + testenv.TroveGuestKey + "\n"
	}
	f.write("guest_info.conf", info, 0o600)
	secrets := filepath.Join(f.dir, "secrets")
	if err := os.Mkdir(secrets, 0o700); err != nil {
		f.t.Fatal(err)
	}
	out, err := exec.Command(f.program, "config", "import", filepath.Join(f.dir, "trove-guestagent.conf"), filepath.Join(f.dir, "guest_info.conf"), "--secrets", secrets).Output()
	if err != nil {
		f.t.Fatal(err)
	}
	text := strings.Replace(string(out), "[agent]\n", fmt.Sprintf("[agent]\ndatabase = %q\ncredentials_file = %q\n", src.Socket, src.CredentialsFile), 1)
	f.write("coffer.toml", text, 0o644)
	if out, err := exec.Command(f.program, "config", "check", f.config, "--role", "agent").CombinedOutput(); err != nil {
		f.t.Fatalf("%v\n%s\n%s", err, out, text)
	}
}

// awaitHealthy waits until Trove shows the instance as its guest reports it.
func awaitHealthy(t *testing.T, server *testenv.TroveServer, id string) {
	t.Helper()
	var status string
	patiently(t, time.Minute, "the instance to be healthy", func() bool {
		return server.DB.QueryRow("SELECT coalesce(status_description, '') FROM trove.service_statuses WHERE instance_id = ?", id).Scan(&status) == nil && status == "healthy"
	})
}

// troveBackup asks Trove's API for a backup, and waits for its good end.
func (f *fleet) troveBackup(server *testenv.TroveServer, instance string, args ...string) (id string) {
	f.t.Helper()
	id = openstack(f.t, server, append([]string{"database", "backup", "create", "nightly", "--instance", instance, "-f", "value", "-c", "id"}, args...)...)
	var state string
	patiently(f.t, 3*time.Minute, "the end of backup "+id, func() bool {
		return server.DB.QueryRow("SELECT state FROM trove.backups WHERE id = ?", id).Scan(&state) == nil && (state == "COMPLETED" || state == "FAILED")
	})
	if state != "COMPLETED" {
		f.t.Fatalf("backup %s is %s\n%s\n%s", id, state, f.says("guest", ""), server.Log("trove-conductor"))
	}
	return id
}

// openstack runs the client as a member of a project, and gives what it printed.
func openstack(t *testing.T, server *testenv.TroveServer, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/openstack", args...)
	cmd.Env = append(os.Environ(), "PATH=/usr/bin:/bin", "OS_AUTH_URL="+server.Keystone.URL, "OS_USERNAME=alice", "OS_PASSWORD=alicepass",
		"OS_PROJECT_NAME=farm-a", "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_IDENTITY_API_VERSION=3")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openstack %s: %v\n%s\n%s", strings.Join(args, " "), err, out, server.Log("trove-api"))
	}
	return strings.TrimSpace(string(out))
}

// patiently polls for what takes a real Trove its time.
func patiently(t *testing.T, patience time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(100 * time.Millisecond)
	}
}
