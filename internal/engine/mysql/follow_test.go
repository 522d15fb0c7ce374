package mysql

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

const replicationPassword = `re'pl\word`

// replicationAccount makes one, and the file that names it.
func replicationAccount(t *testing.T, src *realSource, password string) string {
	t.Helper()
	src.Exec(t, `CREATE USER repl@'127.0.0.1' IDENTIFIED BY 're\'pl\\word'`, "GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1'")
	file := filepath.Join(t.TempDir(), "repl.cnf")
	if err := os.WriteFile(file, []byte("[client]\nuser=repl\npassword=\""+escape.Replace(password)+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// follower restores a backup and makes the server on it a replica of src.
func follower(t *testing.T, e *Engine, src *realSource, l *enginetest.Layer, account string) *testenv.Server {
	t.Helper()
	target := newTarget(t)
	if err := e.Restore(t.Context(), target, []engine.Layer{l}); err != nil {
		t.Fatalf("%v (%s)", err, coffer.HintOf(err))
	}
	s := startWith(t, e, target.Dir)
	f := Follow{Host: "127.0.0.1", Port: src.Port, Position: l.At}
	statements, err := f.Statements()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context(), coffer.Conn{Socket: s.Socket}, account, statements); err != nil {
		t.Fatalf("%v (%s)\n%v", err, coffer.HintOf(err), statements)
	}
	return s
}

// catchUp waits until a replica has applied all that its source has.
func catchUp(t *testing.T, src *realSource, replica *testenv.Server) {
	t.Helper()
	var late int
	at := nowGTID(t, src.Server)
	if err := replica.DB(t).QueryRow("SELECT MASTER_GTID_WAIT(?, 30)", at).Scan(&late); err != nil || late != 0 {
		t.Fatalf("the replica does not reach %s: %v", at, err)
	}
	if d := cmp.Diff(src.Content(t), content(t, replica)); d != "" {
		t.Errorf("the replica differs (-source +replica): %s", d)
	}
}

// A server restored from the source's backup follows it. Backups of that replica,
// taken while the source is written to, hold the source's coordinates; and what is
// restored of them follows the source as well, without a gap or a repetition.
func TestReplicas(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 64})
	src.Exec(t, "CREATE TABLE shop.ledger (n INT PRIMARY KEY, sum CHAR(32)) CHARSET utf8mb4", "CREATE TABLE shop.entries (n INT PRIMARY KEY, b TEXT) CHARSET utf8mb4")
	account := replicationAccount(t, src, replicationPassword)
	e := engineOf(t, src.Server)
	full, _ := takeFull(t, e)
	if !full.At.Source.Zero() {
		t.Errorf("the source is a replica itself: %+v", full.At.Source)
	}
	replica := follower(t, e, src, full, account)
	src.Change(t)
	catchUp(t, src, replica)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var l ledger
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.run(ctx, t, src.Server)
	}()
	layers := map[*Engine]*enginetest.Layer{}
	for _, m := range []engine.Method{engine.MariaBackup, engine.MySQLDump} {
		awaitRows(t, &l, l.committed.Load()+30)
		r := engineOf(t, replica)
		if m == engine.MySQLDump {
			r = dumperOf(t, replica, engine.Runner{})
		}
		var told []coffer.Event
		layer, _, res := enginetest.Take(t, r, engine.Base{}, engine.Options{Event: func(ev coffer.Event) { told = append(told, ev) }})
		s := res.Position.Source
		if s.Host != "127.0.0.1" || s.Port != src.Port || s.GTID == "" || !strings.Contains(fmt.Sprint(told), s.GTID) {
			t.Errorf("%s: source %+v, events %v", m, s, told)
		}
		layers[r] = layer
	}
	stop()
	<-written
	for r, layer := range layers {
		catchUp(t, src, follower(t, r, src, layer, account))
	}
	wrong := filepath.Join(t.TempDir(), "wrong.cnf")
	if err := os.WriteFile(wrong, []byte("[client]\nuser=repl\npassword=\"no-such-word\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := Follow{Host: "127.0.0.1", Port: src.Port, Position: full.At}
	err := f.Start(t.Context(), coffer.Conn{Socket: replica.Socket}, wrong, []string{"STOP SLAVE", "CHANGE MASTER TO MASTER_USER = '<user>', MASTER_PASSWORD = '<password>'", "START SLAVE"})
	if !coffer.IsKind(err, coffer.KindTool) || strings.Contains(err.Error(), "no-such-word") || coffer.HintOf(err) == "" {
		t.Errorf("a wrong password: %v", err)
	}
	tellsNoPassword(t, replica)
}

// What a server refuses it repeats, cut short: not to whoever reads the error.
func tellsNoPassword(t *testing.T, s *testenv.Server) {
	t.Helper()
	const secret = "not-to-be-told-"
	for what, c := range map[string]struct{ password, statement string }{
		"too long":     {strings.Repeat(secret, 30), "CHANGE MASTER TO MASTER_PASSWORD = '<password>'"},
		"not parsed":   {strings.Repeat(secret, 30), "CHANGE MASTER TO NONSENSE = '<password>'"},
		"with a quote": {"it's " + secret, "CHANGE MASTER TO NONSENSE = '<password>'"},
	} {
		file := filepath.Join(t.TempDir(), "repl.cnf")
		if err := os.WriteFile(file, []byte("[client]\nuser=repl\npassword=\""+c.password+"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Follow{Host: "127.0.0.1"}.Start(t.Context(), coffer.Conn{Socket: s.Socket}, file, []string{"STOP SLAVE", c.statement})
		if err == nil || strings.Contains(err.Error()+coffer.HintOf(err), secret) || !strings.Contains(err.Error(), "CHANGE MASTER") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestFollowStatements(t *testing.T) {
	t.Parallel()
	at := coffer.Position{
		GTID: "0-1-9", BinlogFile: "binlog.000003", BinlogOffset: 77,
		Source: coffer.Source{Host: "db1", Port: 3306, File: "mysql-bin.000009", Offset: 4711},
	}
	for name, c := range map[string]struct {
		follow Follow
		want   string // "" is an error
	}{
		"the server itself":        {Follow{Host: "db2", Position: at}, "gtid_slave_pos = '0-1-9'"},
		"its source":               {Follow{Host: "db1", Position: at}, "MASTER_LOG_FILE = 'mysql-bin.000009', MASTER_LOG_POS = 4711, MASTER_USE_GTID = no"},
		"its source, another port": {Follow{Host: "db1", Port: 3307, Position: at}, "gtid_slave_pos = '0-1-9'"},
		"nothing known":            {Follow{Host: "db2"}, ""},
		"a hostile host":           {Follow{Host: "x', MASTER_SSL = 0, MASTER_HOST = 'y", Position: at}, ""},
		"a hostile position":       {Follow{Host: "db2", Position: coffer.Position{GTID: "0-1-1'; DROP DATABASE shop; --"}}, ""},
	} {
		got, err := c.follow.Statements()
		if c.want == "" && err == nil || c.want != "" && (err != nil || !strings.Contains(strings.Join(got, "; "), c.want)) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// The rows of a replica's own table, in the forms in which dumps hold them.
func TestReplicatedRows(t *testing.T) {
	t.Parallel()
	head := "-- MariaDB dump\n\n--\n-- Current Database: `mysql`\n--\n"
	for text, want := range map[string]string{
		"INSERT INTO `gtid_slave_pos` VALUES\n(0,5,1,12),\n(0,7,1,14),\n(0,6,2,13),\n(3,1,9,2);\n":                                                    "0-1-14,3-9-2",
		"INSERT INTO `gtid_slave_pos` VALUES (0,5,1,12),(0,6,1,13);\nINSERT INTO `help` VALUES (1,99,1,99);\n":                                        "0-1-13",
		"INSERT  IGNORE INTO `gtid_slave_pos` (`domain_id`, `sub_id`, `server_id`, `seq_no`) VALUES (0,5,1,12);\n":                                    "0-1-12",
		"INSERT INTO `gtid_slave_pos_InnoDB` VALUES (0,5,1,12);\n--\n-- Current Database: `a`\n--\nINSERT INTO `gtid_slave_pos` VALUES (0,6,1,99);\n": "0-1-12",
		"INSERT INTO `gtid_slave_pos` VALUES (0,5,1,12)" + strings.Repeat(",(0,5,1,12)", 99) + ",(0,6,1,13);\n":                                       "",
	} {
		m := newDumpMarks()
		m.read([]byte(head + text))
		if got := m.replicatedGTIDs(); got != want {
			t.Errorf("%.60q: %q, want %q", text, got, want)
		}
	}
}
