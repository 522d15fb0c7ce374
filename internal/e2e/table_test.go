package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/rest"
)

// tableWorld is a world with a full and an increment, and two tables that have
// changed since.
func tableWorld(t *testing.T) (*world, coffer.BackupID) {
	t.Helper()
	testenv.Need(t, "mariadb-dump", "mariadb")
	w := newWorld(t, newDatabase(t, 4<<20, false))
	w.db.Exec(t, "CREATE DATABASE app", "USE app", "CREATE TABLE big (id INT PRIMARY KEY, v VARCHAR(400))",
		"INSERT INTO big SELECT seq, REPEAT(MD5(seq), 10) FROM seq_1_to_40000", "CREATE TABLE small (id INT PRIMARY KEY, v INT)", "INSERT INTO small VALUES (1, 1)")
	w.begin(false)
	w.completes()
	w.db.Exec(t, "INSERT INTO app.small VALUES (2, 2)", "UPDATE app.big SET v = 'changed' WHERE id % 100 = 0")
	var b rest.Backup
	if code := w.cli(&b, "backup", "create", "shop", "--incremental", "--wait"); code != 0 || b.Type != "incremental" {
		t.Fatalf("an increment: exit %d, %s", code, b.Type)
	}
	w.db.Exec(t, "INSERT INTO app.small VALUES (3, 3)", "DELETE FROM app.big WHERE id > 10")
	return w, b.ID
}

// query is the one value of a query.
func (w *world) query(q string) (v string) {
	w.t.Helper()
	if err := w.db.db.QueryRowContext(w.t.Context(), q).Scan(&v); err != nil {
		w.t.Fatalf("%s: %v", q, err)
	}
	return v
}

// nothingOfTables wants that no throw-away server, none of its files and no
// half-loaded table is left.
func (w *world) nothingOfTables() {
	w.t.Helper()
	var left []string
	within(w.t, 30*time.Second, "nothing is left of a table's restore", func() bool {
		left, _ = filepath.Glob(w.state + "/hosted/.coffer-table-*")
		if n := w.query("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME LIKE 'coffer\\_load\\_%'"); n != "0" {
			left = append(left, n+" tables")
		}
		for _, pid := range w.hosted() {
			left = append(left, fmt.Sprint("server ", pid))
		}
		return len(left) == 0
	})
}

// TestOneTable restores tables by the command: listed, planned, into the server that
// was backed up, beside and in place, and into a file.
func TestOneTable(t *testing.T) {
	t.Parallel()
	w, id := tableWorld(t)
	var list rest.Tables
	if code := w.cli(&list, "backup", "tables", string(id)); code != 0 {
		t.Fatalf("list the tables: exit %d", code)
	}
	i := slices.IndexFunc(list.Tables, func(x rest.Table) bool { return x.Database == "app" && x.Name == "big" })
	if n := w.query("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ('app', 'shop')"); fmt.Sprint(len(list.Tables)) != n || i < 0 {
		t.Fatalf("%d tables are listed of %s: %v", len(list.Tables), n, list.Tables)
	}
	if big := list.Tables[i]; big.Engine != "InnoDB" || big.Size < 10<<20 || big.Plain < 10<<20 || big.Stored <= 0 || big.Stored >= big.Plain {
		t.Errorf("app.big is listed as %+v", big)
	}
	var p rest.RestorePlan
	if code := w.cli(&p, "restore", string(id), "--table", "app.small", "--plan"); code == 0 || len(p.Stops) != 1 || !strings.Contains(p.Stops[0], "GRANT") {
		t.Errorf("without rights the plan is: exit %d, %q", code, p.Stops)
	}
	w.db.Exec(t, "GRANT SELECT, INSERT, CREATE, ALTER, DROP ON app.* TO "+testenv.BackupUser+"@localhost")
	if code := w.cli(&p, "restore", string(id), "--table", "app.small", "--plan"); code != 0 || p.ReadBytes <= 0 || p.NeedBytes <= 0 || p.Tools["mariadb-dump"] == "" {
		t.Errorf("the plan: exit %d, %+v", code, p)
	}
	w.wrongTables(id)
	var out struct{ Database, Name string }
	if code := w.cli(&out, "restore", string(id), "--table", "app.small"); code != 0 || !strings.HasPrefix(out.Name, "small_restored_") {
		t.Fatalf("beside: exit %d, %+v", code, out)
	}
	if got := w.query("SELECT GROUP_CONCAT(v ORDER BY id) FROM app." + out.Name); got != "1,2" {
		t.Errorf("beside are %s", got)
	}
	if code := w.cli(&out, "restore", string(id), "--table", "app.big", "--into", "shop.app", "--replace"); code != 0 || out.Name != "big" {
		t.Fatalf("in place: exit %d, %+v", code, out)
	}
	if got := w.query("SELECT CONCAT(COUNT(*), ' ', SUM(v = 'changed')) FROM app.big"); got != "40000 400" {
		t.Errorf("in place are %s", got)
	}
	file := w.dir + "/small.sql"
	if code := w.cli(nil, "restore", string(id), "--table", "app.small", "--dump", file); code != 0 {
		t.Errorf("as SQL: exit %d", code)
	}
	fi, err := os.Stat(file)
	text, _ := os.ReadFile(file)
	if err != nil || fi.Mode().Perm() != 0o600 || !strings.Contains(string(text), "(2,2)") || strings.Contains(string(text), "DROP TABLE") {
		t.Errorf("the file is %v, %v: %s", fi, err, text)
	}
	if code := w.cli(nil, "restore", string(id), "--table", "app.small", "--dump", file); code == 0 {
		t.Error("a file is overwritten")
	}
	w.nothingOfTables()
	if left, _ := filepath.Glob(w.dir + "/.small*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// wrongTables are names that no table has, and names that are meant for something
// else: none is taken for a path, an option or a statement.
func (w *world) wrongTables(id coffer.BackupID) {
	w.t.Helper()
	for _, name := range []string{
		"../x.t", "app.../../etc/passwd", "app.big;drop table app.big", "app.`big", "app", "app.big.x", "app.--help", "`app`.`big` x",
		"mysql.user", "app.big\x01", "app." + strings.Repeat("x", 65), "app.bog", "App.big",
	} {
		cmd := w.command("", "restore", string(id), "--table", name)
		text, err := cmd.CombinedOutput()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() == 0 {
			w.t.Errorf("%q is taken: %s", name, text)
		}
		if name == "app.bog" && !strings.Contains(string(text), "there is app.big") {
			w.t.Errorf("for %q nothing like it is named: %s", name, text)
		}
	}
	if w.query("SELECT COUNT(*) FROM app.big") != "10" {
		w.t.Error("app.big was changed")
	}
}

// TestKilledInATable kills the program in a restore of one table: at the next start
// the job is FAILED, and nothing is left of it; a cancelled one leaves nothing too.
func TestKilledInATable(t *testing.T) {
	t.Parallel()
	w, id := tableWorld(t)
	w.db.Exec(t, "GRANT SELECT, INSERT, CREATE, ALTER, DROP ON app.* TO "+testenv.BackupUser+"@localhost")
	target := coffer.Target{Table: &coffer.Table{Database: "app", Name: "big"}}
	begin := func() rest.Started {
		t.Helper()
		s, err := w.cl.Restore(t.Context(), rest.Restore{Backup: id, Target: target})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	loads := func() bool {
		return w.query("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME LIKE 'coffer\\_load\\_%'") != "0"
	}
	for point, reached := range map[string]func() bool{
		"the throw-away server runs": func() bool { return len(w.hosted()) > 0 }, "the table is loaded": loads,
	} {
		s := begin()
		within(t, 30*time.Second, point, reached)
		w.server.end(t, syscall.SIGKILL)
		w.startServer("")
		if j := w.jobEnds(s.Job.ID); j.State != coffer.Failed {
			t.Errorf("killed when %s: %s", point, j.State)
		}
		w.nothingOfTables()
	}
	s := begin()
	within(t, 30*time.Second, "the table is loaded", loads)
	if _, err := w.cl.Cancel(t.Context(), s.Job.ID); err != nil {
		t.Fatal(err)
	}
	if j := w.jobEnds(s.Job.ID); j.State != coffer.Failed || j.Error == nil || j.Error.Kind != coffer.KindCanceled {
		t.Errorf("cancelled: %s %s", j.State, reason(j.Error))
	}
	w.nothingOfTables()
	file := w.dir + "/big.sql"
	target = coffer.Target{Table: &coffer.Table{Database: "app", Name: "big", Dump: file}}
	w.server.end(t, syscall.SIGTERM)
	w.startServer("table restored=kill")
	s = begin()
	within(t, 30*time.Second, "the program is killed when the file is there", w.server.ended)
	w.startServer("")
	if j := w.jobEnds(s.Job.ID); j.State != coffer.Failed {
		t.Errorf("killed before it has said so: %s", j.State)
	}
	if left, _ := filepath.Glob(w.dir + "/*big*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
