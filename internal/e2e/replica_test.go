package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/rest"
)

// TestReplicaByCommand registers a server with a bandwidth, and restores its backup as a
// replica of it: first printed, then started.
func TestReplicaByCommand(t *testing.T) {
	t.Parallel()
	d := &database{Server: testenv.MariaDB(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 64})}
	d.db = d.DB(t)
	w := newWorld(t, d)
	d.Exec(t, "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)", "INSERT INTO app.t SELECT seq FROM mysql.seq_1_to_1000",
		"CREATE USER repl@'127.0.0.1' IDENTIFIED BY 'of the replica'", "GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1'")
	account := filepath.Join(t.TempDir(), "repl.cnf")
	if err := os.WriteFile(account, []byte("[client]\nuser=repl\npassword=\"of the replica\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.startServer("")
	var in rest.Instance
	register := func(more ...string) int {
		return w.cli(nil, append([]string{"instance", "register", "shop", "--socket", d.Socket, "--credentials", d.CredentialsFile}, more...)...)
	}
	if code := register("--bandwidth", "50 pounds"); code == 0 {
		t.Error("a bandwidth that is none was taken")
	}
	within(t, 20*time.Second, "an agent registers the database", func() bool { return register("--bandwidth", "48MiB") == 0 })
	if code := w.cli(&in, "instance", "show", "shop"); code != 0 || in.Conn.Polite.Bandwidth != 48<<20 {
		t.Errorf("the instance's bandwidth is %d (exit %d)", in.Conn.Polite.Bandwidth, code)
	}
	w.instance = in.ID
	id := string(w.completes())
	d.Exec(t, "INSERT INTO app.t VALUES (2001)")
	source := "127.0.0.1:" + strconv.Itoa(d.Port)

	var out struct {
		Instance rest.Instance
		Replica  struct {
			Statements []string
			Running    bool
		}
	}
	if code := w.cli(nil, "restore", id, "--name", "copy", "--replica-of", source, "--start"); code == 0 {
		t.Error("started without an account")
	}
	if code := w.cli(&out, "restore", id, "--name", "copy", "--replica-of", source, "--start", "--replica-credentials", account); code != 0 || !out.Replica.Running {
		t.Fatalf("restore as a replica: exit %d, %+v", code, out.Replica)
	}
	if slices.ContainsFunc(out.Replica.Statements, func(s string) bool { return strings.Contains(s, "of the replica") }) {
		t.Errorf("the password is shown: %q", out.Replica.Statements)
	}
	db, err := host.OpenDB(out.Instance.Conn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d.Exec(t, "INSERT INTO app.t VALUES (2002)")
	within(t, 30*time.Second, "the replica has what its source got since", func() bool {
		var n int
		return db.QueryRow("SELECT COUNT(*) FROM app.t WHERE id > 2000").Scan(&n) == nil && n == 2
	})
	db.Close()
	if code := w.cli(nil, "instance", "delete", "copy"); code != 0 {
		t.Errorf("delete the replica: exit %d", code)
	}
	within(t, 30*time.Second, "its server ends", func() bool { return len(w.hosted()) == 0 })
}
