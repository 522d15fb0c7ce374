package mysql

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// withTool gives an engine whose tool is a script around the real one; $REAL is
// the real one's path.
func withTool(t *testing.T, s *testenv.Server, script string) *Engine {
	t.Helper()
	real := testenv.Need(t, "mariadb-backup", "bash")[0]
	path := filepath.Join(t.TempDir(), "tool")
	text := "#!/bin/bash\nREAL=" + real + "\nif [ \"$1\" = --version ]; then exec $REAL --version; fi\n" + script + "\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	e := engineOf(t, s)
	e.cfg.Tools.Backup = path
	return e
}

// teeing is a script that runs the real tool and writes its log to a file too.
func teeing(log string) string {
	return `set -o pipefail; { $REAL "$@" 2>&1 >&3 3>&- | tee ` + log + ` >&2; } 3>&1`
}

func TestToolThatMisbehaves(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	for _, c := range []struct {
		name, script, words, hint string
		kind                      coffer.Kind
	}{
		{"no closing words", `{ $REAL "$@" 2>&1 >&3 3>&- | grep -v "completed OK" >&2; } 3>&1`, "without its closing words", "", coffer.KindTool},
		{"closing words not last", `$REAL "$@"; echo "oh no" >&2; exit 0`, "without its closing words", "", coffer.KindTool},
		{"exit 1 after all", `$REAL "$@"; exit 1`, "exit status 1", "", coffer.KindTool},
		{"cut output", `$REAL "$@" | head -c 3000000; exit 0`, "", "", coffer.KindTool},
		{"redo copier behind", `echo "Was only able to copy log from 1 to 2, not 3" >&2; exit 1`, "redo log", "innodb_log_file_size", coffer.KindTool},
		{"commits held too long", `echo "Starting BACKUP STAGE BLOCK_COMMIT" >&2; sleep 60`, "lasted longer", "max_block", coffer.KindTool},
		{"garbage", `echo this is no stream; echo "completed OK!" >&2`, "", "", coffer.KindCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := withTool(t, src.Server, c.script)
			_, err := e.Backup(t.Context(), &enginetest.Recorder{}, engine.Base{}, engine.Options{MaxBlock: 300 * time.Millisecond})
			if !coffer.IsKind(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.words) || !strings.Contains(coffer.HintOf(err), c.hint) {
				t.Errorf("%v (kind %s, hint %q)", err, coffer.KindOf(err), coffer.HintOf(err))
			}
		})
	}
	if n, err := readNonces(src.DataDir); err != nil || len(n) != 0 {
		t.Errorf("failed backups left nonces: %v, %v", n, err)
	}
}

func TestToolThatTalksMuchAndKnowsNoSecret(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	const odd = `we"i#rd'pa\ss;w=ord`
	src.Exec(t, "CREATE USER odd@localhost IDENTIFIED BY '"+strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(odd)+"'",
		"GRANT ALL ON *.* TO odd@localhost")
	words := filepath.Join(t.TempDir(), "words")
	e := withTool(t, src.Server, `(echo "$@"; env; ls -l "${1#*=}") >`+words+`
		head -c 1G /dev/zero | tr '\0' x >&2; echo >&2; yes "noise noise noise noise" | head -n 200000 >&2; $REAL "$@"`)
	file := filepath.Join(t.TempDir(), "odd.cnf")
	if err := os.WriteFile(file, []byte("[client]\nuser=odd\npassword=\""+escape.Replace(odd)+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.cfg.Conn.CredentialsFile = file
	_, _, res := enginetest.Take(t, e, engine.Base{}, engine.Options{})
	b, err := os.ReadFile(words)
	if err != nil || strings.Contains(string(b), "rd'pa") || !strings.Contains(string(b), "-rw-------") {
		t.Errorf("command line, environment and option file: %s %v", b, err)
	}
	if res.Tool == "" || res.Method != "mariabackup" {
		t.Errorf("result %+v", res)
	}
	if left, _ := os.ReadDir(e.cfg.StateDir); len(left) > 0 {
		t.Errorf("left in the state folder: %v", left)
	}
}

// hookSink calls hook with the number of bytes before every write.
type hookSink struct {
	enginetest.Recorder
	hook func(n int)
}

func (s *hookSink) Write(p []byte) (int, error) {
	s.hook(s.Len())
	return s.Recorder.Write(p)
}

func TestServerDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	e := engineOf(t, src.Server)
	var once sync.Once
	out := &hookSink{hook: func(int) { once.Do(src.Kill) }}
	_, err := e.Backup(t.Context(), out, engine.Base{}, engine.Options{})
	if !coffer.IsKind(err, coffer.KindTool, coffer.KindUnprocessable) {
		t.Errorf("err = %v", err)
	}
	if _, err := e.Probe(t.Context(), engine.Base{}); !coffer.IsKind(err, coffer.KindUnprocessable) || coffer.HintOf(err) == "" {
		t.Errorf("Probe of a dead server gives %v", err)
	}
	src.Restart()
	takeFull(t, e)
}

// The tool says "completed OK!" and exits 0 when a table of Aria's is renamed
// between its scan and its copy; the table is then not in the backup. There are
// more bytes in these tables than fit into all buffers on the way, so that some
// are still to be copied when the scan is over.
func TestRenamedAriaTableFailsTheBackup(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	const tables = 16
	for i := range tables {
		src.Exec(t, fmt.Sprintf("USE shop; CREATE TABLE big%d (b LONGBLOB) ENGINE=Aria; INSERT INTO big%d SELECT REPEAT(MD5(seq), 30000) FROM seq_1_to_2", i, i))
	}
	log := filepath.Join(t.TempDir(), "log")
	e := withTool(t, src.Server, teeing(log))
	db := src.DB(t)
	renamed := 0
	out := &hookSink{hook: func(int) {
		if renamed > 0 || !said(log, "Stop scanning aria tables") {
			<-time.After(5 * time.Millisecond) // slow enough to be overtaken
			return
		}
		for i := range tables { // one that is just being copied is locked; one that was copied does not matter
			if _, err := db.Exec(fmt.Sprintf("SET lock_wait_timeout = 1; RENAME TABLE shop.big%d TO shop.moved%d", i, i)); err == nil {
				renamed++
			}
		}
	}}
	_, err := e.Backup(t.Context(), out, engine.Base{}, engine.Options{})
	if !coffer.IsKind(err, coffer.KindUnavailable) || !strings.Contains(fmt.Sprint(err), "table shop.big") {
		b, _ := os.ReadFile(log)
		t.Errorf("%d tables were renamed; err = %v\n%s", renamed, err, b)
	}
}

// heavyTail adds what the tool copies only while it holds its locks.
func (s *realSource) heavyTail(t *testing.T) {
	t.Helper()
	s.Exec(t, "USE shop; CREATE TABLE heavy (b LONGTEXT NOT NULL) ENGINE=CSV; INSERT INTO heavy SELECT REPEAT(MD5(seq), 30000) FROM seq_1_to_30")
}

// A sink that stalls while the tool holds locks must not stall commits.
func TestStalledSinkHoldsNoCommit(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{LogBin: true})
	src.heavyTail(t)
	log := filepath.Join(t.TempDir(), "log")
	e := withTool(t, src.Server, teeing(log))
	ctx, stop := context.WithCancel(t.Context())
	longest := make(chan time.Duration, 1)
	go func() { longest <- slowestCommit(ctx, t, src.Server) }()
	var once sync.Once
	out := &hookSink{hook: func(n int) {
		if said(log, "Started BACKUP STAGE BLOCK_DDL") {
			once.Do(func() { <-time.After(5 * time.Second) })
		}
	}}
	var events []string
	opt := engine.Options{Event: func(e coffer.Event) { events = append(events, e.Code) }}
	res, err := e.Backup(t.Context(), out, engine.Base{}, opt)
	stop()
	if slow := <-longest; err != nil || slow > 3*time.Second {
		t.Errorf("a commit took %v; %v", slow, err)
	}
	if res.Holds.NonTrans <= 0 || res.Holds.Commit <= 0 || res.Holds.Commit > 3*time.Second || res.Holds.NonTrans < res.Holds.Commit {
		t.Errorf("holds %+v", res.Holds)
	}
	t.Logf("holds %+v, events %v", res.Holds, events)
}

// slowestCommit commits small rows until ctx ends.
func slowestCommit(ctx context.Context, t *testing.T, s *testenv.Server) time.Duration {
	db := s.DB(t)
	var slowest time.Duration
	for ctx.Err() == nil {
		begin := time.Now()
		if _, err := db.Exec("INSERT INTO shop.orders (v) VALUES ('tick')"); err != nil {
			t.Errorf("writer: %v", err)
			return slowest
		}
		slowest = max(slowest, time.Since(begin))
		<-time.After(10 * time.Millisecond)
	}
	return slowest
}

func TestDDLWaitIsBounded(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	db := src.DB(t)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A statement that holds a table's metadata lock against every DDL.
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		_, _ = conn.ExecContext(t.Context(), "CREATE TABLE shop.slow AS SELECT SLEEP(6) AS s")
	}()
	e := engineOf(t, src.Server)
	begin := time.Now()
	_, err = e.Backup(t.Context(), &enginetest.Recorder{}, engine.Base{}, engine.Options{MaxDDLWait: 500 * time.Millisecond})
	<-busy
	if !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(coffer.HintOf(err), "max_ddl_wait") {
		t.Errorf("after %v: %v (%s)", time.Since(begin), err, coffer.HintOf(err))
	}
}

func TestSpoolThatIsFullEndsTheBackup(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	late := make([]byte, 16<<20) // of a trigger's kind: copied after BLOCK_DDL
	rand.Read(late)
	if err := os.WriteFile(filepath.Join(src.DataDir, "shop", "late.TRN"), late, 0o644); err != nil {
		t.Fatal(err)
	}
	log, pid, calls := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "pid"), 0
	e := withTool(t, src.Server, `echo $$ >`+pid+`; `+teeing(log))
	var once sync.Once
	out := &hookSink{hook: func(int) {
		if said(log, "Started BACKUP STAGE BLOCK_DDL") {
			once.Do(func() { awaitEnd(t, pid) })
			return
		}
		if calls++; calls%16 == 0 {
			<-time.After(3 * time.Millisecond) // the log must not lag behind the stream
		}
	}}
	_, err := e.Backup(t.Context(), out, engine.Base{}, engine.Options{SpoolBytes: 1 << 20})
	if !coffer.IsKind(err, coffer.KindNoSpace) {
		t.Errorf("err = %v", err)
	}
}

// awaitEnd waits until the process whose number is in the file is gone.
func awaitEnd(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := os.Stat("/proc/" + strings.TrimSpace(string(b))); err != nil {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Error("the tool was not ended")
}

func said(path, words string) bool {
	b, _ := os.ReadFile(path)
	return strings.Contains(string(b), words)
}
