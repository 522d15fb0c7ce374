package mysql

import (
	"bytes"
	"context"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// indexed is a layer in memory with its index.
type indexed struct {
	stored
	entries []engine.Entry
}

var _ engine.Layer = indexed{}

func (l indexed) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > int64(len(l.stream))-n {
		return nil, coffer.E(coffer.KindInvalid, "range", "%d bytes from %d of %d", n, off, len(l.stream))
	}
	return io.NopCloser(bytes.NewReader(l.stream[off : off+n])), nil
}

func (l indexed) Entries(context.Context) iter.Seq2[engine.Entry, error] {
	return func(yield func(engine.Entry, error) bool) {
		for _, e := range l.entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// by restores in a way and says what the restored server holds.
func (s *chainSource) by(way engine.Way, layers []engine.Layer) map[string]string {
	s.t.Helper()
	tool, err := lookTool("", "mariadb-backup")
	if err != nil {
		s.t.Fatal(err)
	}
	target := emptyTarget(s.t)
	target.Way = way
	target.Event = func(e coffer.Event) { s.told = e.Text }
	env := restoreEnv{Backup: tool}
	if err := restore(s.t.Context(), env, target, layers); err != nil {
		s.t.Fatalf("%s: %v", way, err)
	}
	return checksums(s.t, start(s.t, target.Dir))
}

// TestRealMerge: a full and increments of a busy server with DDL, with checkpoints
// forced between and undo tablespaces that are truncated: merged, they are what the
// source is, and what the stock way gives, at each of two links.
func TestRealMerge(t *testing.T) {
	t.Parallel()
	s := newChainSource(t)
	s.exec("CREATE TABLE ledger(id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
		"CREATE TABLE t(id INT PRIMARY KEY, v VARCHAR(400), b BLOB, KEY(v(20)))",
		"INSERT INTO t SELECT seq, REPEAT('x', 50), REPEAT('b', 300) FROM seq_1_to_8000",
		"CREATE TABLE z(id INT PRIMARY KEY, v VARCHAR(100)) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4",
		"INSERT INTO z SELECT seq, MD5(seq) FROM seq_1_to_2000",
		"CREATE TABLE pc(id INT PRIMARY KEY, v TEXT) PAGE_COMPRESSED=1", "INSERT INTO pc SELECT seq, REPEAT('pc', 200) FROM seq_1_to_2000",
		"CREATE TABLE ft(id INT PRIMARY KEY, v TEXT, FULLTEXT(v))", "INSERT INTO ft SELECT seq, CONCAT('word', seq) FROM seq_1_to_200",
		"CREATE TABLE p(id INT PRIMARY KEY) PARTITION BY HASH(id) PARTITIONS 3", "INSERT INTO p SELECT seq FROM seq_1_to_500",
		"CREATE TABLE ar(id INT PRIMARY KEY, v INT) ENGINE=Aria", "CREATE TABLE my(id INT) ENGINE=MyISAM",
		"CREATE TABLE a(id INT) ", "CREATE TABLE b(id INT)", "INSERT INTO a VALUES(1)", "INSERT INTO b VALUES(2)", "CREATE TABLE gone(id INT)")
	stop := s.write()
	s.mustBackup()
	s.exec("INSERT INTO ar SELECT seq, seq FROM seq_1_to_300", "INSERT INTO my VALUES(1),(2)", "CREATE TABLE made(id INT PRIMARY KEY)",
		"INSERT INTO made SELECT seq FROM seq_1_to_3000", "RENAME TABLE a TO x, b TO a, x TO b", "DROP TABLE gone",
		"UPDATE pc SET v = REPEAT('new', 100) WHERE id % 7 = 0", "INSERT INTO ft SELECT seq, 'later' FROM seq_1000_to_1100")
	s.mustBackup()
	s.exec("TRUNCATE TABLE p", "ALTER TABLE z FORCE", "UPDATE made SET id = id + 10000 WHERE id < 10", "UPDATE a SET id = id + 10")
	stop()
	s.mustBackup()
	middle := checksums(t, s.db)
	s.exec("INSERT INTO p SELECT seq FROM seq_1_to_77", "DELETE FROM ar WHERE id < 100", "UPDATE t SET v = 'last' WHERE id < 4000",
		"UPDATE z SET v = 'z' WHERE id % 3 = 0", "SET GLOBAL innodb_log_checkpoint_now = 1", "DELETE FROM pc WHERE id < 500")
	s.mustBackup()
	want := checksums(t, s.db)
	if d := cmp.Diff(middle, s.by(engine.Merged, s.layers[:3])); d != "" {
		t.Errorf("merged to the third link: %s", d)
	}
	if d := cmp.Diff(want, s.by(engine.Merged, s.layers)); d != "" {
		t.Errorf("merged: %s", d)
	}
	// The index of one lacks a list that its position promises.
	short := slices.Clone(s.layers)
	l := short[1].(indexed)
	l.entries = slices.Clone(l.entries)
	for i, e := range l.entries {
		if e.Kind == engine.KindDelta {
			l.entries[i].PageSize = 0
		}
	}
	short[1] = l
	if d := cmp.Diff(want, s.by("", short)); d != "" {
		t.Errorf("step by step: %s", d)
	}
	if !strings.Contains(s.told, "step-by-step") || !strings.Contains(s.told, "does not list the pages") {
		t.Errorf("it was told: %s", s.told)
	}
	if os.Getenv("COFFER_HEAVY") == "" {
		return
	}
	for range 7 {
		s.exec("UPDATE t SET b = REPEAT('h', 200) WHERE id % 11 = 3", "SET GLOBAL innodb_log_checkpoint_now = 1", "INSERT INTO ledger(v) VALUES(1)")
		s.mustBackup()
	}
	if d := cmp.Diff(checksums(t, s.db), s.by(engine.Merged, s.layers)); d != "" {
		t.Errorf("merged, ten increments: %s", d)
	}
}
