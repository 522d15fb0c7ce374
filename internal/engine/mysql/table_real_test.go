package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/testenv"
)

// tableScene is a chain of a full and two increments of a server with one table of
// each sort, and what these held when the last was taken.
type tableScene struct {
	*chainSource
	want map[string]string // table → its rows
}

// tableWays are the tables, and where each is restored to.
func tableWays(all bool) map[string]string {
	ways := map[string]string{
		"parts": "beside", "ft": "beside", "gen": "beside", "zip": "beside", "moved": "beside",
		"child": "other", "trg": "replace", "ar": "sql", "my": "sql", "größe-€": "sql",
	}
	if all {
		maps.Copy(ways, map[string]string{"hist": "beside", "we ird.`t": "beside", "sys": "replace", "pc": "sql", "arp": "other", "during": "sql"})
	}
	return ways
}

func newTableScene(t *testing.T) *tableScene {
	s := &tableScene{chainSource: newChainSource(t)}
	s.exec("CREATE TABLE ledger(id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
		"CREATE TABLE t(id INT PRIMARY KEY, v VARCHAR(400), b BLOB, KEY(v(20)))",
		"INSERT INTO t SELECT seq, REPEAT('x', 50), REPEAT('b', 300) FROM seq_1_to_20000",
		"CREATE TABLE z(id INT PRIMARY KEY, v VARCHAR(100))",
		"CREATE TABLE parent(id INT PRIMARY KEY)", "INSERT INTO parent SELECT seq FROM seq_1_to_50",
		"CREATE TABLE child(id INT PRIMARY KEY AUTO_INCREMENT, p INT, CONSTRAINT `ch``ild` FOREIGN KEY (p) REFERENCES parent(id) ON DELETE CASCADE)",
		"INSERT INTO child(p) SELECT seq % 50 + 1 FROM seq_1_to_300",
		"CREATE TABLE parts(id INT PRIMARY KEY, v VARCHAR(50)) PARTITION BY RANGE(id) SUBPARTITION BY HASH(id) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (500), PARTITION p1 VALUES LESS THAN MAXVALUE)",
		"INSERT INTO parts SELECT seq, MD5(seq) FROM seq_1_to_1000",
		"CREATE TABLE ft(id INT PRIMARY KEY, v TEXT, FULLTEXT KEY words (v))", "INSERT INTO ft SELECT seq, CONCAT('word', seq, ' common') FROM seq_1_to_200",
		"CREATE TABLE gen(id INT PRIMARY KEY, j JSON, a INT AS (id * 2) STORED, b VARCHAR(40) AS (CONCAT('n', id)) VIRTUAL, p POINT NOT NULL, KEY(a), SPATIAL KEY(p))",
		"INSERT INTO gen(id, j, p) SELECT seq, JSON_OBJECT('k', seq), POINT(seq, seq) FROM seq_1_to_100",
		"CREATE TABLE zip(id INT PRIMARY KEY, v VARCHAR(100)) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4", "INSERT INTO zip SELECT seq, MD5(seq) FROM seq_1_to_2000",
		"CREATE TABLE pc(id INT PRIMARY KEY, v TEXT) PAGE_COMPRESSED=1", "INSERT INTO pc SELECT seq, REPEAT('pc', 200) FROM seq_1_to_1000",
		"CREATE TABLE trg(id INT PRIMARY KEY, v INT)", "INSERT INTO trg VALUES(1, 1)", "CREATE TRIGGER `tr one` BEFORE INSERT ON trg FOR EACH ROW SET NEW.v = NEW.id * 10",
		"CREATE TABLE ar(id INT PRIMARY KEY, v INT) ENGINE=Aria", "CREATE TABLE my(id INT) ENGINE=MyISAM",
		"CREATE TABLE arp(id INT PRIMARY KEY) ENGINE=Aria PARTITION BY HASH(id) PARTITIONS 2",
		"CREATE TABLE was(id INT PRIMARY KEY, v INT)", "INSERT INTO was SELECT seq, seq FROM seq_1_to_500", "CREATE TABLE early(id INT)", "INSERT INTO early VALUES(7)",
		"SET GLOBAL innodb_file_per_table = 0", "CREATE TABLE sys(id INT PRIMARY KEY)", "SET GLOBAL innodb_file_per_table = 1", "INSERT INTO sys VALUES(3)",
		"CREATE TABLE hist(id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING", "INSERT INTO hist VALUES(1, 1)",
		"CREATE TABLE `we ird.``t`(id INT)", "INSERT INTO `we ird.``t` VALUES(1)", "CREATE TABLE `größe-€`(id INT, `ä``b` TEXT)", "INSERT INTO `größe-€` VALUES(1, 'ß')",
		"CREATE VIEW vw AS SELECT * FROM t")
	stop := s.write()
	s.mustBackup()
	s.exec("RENAME TABLE was TO moved", "INSERT INTO moved VALUES(1000, 1)", "INSERT INTO ar SELECT seq, seq FROM seq_1_to_300", "INSERT INTO my VALUES(1),(2)",
		"INSERT INTO arp SELECT seq FROM seq_1_to_20", "UPDATE zip SET v = 'new' WHERE id % 7 = 0", "INSERT INTO ft VALUES(900, 'later common')", "UPDATE hist SET v = 2")
	s.mustBackup()
	s.exec("RENAME TABLE early TO during", "INSERT INTO trg(id) VALUES(5)", "UPDATE parts SET v = 'x' WHERE id > 800", "DELETE FROM child WHERE id < 40", "INSERT INTO gen(id, j, p) VALUES(999, '[]', POINT(1, 2))")
	stop()
	s.mustBackup()
	s.want = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(tableWays(true))) {
		s.want[name] = rows(t, s.db, "app", name)
	}
	return s
}

// rows is all that a table holds, in order.
func rows(t *testing.T, db *sql.DB, database, table string) string {
	t.Helper()
	from := coffer.QuoteIdentifier(database) + "." + coffer.QuoteIdentifier(table)
	r, err := db.QueryContext(t.Context(), "SELECT * FROM "+from+" ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	columns, err := r.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(sql.RawBytes)
	}
	var b strings.Builder
	for r.Next() {
		if err := r.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			fmt.Fprintf(&b, "%q ", *v.(*sql.RawBytes))
		}
		b.WriteByte('\n')
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return b.String()
}

// counting is a layer that counts the bytes that are read of it.
type counting struct {
	indexed
	read *atomic.Int64
}

func (c counting) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	c.read.Add(n)
	return c.indexed.Range(ctx, off, n)
}

func (c counting) Stream(context.Context) (io.ReadCloser, error) {
	return nil, coffer.E(coffer.KindInternal, "read the layer", "all of it is read")
}

// counted gives the chain, and what is read of it from now on.
func (s *tableScene) counted() (chain []engine.Layer, read *atomic.Int64) {
	read = new(atomic.Int64)
	for _, l := range s.layers {
		chain = append(chain, counting{l.(indexed), read})
	}
	return chain, read
}

func (s *tableScene) order(t *testing.T, table string) engine.TableOrder {
	target := emptyTarget(t)
	return engine.TableOrder{
		Job: coffer.JobID(coffer.NewUUID()), Database: "app", Name: table, Dir: target.Dir, UID: target.UID, GID: target.GID,
		Event: func(e coffer.Event) { t.Log(e.Code, e.Text) },
	}
}

// rights gives the account of the credentials file what a load takes.
func (s *tableScene) rights(database string) {
	s.t.Helper()
	s.exec("GRANT SELECT, INSERT, CREATE, ALTER, DROP, REFERENCES, TRIGGER ON " + database + ".* TO " + testenv.BackupUser + "@localhost")
}

// take restores one table and gives what it holds then.
func (s *tableScene) take(t *testing.T, e *Engine, name, way string) (database, table string, got string) {
	t.Helper()
	o := s.order(t, name)
	if way == "sql" {
		guest := &watched{t: t, dir: o.Dir}
		o.Dump = guest
		if _, err := e.RestoreTable(t.Context(), o, s.layers); err != nil {
			t.Fatal(err)
		}
		if guest.uid != "65534" {
			t.Errorf("the throw-away server ran as uid %q", guest.uid)
		}
		cmd := exec.CommandContext(t.Context(), "mariadb", "--no-defaults", "--user=root", "--socket="+s.s.Socket, "--database=sql_in")
		cmd.Stdin = &guest.Buffer
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("its SQL: %v: %s", err, out)
		}
		return "sql_in", name, rows(t, s.db, "sql_in", name)
	}
	o.Load, o.Replace = true, way == "replace"
	database = "app"
	if way == "other" {
		o.As, database = "other", "other"
	}
	res, err := e.RestoreTable(t.Context(), o, s.layers)
	if err != nil {
		t.Error(err)
		return database, name, ""
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("in its folder are left %v, %v", left, err)
	}
	return database, res.Name, rows(t, s.db, database, res.Name)
}

// watched is a dump's end that looks who writes it.
type watched struct {
	bytes.Buffer
	t        *testing.T
	dir, uid string
}

func (w *watched) Write(p []byte) (int, error) {
	for _, pid := range serversOn(w.dir) {
		status, _ := os.ReadFile("/proc/" + pid + "/status")
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Uid:" {
				w.uid = f[1]
			}
		}
	}
	return w.Buffer.Write(p)
}

// serversOn are the processes whose command line names a folder.
func serversOn(dir string) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(dir)) {
			pids = append(pids, strings.Split(path, "/")[2])
		}
	}
	return pids
}

// TestRealTables: each sort of table comes out of a chain as it was at its end, into
// the running server beside itself, into another database there, in the place of
// itself, and as SQL; nothing is left of the server that it was taken out of.
func TestRealTables(t *testing.T) {
	t.Parallel()
	realTables(t, tableWays(false))
}

func TestHeavyTables(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("long: set COFFER_HEAVY=1")
	}
	realTables(t, tableWays(true))
}

func realTables(t *testing.T, ways map[string]string) {
	t.Helper()
	testenv.Need(t, "mariadb-dump", "mariadb")
	s := newTableScene(t)
	e := engineOf(t, s.s)
	o := s.order(t, "child")
	o.Load = true
	if _, err := e.RestoreTable(t.Context(), o, s.layers); !coffer.IsKind(err, coffer.KindForbidden) || !strings.Contains(coffer.HintOf(err), "GRANT") {
		t.Errorf("without rights: %v", err)
	}
	s.exec("CREATE DATABASE other", "CREATE DATABASE sql_in", "CREATE TABLE other.parent LIKE parent", "INSERT INTO other.parent SELECT * FROM parent")
	s.rights("app")
	s.rights("other")
	s.exec("DROP TRIGGER `tr one`", "CREATE TRIGGER tr2 BEFORE INSERT ON trg FOR EACH ROW SET NEW.v = 0", "DELETE FROM trg", "INSERT INTO `größe-€` VALUES(2, 'later')")
	places := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		database, table, got := s.take(t, e, name, ways[name])
		if d := cmp.Diff(s.want[name], got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		places[name] = coffer.QuoteIdentifier(database) + "." + coffer.QuoteIdentifier(table)
	}
	if len(serversOn(filepath.Dir(o.Dir))) > 0 {
		t.Errorf("left: %v", serversOn(filepath.Dir(o.Dir)))
	}
	s.same("parts", places["parts"])
	s.same("gen", places["gen"])
	s.same("ft", places["ft"])
	s.same("zip", places["zip"])
	for query, want := range map[string]string{
		"SELECT COUNT(*) FROM " + places["ft"] + " WHERE MATCH(v) AGAINST('later')":                                            "1",
		"SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'other'":             "ch`ild",
		"SELECT GROUP_CONCAT(TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_TABLE = 'trg'":                  "tr one",
		"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME LIKE 'coffer%' OR TABLE_NAME LIKE '%\\_old\\_%'":      "0",
		"SELECT GROUP_CONCAT(CONSTRAINT_NAME) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'app'": "ch`ild",
	} {
		var got sql.NullString
		if err := s.db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got.String != want {
			t.Errorf("%s: %q, %v; want %q", query, got.String, err, want)
		}
	}
	if hist := places["hist"]; hist != "" {
		var n string
		if err := s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+hist+" FOR SYSTEM_TIME ALL").Scan(&n); err != nil || n != "2" {
			t.Errorf("of two rows of history %s came, %v", n, err)
		}
	}
	s.logged("RENAME TABLE `app`.`coffer_load_")
	s.refusedThere(e)
	s.readOf(e, "zip")
	s.ofTheFull(e)
}

// ofTheFull wants a table as the full has it, which needs no other link.
func (s *tableScene) ofTheFull(e *Engine) {
	s.t.Helper()
	o := s.order(s.t, "was") // renamed since
	o.Dump = new(bytes.Buffer)
	if res, err := e.RestoreTable(s.t.Context(), o, s.layers[:1]); err != nil || res.Rows != 500 {
		s.t.Errorf("of the full alone: %+v, %v", res, err)
	}
}

// refusedThere wants what cannot be done in this server to be refused, before
// anything is read where that can be told.
func (s *tableScene) refusedThere(e *Engine) {
	s.t.Helper()
	for name, c := range map[string]struct {
		change func(*engine.TableOrder)
		kind   coffer.Kind
		words  string
		reads  bool
	}{
		"referenced":    {func(o *engine.TableOrder) { o.Name, o.Replace = "parent", true }, coffer.KindConflict, "a foreign key points to", false},
		"no database":   {func(o *engine.TableOrder) { o.As = "nowhere" }, coffer.KindNotFound, "no database", false},
		"over a view":   {func(o *engine.TableOrder) { o.Name, o.Replace = "vw", true }, coffer.KindConflict, "a view", false},
		"a view":        {func(o *engine.TableOrder) { o.Name = "vw" }, coffer.KindUnsupported, "is a view", true},
		"no such table": {func(o *engine.TableOrder) { o.Name = "moved_" }, coffer.KindNotFound, "there is no", true},
		"statement":     {func(o *engine.TableOrder) { o.Name = "t;drop table t" }, coffer.KindNotFound, "there is no", true},
	} {
		o := s.order(s.t, "t")
		o.Load = true
		c.change(&o)
		chain, read := s.counted()
		_, err := e.RestoreTable(s.t.Context(), o, chain)
		if !coffer.IsKind(err, c.kind) || !strings.Contains(err.Error(), c.words) || !c.reads && read.Load() > 0 {
			s.t.Errorf("%s: %v, %d bytes read", name, err, read.Load())
		}
		if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
			s.t.Errorf("%s: left are %v, %v", name, left, err)
		}
	}
}

// readOf wants that of the chain only what the list tells of a table is read, and
// that a dump that nobody takes leaves nothing.
func (s *tableScene) readOf(e *Engine, table string) {
	s.t.Helper()
	list, err := e.Tables(s.t.Context(), s.layers)
	if err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(list.List, func(x engine.Table) bool { return x.Name == table })
	o := s.order(s.t, table)
	o.Dump = fullDisk{}
	chain, read := s.counted()
	if _, err := e.RestoreTable(s.t.Context(), o, chain); !coffer.IsKind(err, coffer.KindNoSpace) {
		s.t.Errorf("into a full disk: %v", err)
	}
	var all int64
	for _, l := range s.layers {
		all += l.PlainBytes()
	}
	// A window of a layer is read to its end, and short gaps are read over.
	if most := list.Plain + list.List[i].Plain + 12<<20; read.Load() > most || most > all/3 {
		s.t.Errorf("%d bytes are read of %d, for a table with %d and %d with any table", read.Load(), all, list.List[i].Plain, list.Plain)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 || len(serversOn(o.Dir)) > 0 {
		s.t.Errorf("left are %v, %v, %v", left, serversOn(o.Dir), err)
	}
}

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) {
	return 0, coffer.E(coffer.KindNoSpace, "write", "the disk is full")
}

// same wants a copy to be made as its source is.
func (s *tableScene) same(table, copied string) {
	s.t.Helper()
	made := func(name string) string {
		var n, text string
		if err := s.db.QueryRowContext(s.t.Context(), "SHOW CREATE TABLE "+name).Scan(&n, &text); err != nil {
			s.t.Fatal(err)
		}
		_, text, _ = strings.Cut(text, "\n")
		return text
	}
	if d := cmp.Diff(made("app."+table), made(copied)); d != "" {
		s.t.Errorf("%s is made otherwise: %s", table, d)
	}
}

// logged wants a statement in the binary log: the replicas follow.
func (s *tableScene) logged(statement string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.s.DataDir, "binlog.0*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(statement)) {
			return
		}
	}
	s.t.Errorf("the binary log does not have %q", statement)
}
