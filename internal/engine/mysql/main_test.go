package mysql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/guard"
	"github.com/cofferdb/coffer/internal/testenv"
)

func TestMain(m *testing.M) {
	guard.Hook()
	goleak.VerifyTestMain(m)
}

// realSource is a private MariaDB with some tables of several engines.
type realSource struct {
	*testenv.Server
	n int
}

func newSource(t *testing.T, o testenv.MariaDBOptions) *realSource {
	t.Helper()
	testenv.Need(t, "mariadb-backup")
	s := &realSource{Server: testenv.MariaDB(t, o)}
	s.Exec(t, "CREATE DATABASE shop", "USE shop",
		"CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200), b LONGBLOB, KEY (v))",
		"CREATE TABLE shop.cart (id INT PRIMARY KEY, v VARCHAR(100)) ENGINE=Aria",
		"CREATE TABLE shop.old (id INT PRIMARY KEY, v VARCHAR(100)) ENGINE=MyISAM",
		"CREATE TABLE shop.parts (id INT PRIMARY KEY, v VARCHAR(100)) PARTITION BY HASH(id) PARTITIONS 3",
		"INSERT INTO shop.orders (v, b) SELECT seq, REPEAT(MD5(seq), 40) FROM seq_1_to_2000")
	s.Change(t)
	return s
}

// Change changes every table.
func (s *realSource) Change(t testing.TB) {
	t.Helper()
	s.n++
	s.Exec(t, "USE shop",
		fmt.Sprintf("INSERT INTO shop.orders (v, b) SELECT CONCAT('c%d-', seq), REPEAT(MD5(seq), 40) FROM seq_1_to_300", s.n),
		fmt.Sprintf("UPDATE shop.orders SET v = CONCAT('u%d-', id) WHERE id %% 37 = %d", s.n, s.n%37),
		fmt.Sprintf("INSERT INTO shop.cart VALUES (%d, 'aria %d')", s.n, s.n),
		fmt.Sprintf("INSERT INTO shop.old VALUES (%d, 'myisam %d')", s.n, s.n),
		fmt.Sprintf("INSERT INTO shop.parts SELECT %d * 1000 + seq, 'p' FROM seq_1_to_50", s.n),
		fmt.Sprintf("CREATE TABLE shop.new%d (id INT PRIMARY KEY) AS SELECT seq AS id FROM seq_1_to_9", s.n))
}

func (s *realSource) Content(t testing.TB) string { return content(t, s.Server) }

// content is a checksum of every table of the schema.
func content(t testing.TB, s *testenv.Server) string {
	t.Helper()
	db := s.DB(t)
	rows, err := db.QueryContext(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop' AND table_type = 'BASE TABLE' ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		names = append(names, "shop."+n)
	}
	rows.Close()
	var b strings.Builder
	for _, n := range names {
		var name string
		var sum *int64
		if err := db.QueryRowContext(t.Context(), "CHECKSUM TABLE "+n).Scan(&name, &sum); err != nil || sum == nil {
			t.Fatalf("checksum of %s: %v", n, err)
		}
		fmt.Fprintf(&b, "%s %d\n", name, *sum)
	}
	return b.String()
}

func (s *realSource) Target(t testing.TB) engine.Target { return newTarget(t) }

func newTarget(t testing.TB) engine.Target {
	t.Helper()
	// t.TempDir is closed to the account that the restored server runs as.
	parent, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	dir := filepath.Join(parent, "data")
	if err := errors.Join(os.Chmod(parent, 0o755), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	target := engine.Target{Dir: dir}
	if os.Getuid() == 0 {
		u, err := user.Lookup("mysql")
		if err != nil {
			t.Fatal(err)
		}
		target.UID, _ = strconv.Atoi(u.Uid)
		target.GID, _ = strconv.Atoi(u.Gid)
	}
	return target
}

func (s *realSource) Restored(t testing.TB, dir string) string {
	t.Helper()
	return content(t, testenv.MariaDB(t, testenv.MariaDBOptions{DataDir: dir}))
}

// engineOf binds an engine to the server, guarded by this test binary.
func engineOf(t testing.TB, s *testenv.Server) *Engine {
	t.Helper()
	e, err := New(Config{
		Conn:     coffer.Conn{Socket: s.Socket, CredentialsFile: s.CredentialsFile},
		Guard:    guard.Self(),
		StateDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEngineKeepsTheLaw(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) (engine.Engine, enginetest.Source) {
		src := newSource(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 192})
		return engineOf(t, src.Server), src
	})
}

// takeFull takes a full backup and gives it as a base.
func takeFull(t *testing.T, e *Engine) (*enginetest.Layer, engine.Base) {
	t.Helper()
	l, base, _ := enginetest.Take(t, e, engine.Base{}, engine.Options{})
	return l, base
}

// refused holds that an increment onto base is refused in Probe, for a reason
// that has the words.
func refused(t *testing.T, e *Engine, base engine.Base, words string) {
	t.Helper()
	_, err := e.Probe(context.WithoutCancel(t.Context()), base)
	if !coffer.IsKind(err, coffer.KindNeedFull) || !strings.Contains(fmt.Sprint(err), words) || coffer.HintOf(err) == "" {
		t.Errorf("Probe gives %v (hint %q), want KindNeedFull with %q", err, coffer.HintOf(err), words)
	}
}
