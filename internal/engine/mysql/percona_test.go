package mysql

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/guard"
	"github.com/cofferdb/coffer/xbstream"
)

const (
	perconaUUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	perconaFull = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 2000\nlast_lsn = 2000\nflushed_lsn = 2000\nredo_memory = 0\nredo_frames = 0\n"
	perconaInc  = "backup_type = incremental\nfrom_lsn = 2000\nto_lsn = 3000\nlast_lsn = 3010\nflushed_lsn = 3000\nredo_memory = 0\nredo_frames = 0\n"
	perconaCnf  = "# This options file was made by the tool.\n\n[mysqld]\ninnodb_checksum_algorithm=crc32\ninnodb_log_checksums=1\n" +
		"innodb_data_file_path=ibdata1:12M:autoextend\ninnodb_log_file_size=50331648\ninnodb_page_size=16384\ninnodb_undo_directory=./\n" +
		"innodb_undo_tablespaces=2\nserver_id=1\ninnodb_log_checksums=ON\ninnodb_redo_log_encrypt=OFF\ninnodb_undo_log_encrypt=OFF\n" +
		"plugin_load=evil.so\nserver_uuid=" + perconaUUID + "\nmaster_key_id=0\n"
)

// perconaWords are what version 8 says in a good run, as its public logs show it, with
// other numbers.
func perconaWords(last string) string {
	var b strings.Builder
	for _, line := range []string{
		"Connecting to MySQL server host: localhost, user: backup, password: set, port: not set, socket: /s",
		"Using server version 8.0.36", "Executing LOCK INSTANCE FOR BACKUP ...", "uses posix_fadvise().",
		">> log scanned up to (2000)", "Streaming ./ibdata1", "Done: Streaming ./ibdata1", "Starting to backup non-InnoDB tables and files",
		"Finished backing up non-InnoDB tables and files", "Executing FLUSH NO_WRITE_TO_BINLOG BINARY LOGS",
		"Selecting LSN and binary log position from p_s.log_status", "Executing FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS...",
		"The latest check point (for incremental): '2000'", "Executing UNLOCK INSTANCE", "All tables unlocked",
		"MySQL binlog position: filename 'binlog.000002', position '157'", "Transaction log of lsn (2000) to (2000) was copied.", last,
	} {
		fmt.Fprintf(&b, "2026-01-02T03:04:05.678901-00:00 0 [Note] [MY-011825] [Xtrabackup] %s\n", line)
	}
	return b.String()
}

// closingPercona ends a stream as version 8 does.
func (s *scene) closingPercona(checkpoints, gtid string) []byte {
	s.file("mysql/general_log.CSV", "").file("mysql/general_log_213.sdi", "{}").file("binlog.000002", "\xfebin")
	s.file("xtrabackup_binlog_info", "binlog.000002\t157\t"+gtid+"\n").file("xtrabackup_logfile", string(make([]byte, 2048)))
	s.file("xtrabackup_checkpoints", checkpoints).file("ib_buffer_pool", "").file("backup-my.cnf", perconaCnf)
	s.file("xtrabackup_info", "tool_version = 8.0.35-31\nserver_version = 8.0.36\nbinlog_pos = filename 'binlog.000002', position '157'\n")
	s.file("xtrabackup_tablespaces", `{"version":1,"external_tablespaces":[]}`)
	s.must(s.w.Close())
	return s.Bytes()
}

// played is a MySQL server, a data folder and a tool that all only play.
type played struct {
	*Engine
	server *playedServer
	dir    string // of the tool's script, its streams and what it notes
}

const playedVersion = "xtrabackup version 8.0.35-31 based on MySQL server 8.0.35 Linux (x86_64) (revision id: 55ec21d7)"

// playedTool streams the file that fits its command line, says what log holds, and
// prepares as the tool's documentation says.
const playedTool = `#!/bin/sh
here=$(dirname "$0")
if [ "$1" = --version ]; then cat "$here/version"; exit 0; fi
echo "$@" | sed "s,=/[^ ]*,=PATH,g; s, /[^ ]*, PATH,g" >>"$here/ran"
kind=full-prepared
for a; do case $a in
--incremental-lsn=*) n=${a#*=};; --target-dir=*) d=${a#*=};; --incremental-dir=*) i=${a#*=};;
--apply-log-only|--redo-only) kind=log-applied;; --prepare|--apply-log) prepare=1;; /*) d=$a;; esac; done
if [ -z "$prepare" ]; then cat "$here/log" >&2; exec cat "$here/stream$n"; fi
cd "$d" || exit 1
if [ -n "$i" ]; then
  grep -q "^backup_type = log-applied" xtrabackup_checkpoints || { echo "[ERROR] [MY-011825] [Xtrabackup] This backup was already prepared" >&2; exit 1; }
  find "$i" -name '*.delta' -o -name '*.meta' | xargs rm -f; cp -R "$i"/. .
fi
cp backup-my.cnf "$here/cnf"
sed -i "s/^backup_type.*/backup_type = $kind/" xtrabackup_checkpoints
tail -n 1 "$here/log" >&2
`

func play(t *testing.T, m engine.Method, version string) *played {
	t.Helper()
	data, p := t.TempDir(), &played{dir: workspace(t)}
	p.server = playServer(t,
		playedAnswer{"@@version_comment", 2, [][]string{{version, "MySQL Community Server - GPL"}}},
		playedAnswer{"@@server_uuid", 12, [][]string{{"1", perconaUUID, data, "./", "ibdata1:12M:autoextend", "16384", "2", "50331648", "0", "1", "ON", perconaUUID + ":1-5"}}},
		playedAnswer{"SHOW ENGINE INNODB STATUS", 3, [][]string{{"InnoDB", "", "LOG\n---\nLog sequence number          2500\n"}}},
		playedAnswer{"SHOW GRANTS", 1, [][]string{{"GRANT RELOAD, PROCESS, LOCK TABLES, REPLICATION CLIENT ON *.* TO `b`@`localhost`"}, {"GRANT BACKUP_ADMIN ON *.* TO `b`@`localhost`"}}},
		playedAnswer{"redo_log_encrypt", 2, [][]string{{"0", "0"}}},
		playedAnswer{"SHOW BINARY LOGS", 3, [][]string{{"binlog.000001", "180", "No"}, {"binlog.000002", "400", "No"}}},
		playedAnswer{"GTID_SUBSET", 1, [][]string{{"1"}}},
		playedAnswer{"TABLE_ID FROM", 2, [][]string{{"7", "1061"}}},
		playedAnswer{"COMPRESSION=", 1, nil},
		playedAnswer{"_DATAFILES", 1, nil},
		playedAnswer{"ENCRYPTION = 'Y'", 1, nil},
	)
	p.write(t, "tool", playedTool)
	p.write(t, "version", playedVersion)
	p.write(t, "log", perconaWords("completed OK!"))
	for _, name := range []string{"ran", "cnf"} {
		p.write(t, name, "")
	}
	tool := filepath.Join(p.dir, "tool")
	var err error
	p.Engine, err = New(Config{
		Conn: coffer.Conn{Socket: p.server.socket}, Guard: guard.Self(), StateDir: t.TempDir(),
		Tools: Tools{XtraBackup: tool, InnoBackupEx: tool}, Method: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// write writes a file beside the tool, which the tool's other users may write too.
func (p *played) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
}

func (p *played) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// take8 takes a full and an increment of version 8.
func (p *played) take8(t *testing.T) []engine.Layer {
	t.Helper()
	gtid := perconaUUID + ":1-3,\n9e11fa47-71ca-11e1-9e33-c80aa9429562:1-2"
	p.write(t, "stream", string(newScene(t).whole("ibdata1", 0).whole("mysql.ibd", 4294967294).whole("undo_001", 4294967279).
		whole("undo_002", 4294967278).whole("shop/orders.ibd", 7).closingPercona(perconaFull, gtid)))
	p.write(t, "stream2000", string(newScene(t).delta("ibdata1", 0).delta("mysql.ibd", 4294967294).whole("undo_001", 4294967279).
		whole("undo_002", 4294967278).delta("shop/orders.ibd", 7, 3).closingPercona(perconaInc, gtid)))
	one, base, res := enginetest.Take(t, p, engine.Base{}, engine.Options{})
	pos := res.Position
	if pos.To != 2000 || pos.RedoStart != 0 || pos.PageLists || pos.BinlogFile != "binlog.000002" || pos.ServerVersion != "8.0.36" ||
		strings.ContainsAny(pos.GTID, " \n") || !strings.Contains(pos.ServerID, perconaUUID) || res.Tool != playedVersion || res.Method != "xtrabackup" {
		t.Errorf("the full is %+v by %s, %s", pos, res.Tool, res.Method)
	}
	p.server.set("SHOW ENGINE INNODB STATUS", []string{"InnoDB", "", "Log sequence number 3500"})
	two, _, res := enginetest.Take(t, p, base, engine.Options{})
	if pos := res.Position; pos.From != 2000 || pos.To != 3000 || coffer.Mergeable([]coffer.Position{one.Position(), two.Position()}) == nil {
		t.Errorf("the increment is %+v", pos)
	}
	for _, words := range []string{"the server's UUID", perconaUUID} {
		if strings.Contains(p.read(t, "ran"), words) {
			t.Errorf("the tool was told %s", words)
		}
	}
	return []engine.Layer{one, two}
}

// TestXtraBackupChain goes all the way: probe, full, increment, index, restore, with a
// server and a tool that only play.
func TestXtraBackupChain(t *testing.T) {
	t.Parallel()
	p := play(t, "", "8.0.36")
	facts, err := p.Probe(t.Context(), engine.Base{})
	if err != nil || facts.Method != engine.XtraBackup || facts.Datastore.Type != "mysql" || facts.Datastore.Version != "8.0" || facts.ToolVer != playedVersion {
		t.Fatalf("Probe sees %+v, %v", facts, err)
	}
	chain := p.take8(t)
	target := emptyTarget(t)
	restorer, err := p.With("XtraBackup")
	if err != nil {
		t.Fatal(err)
	}
	if err := restorer.Restore(t.Context(), target, chain); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"--defaults-file=PATH --backup --stream=xbstream --target-dir=PATH --no-version-check",
		"--defaults-file=PATH --backup --stream=xbstream --target-dir=PATH --no-version-check --incremental-lsn=2000",
		"--defaults-file=PATH --prepare --target-dir=PATH --use-memory=67108864 --apply-log-only",
		"--defaults-file=PATH --prepare --target-dir=PATH --use-memory=67108864 --incremental-dir=PATH",
	}
	if d := cmp.Diff(want, strings.Split(strings.TrimSpace(p.read(t, "ran")), "\n")); d != "" {
		t.Error(d)
	}
	if cnf := p.read(t, "cnf"); strings.Contains(cnf, "plugin") || !strings.Contains(cnf, "innodb_log_checksums=ON\n") || !strings.Contains(cnf, "innodb_undo_tablespaces=2\n") {
		t.Errorf("prepare was given\n%s", cnf)
	}
	if _, err := p.ServerOptions(target.Dir); !coffer.IsKind(err, coffer.KindUnsupported) || coffer.HintOf(err) == "" {
		t.Errorf("a server of MariaDB's on these data: %v", err)
	}
	for _, name := range []string{"mysql.ibd", "shop/orders.ibd", "undo_001", "binlog.000002"} {
		if _, err := os.Stat(filepath.Join(target.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	for text, kind := range map[string]coffer.Kind{
		`{"version":1,"external_tablespaces":[{"file_name":"/etc/x.ibd","tablespace_name":"x"}]}`: coffer.KindUnsupported, "none": coffer.KindCorrupt,
	} {
		l := stored{position: chain[0].Position(), stream: full(t).file("xtrabackup_tablespaces", text).file("xtrabackup_checkpoints", perconaFull).Bytes()}
		if err := restorer.Restore(t.Context(), emptyTarget(t), []engine.Layer{l}); !coffer.IsKind(err, kind) {
			t.Errorf("%s: %v", text, err)
		}
	}
	table := engine.TableOrder{Database: "shop", Name: "orders"}
	if look, err := restorer.(*Engine).LookTable(t.Context(), table, chain[:1]); err != nil || !strings.Contains(strings.Join(look.Stops, "\n"), "MySQL or Percona Server") {
		t.Errorf("one table of it: %+v, %v", look, err)
	}
}

// TestInnoBackupExOfPercona is the same for the old tool, whose server has definitions
// and other names.
func TestInnoBackupExOfPercona(t *testing.T) {
	t.Parallel()
	p := play(t, engine.InnoBackupEx, "5.7.40-log")
	p.write(t, "version", "innobackupex version 2.4.29 Linux (x86_64) (revision id: 2e6c0951)\n")
	p.write(t, "log", "260102 03:04:05 Executing FLUSH NO_WRITE_TO_BINLOG TABLES...\n260102 03:04:05 Executing FLUSH TABLES WITH READ LOCK...\n"+
		"260102 03:04:05 Starting to backup non-InnoDB tables and files\n260102 03:04:05 Executing UNLOCK TABLES\n"+
		"260102 03:04:05 All tables unlocked\nxtrabackup: Transaction log of lsn (1990) to (2000) was copied.\n260102 03:04:05 completed OK!\n")
	cnf := "[mysqld]\ninnodb_checksum_algorithm=crc32\ninnodb_log_checksum_algorithm=strict_crc32\ninnodb_data_file_path=ibdata1:12M:autoextend\n" +
		"innodb_log_files_in_group=2\ninnodb_fast_checksum=false\ninnodb_page_size=16384\ninnodb_log_block_size=512\ninnodb_undo_tablespaces=0\nredo_log_version=1\n"
	s := newScene(t).whole("ibdata1", 0).whole("shop/orders.ibd", 7).file("shop/orders.frm", frm(12, 0)).file("xtrabackup_logfile", "x").
		file("xtrabackup_checkpoints", "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 2000\nlast_lsn = 2000\ncompact = 0\nrecover_binlog_info = 0\n").
		file("backup-my.cnf", cnf).file("xtrabackup_info", "tool_version = 2.4.29\nserver_version = 5.7.40-log\n")
	s.must(s.w.Close())
	p.write(t, "stream", s.String())
	one, _, res := enginetest.Take(t, p, engine.Base{}, engine.Options{})
	if res.Holds.Commit == 0 || res.Method != "innobackupex" || !slicesContain(p.server.questions(), "INNODB_SYS_TABLES ") {
		t.Errorf("held commits for %v by %s; asked %v", res.Holds.Commit, res.Method, p.server.questions())
	}
	target := emptyTarget(t)
	if err := p.Restore(t.Context(), target, []engine.Layer{one}); err != nil {
		t.Fatal(err)
	}
	want := "--defaults-file=PATH --stream=xbstream --no-timestamp --no-version-check PATH\n" +
		"--defaults-file=PATH --apply-log --use-memory=67108864 PATH\n"
	if d := cmp.Diff(want, p.read(t, "ran")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(strings.Fields("--defaults-file=/t/backup-my.cnf --apply-log --use-memory=9 --redo-only --incremental-dir=/i /t"),
		innobackupexPrepare(prepareArgs{target: "/t", increment: "/i", memory: 9})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(strings.Fields("--defaults-file=/o --stream=xbstream --no-timestamp --no-version-check --incremental --incremental-lsn=7 /t"),
		perconaInnobackupexArgs(backupArgs{options: "/o", target: "/t", increment: true, lsn: 7})); d != "" {
		t.Error(d)
	}
}

func (s *playedServer) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

func slicesContain(all []string, words string) bool {
	return strings.Contains(strings.Join(all, "\n"), words)
}

// TestPerconaRefuses is what is refused before the tool is run, and its kind.
func TestPerconaRefuses(t *testing.T) {
	t.Parallel()
	p := play(t, "", "8.0.36")
	probe := func(name, words string, kind coffer.Kind, e engine.Engine, base engine.Base) {
		t.Helper()
		if _, err := e.Probe(t.Context(), base); !coffer.IsKind(err, kind) || !strings.Contains(fmt.Sprint(err), words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for method, words := range map[string]string{"MariaBackup": "is for MariaDB", "MySQLDump": "is for MariaDB", "InnoBackupEx": "ended with MySQL 5.7"} {
		e, err := p.With(method)
		if err != nil {
			t.Fatal(err)
		}
		probe(method, words, coffer.KindUnsupported, e, engine.Base{})
	}
	p.write(t, "version", "xtrabackup version 8.0.33-28 based on MySQL server 8.0.33 Linux (x86_64) (revision id: b3a3c3dd)")
	probe("an older tool", "8.0.33, the server is 8.0.36", coffer.KindUnprocessable, p, engine.Base{})
	p.write(t, "version", "xtrabackup version 8.3.0-1 based on MySQL server 8.3 Linux (x86_64) (revision id: b0f75188ca3)")
	probe("another series", "8.3.0", coffer.KindUnprocessable, p, engine.Base{})
	p.write(t, "version", "mariadb-backup based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)")
	probe("another tool", "is no xtrabackup", coffer.KindUnprocessable, p, engine.Base{})
	p.write(t, "version", playedVersion)
	for words, row := range map[string][]string{
		"SHOW GRANTS": {"GRANT RELOAD, PROCESS, LOCK TABLES, REPLICATION CLIENT ON *.* TO `b`"}, "ENCRYPTION = 'Y'": {"shop/secret"},
		"COMPRESSION=": {"shop.packed"}, "_DATAFILES": {"/srv/shop/far.ibd"}, "redo_log_encrypt": {"1", "0"},
	} {
		before := p.server.set1(words, row)
		if _, err := p.Probe(t.Context(), engine.Base{}); !coffer.IsKind(err, coffer.KindUnsupported, coffer.KindUnprocessable) {
			t.Errorf("%s: %v", words, err)
		}
		p.server.set(words, before...)
	}
	p.take8(t)
	_, base, _ := enginetest.Take(t, p, engine.Base{}, engine.Options{})
	for words, row := range map[string][]string{
		"GTID_SUBSET": {"0"}, "SHOW ENGINE INNODB STATUS": {"InnoDB", "", "Log sequence number 1999"}, "SHOW BINARY LOGS": {"binlog.000001", "180", "No"},
		"@@server_uuid": {"1", "another", p.data(t), "./", "ibdata1:12M:autoextend", "16384", "2", "50331648", "0", "1", "ON", ""},
	} {
		before := p.server.set1(words, row)
		probe("an increment after "+words, "", coffer.KindNeedFull, p, base)
		p.server.set(words, before...)
	}
	if _, err := p.Probe(t.Context(), base); err != nil {
		t.Errorf("an increment onto its parent: %v", err)
	}
}

// data is the played server's data folder.
func (p *played) data(t *testing.T) string {
	t.Helper()
	f, err := p.Probe(t.Context(), engine.Base{})
	if err != nil {
		t.Fatal(err)
	}
	return f.DataDir
}

// set1 sets one row and gives those of before.
func (s *playedServer) set1(words string, row []string) (before [][]string) {
	s.mu.Lock()
	for _, a := range s.answers {
		if a.words == words {
			before = a.rows
		}
	}
	s.mu.Unlock()
	s.set(words, row)
	return before
}

// TestPerconaSays reads what the tool says when it fails, and holes in its stream.
func TestPerconaSays(t *testing.T) {
	t.Parallel()
	p := play(t, "", "8.0.36")
	p.take8(t)
	good := p.read(t, "stream")
	holes := newScene(t)
	holes.must(holes.w.WriteChunk("shop/packed.ibd", 0, []byte("the first page")))
	holes.Write(xbstream.AppendHeader(nil, xbstream.Chunk{Type: xbstream.Seek, Path: "shop/packed.ibd", Offset: 2}))
	for name, c := range map[string]struct {
		log, stream, words string
		kind               coffer.Kind
	}{
		"no closing words": {perconaWords("All done"), good, "closing words", coffer.KindTool},
		"redo":             {"[ERROR] [MY-011825] [Xtrabackup] log block numbers mismatch:\n", good, "redo log", coffer.KindTool},
		"instant":          {"[ERROR] [MY-011825] [Xtrabackup] Found tables with row versions due to INSTANT ADD/DROP columns\n", "", "INSTANT", coffer.KindUnsupported},
		"holes":            {perconaWords("completed OK!"), holes.String(), "file with holes", coffer.KindUnsupported},
		"half":             {perconaWords("completed OK!"), good[:len(good)/2], "", coffer.KindTool},
	} {
		p.write(t, "log", c.log)
		p.write(t, "stream", c.stream)
		_, err := p.Backup(t.Context(), &enginetest.Recorder{}, engine.Base{}, engine.Options{})
		if !coffer.IsKind(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tool, server version
		want         bool
	}{
		{version{8, 0, 35}, version{8, 0, 36}, true}, {version{8, 0, 35}, version{8, 0, 33}, true}, {version{8, 0, 33}, version{8, 0, 34}, false},
		{version{8, 0, 33}, version{8, 0, 33}, true}, {version{8, 4, 0}, version{8, 4, 6}, true}, {version{8, 4, 0}, version{8, 0, 36}, false},
		{version{5, 7, 44}, version{5, 6, 51}, true}, {version{5, 7, 13}, version{5, 7, 44}, true}, {version{2, 4, 9}, version{5, 7, 44}, true}, {version{2, 4, 9}, version{8, 0, 11}, false}, {version{8, 0, 35}, version{5, 7, 44}, false},
	} {
		if got := covers(c.tool, c.server); got != c.want {
			t.Errorf("a tool of %s covers %s: %v", c.tool, c.server, got)
		}
	}
}
