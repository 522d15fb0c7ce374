package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/testenv"
)

// chainSource is a real server whose backups pass through the filter.
type chainSource struct {
	t      *testing.T
	s      *testenv.Server
	db     *sql.DB
	layers []engine.Layer
	base   engine.Base
	logs   []string
	told   string // by the last restore: which way
	during func() // called once, when the next backup's tool has begun to send
}

// tablespaces is a system tablespace of two files.
func tablespaces() []string {
	return []string{"innodb_data_file_path = ibdata1:12M;ibdata2:4M:autoextend"}
}

func newChainSource(t *testing.T) *chainSource {
	testenv.Need(t, "mariadb-backup", "mbstream")
	s := testenv.MariaDB(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 256, ExtraConfig: tablespaces()})
	src := &chainSource{t: t, s: s, db: s.DB(t)}
	s.Exec(t, "CREATE DATABASE app")
	return src
}

func (s *chainSource) exec(statements ...string) {
	s.t.Helper()
	for _, q := range statements {
		if _, err := s.db.ExecContext(context.WithoutCancel(s.t.Context()), "USE app; "+q); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
}

// tables are the server's table ids by space.
func (s *chainSource) tables() map[uint32]uint64 {
	s.t.Helper()
	rows, err := s.db.QueryContext(s.t.Context(), "SELECT space, table_id FROM information_schema.innodb_sys_tables WHERE space > 0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	ids := make(map[uint32]uint64)
	for rows.Next() {
		var space uint32
		var table uint64
		if err := rows.Scan(&space, &table); err != nil {
			s.t.Fatal(err)
		}
		ids[space] = table
	}
	return ids
}

// backup takes one backup onto the last one and returns finish's answer.
func (s *chainSource) backup() (*stream, streamInfo, error) {
	s.t.Helper()
	tool, err := testenv.Look("mariadb-backup")
	if err != nil {
		s.t.Fatal(err)
	}
	args := []string{
		"--defaults-file=" + s.s.CredentialsFile, "--socket=" + s.s.Socket, "--datadir=" + s.s.DataDir,
		"--backup", "--stream=xbstream", "--target-dir=" + s.t.TempDir(), "--innodb-log-checkpoint-now",
	}
	asked, _ := s.base.Position.Start()
	if !s.base.Full() {
		args = append(args, fmt.Sprintf("--incremental-lsn=%d", asked))
	}
	out, log := new(keep), new(bytes.Buffer)
	f := newStream(out, s.base, asked)
	f.before = s.tables()
	cmd := exec.CommandContext(s.t.Context(), tool, args...)
	cmd.Stdout, cmd.Stderr = &interrupted{f, s.during}, log
	s.during = nil
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%v\n%s", err, log)
	}
	s.logs = append(s.logs, log.String())
	f.tables = s.tables()
	i, err := f.finish()
	if err != nil {
		return f, i, err
	}
	checkEntries(s.t, out)
	id := coffer.BackupID(fmt.Sprintf("b%d", len(s.layers)))
	p := coffer.Position{
		From: i.From, To: i.To, Last: i.Last, RedoStart: i.RedoStart, DataFilePath: i.DataFilePath, PageSize: i.PageSize,
		UndoSpaces: i.UndoSpaces, PageLists: i.PageLists, MergeOnly: i.MergeOnly,
	}
	s.layers = append(s.layers, indexed{stored{id: id, position: p, stream: out.Bytes()}, out.entries})
	s.base = engine.Base{Backup: id, Position: p, Summary: i.Summary}
	return f, i, nil
}

// interrupted does something at the first bytes.
type interrupted struct {
	to io.Writer
	do func()
}

func (i *interrupted) Write(p []byte) (int, error) {
	if i.do != nil {
		i.do()
		i.do = nil
	}
	return i.to.Write(p)
}

func (s *chainSource) mustBackup() streamInfo {
	s.t.Helper()
	_, i, err := s.backup()
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}

// write runs a writer with frequent checkpoints until it is stopped.
func (s *chainSource) write() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			q := fmt.Sprintf("USE app; BEGIN; INSERT INTO ledger(v) VALUES(%d); "+
				"UPDATE t SET v = CONCAT(v, '%d') WHERE id %% 97 = %d; DELETE FROM z WHERE id = %d; COMMIT", n, n%10, n%97, n)
			if n%20 == 0 {
				q += "; SET GLOBAL innodb_log_checkpoint_now = 1"
			}
			if _, err := s.db.ExecContext(context.WithoutCancel(ctx), q); err != nil {
				s.t.Errorf("the writer: %v", err)
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// checksums is what a server holds.
func checksums(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = 'app' AND table_type = 'BASE TABLE'")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	rows.Close()
	sums := make(map[string]string)
	for _, name := range names {
		var table string
		var sum sql.NullString
		if err := db.QueryRowContext(t.Context(), "CHECKSUM TABLE app.`"+name+"`").Scan(&table, &sum); err != nil {
			t.Fatal(err)
		}
		sums[name] = sum.String
		var op, kind, text string
		if err := db.QueryRowContext(t.Context(), "CHECK TABLE app.`"+name+"` EXTENDED").Scan(&table, &op, &kind, &text); err != nil {
			t.Fatal(err)
		}
		if text != "OK" {
			t.Errorf("%s: %s", name, text)
		}
	}
	return sums
}

// start starts a server on a restored folder.
func start(t *testing.T, dir string) *sql.DB {
	t.Helper()
	opts, err := serverOptions(dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for key, value := range opts {
		lines = append(lines, key+" = "+value)
	}
	return testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: dir, LogFileMB: 48, ExtraConfig: lines}).DB(t)
}

// ours restores with restore.
func (s *chainSource) ours(layers []engine.Layer) (engine.Target, error) {
	tool, err := testenv.Look("mariadb-backup")
	if err != nil {
		s.t.Fatal(err)
	}
	target := emptyTarget(s.t)
	env := restoreEnv{Backup: tool, Log: func(line string) {
		if !strings.Contains(line, "Copying") && !strings.Contains(line, "...done") {
			s.t.Log(line)
		}
	}}
	return target, restore(s.t.Context(), env, target, layers)
}

// stock restores with mbstream and mariadb-backup and nothing else.
func (s *chainSource) stock(layers []engine.Layer) string {
	s.t.Helper()
	run := func(stdin []byte, name string, args ...string) {
		cmd := exec.CommandContext(s.t.Context(), name, args...)
		cmd.Stdin = bytes.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	base := workspace(s.t)
	dirs := []string{filepath.Join(base, "data")}
	for i, l := range layers {
		dir := filepath.Join(base, fmt.Sprintf("inc%d", i))
		args := []string{"--prepare", "--target-dir=" + dirs[0]}
		if i == 0 {
			dir = dirs[0]
		} else {
			args = append(args, "--incremental-dir="+dir)
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			s.t.Fatal(err)
		}
		run(l.(indexed).stream, "mbstream", "-x", "-C", dir)
		run(nil, "mariadb-backup", args...)
	}
	if os.Geteuid() == 0 {
		run(nil, "chown", "-R", "65534:65534", dirs[0])
	}
	return dirs[0]
}

// TestRealChain: a full and three increments of a busy server, restored by us and
// by the stock tools from the same streams, are what the source is.
func TestRealChain(t *testing.T) {
	t.Parallel()
	s := newChainSource(t)
	s.exec("CREATE TABLE ledger(id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
		"CREATE TABLE t(id INT PRIMARY KEY, v VARCHAR(400), b BLOB, KEY(v(20)))",
		"INSERT INTO t SELECT seq, REPEAT('x', 50), REPEAT('b', 300) FROM seq_1_to_8000",
		"CREATE TABLE z(id INT PRIMARY KEY, v VARCHAR(100)) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4",
		"INSERT INTO z SELECT seq, MD5(seq) FROM seq_1_to_2000",
		"CREATE TABLE p(id INT PRIMARY KEY) PARTITION BY HASH(id) PARTITIONS 3", "INSERT INTO p SELECT seq FROM seq_1_to_500",
		"CREATE TABLE ar(id INT PRIMARY KEY, v INT) ENGINE=Aria", "CREATE TABLE my(id INT) ENGINE=MyISAM",
		"CREATE TABLE a(id INT) ", "CREATE TABLE b(id INT)", "INSERT INTO a VALUES(1)", "INSERT INTO b VALUES(2)", "CREATE TABLE gone(id INT)")
	stop := s.write()
	full := s.mustBackup()
	s.exec("INSERT INTO ar SELECT seq, seq FROM seq_1_to_300", "INSERT INTO my VALUES(1),(2)", "CREATE TABLE made(id INT PRIMARY KEY)",
		"INSERT INTO made SELECT seq FROM seq_1_to_3000", "RENAME TABLE a TO x, b TO a, x TO b", "DROP TABLE gone")
	first := s.mustBackup()
	s.exec("TRUNCATE TABLE p", "ALTER TABLE z FORCE", "UPDATE made SET id = id + 10000 WHERE id < 10", "UPDATE a SET id = id + 10")
	s.mustBackup()
	stop()
	s.exec("INSERT INTO p SELECT seq FROM seq_1_to_77", "DELETE FROM ar WHERE id < 100")
	last := s.mustBackup()
	if full.RedoStart == 0 || first.From != full.RedoStart || last.GTID == "" || last.BinlogFile == "" {
		t.Errorf("positions: %+v, %+v", first, last)
	}
	want := checksums(t, s.db)
	target, err := s.ours(s.layers)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, checksums(t, start(t, target.Dir))); d != "" {
		t.Errorf("restored: %s", d)
	}
	if d := cmp.Diff(want, checksums(t, start(t, s.stock(s.layers)))); d != "" {
		t.Errorf("restored by the stock tools: %s", d)
	}
}

// TestRealImport: after IMPORT TABLESPACE no increment is taken for good, and a
// tablespace that the tool has ignored is noticed.
func TestRealImport(t *testing.T) {
	t.Parallel()
	s := newChainSource(t)
	s.exec("CREATE TABLE src(id INT PRIMARY KEY, v VARCHAR(200))", "INSERT INTO src SELECT seq, REPEAT('i', 100) FROM seq_1_to_3000",
		"CREATE TABLE known LIKE src", "INSERT INTO known VALUES(1, 'old')")
	conn, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "FLUSH TABLES app.src FOR EXPORT"); err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, ext := range []string{".ibd", ".cfg"} {
		if files[ext], err = os.ReadFile(filepath.Join(s.s.DataDir, "app", "src"+ext)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	load := func(table string) {
		s.exec("ALTER TABLE " + table + " DISCARD TABLESPACE")
		for ext, b := range files {
			// Written into a file that the server's account made, so it may be replaced.
			path := filepath.Join(s.s.DataDir, "app", table+ext)
			if err := os.WriteFile(path, b, 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		s.exec("ALTER TABLE " + table + " IMPORT TABLESPACE")
	}
	settle := "SET GLOBAL innodb_max_dirty_pages_pct = 0; SET GLOBAL innodb_log_checkpoint_now = 1"
	s.exec(settle)
	s.mustBackup()
	s.exec("CREATE TABLE fresh LIKE src")
	load("fresh")
	s.exec(settle, "SET GLOBAL innodb_log_checkpoint_now = 1")
	refused := func(table string) {
		t.Helper()
		f, _, err := s.backup()
		if f.missing("./app/" + table + ".ibd") {
			t.Logf("the tool has ignored %s", table)
			return
		}
		if !coffer.IsKind(err, coffer.KindNeedFull) || !strings.Contains(err.Error(), "app/"+table) {
			t.Errorf("%s: got %v, want KindNeedFull", table, err)
		}
	}
	refused("fresh")
	s.exec("DROP TABLE fresh")
	s.mustBackup()
	load("known")
	s.exec(settle, "SET GLOBAL innodb_log_checkpoint_now = 1")
	refused("known")
}
