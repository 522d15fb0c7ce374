package mysql

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
)

// ofLayer is what the tool's tests take.
func ofLayer(l *enginetest.Layer) indexed {
	return indexed{stored{id: l.ID, position: l.At, stream: l.Data}, l.Files}
}

// TestRealSynthesis: a full and three increments of a busy server with DDL, joined
// without it: the full is what the source is, restored by the stock tools alone; an
// increment onto it is accepted, and the two are what the source is then.
func TestRealSynthesis(t *testing.T) {
	t.Parallel()
	s := newChainSource(t)
	e := engineOf(t, s.s)
	s.exec("CREATE TABLE ledger(id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
		"CREATE TABLE t(id INT PRIMARY KEY, v VARCHAR(400), b BLOB, KEY(v(20)))",
		"INSERT INTO t SELECT seq, REPEAT('x', 50), REPEAT('b', 300) FROM seq_1_to_8000",
		"CREATE TABLE z(id INT PRIMARY KEY, v VARCHAR(100)) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4",
		"INSERT INTO z SELECT seq, MD5(seq) FROM seq_1_to_2000",
		"CREATE TABLE p(id INT PRIMARY KEY) PARTITION BY HASH(id) PARTITIONS 3", "INSERT INTO p SELECT seq FROM seq_1_to_500",
		"CREATE TABLE ar(id INT PRIMARY KEY, v INT) ENGINE=Aria", "CREATE TABLE my(id INT) ENGINE=MyISAM",
		"CREATE TABLE a(id INT)", "CREATE TABLE b(id INT)", "INSERT INTO a VALUES(1)", "INSERT INTO b VALUES(2)", "CREATE TABLE gone(id INT)")
	stop := s.write()
	var base engine.Base
	var chain []engine.Layer
	take := func() {
		var l *enginetest.Layer
		l, base, _ = enginetest.Take(t, e, base, engine.Options{})
		chain = append(chain, l)
	}
	take()
	s.exec("INSERT INTO ar SELECT seq, seq FROM seq_1_to_300", "INSERT INTO my VALUES(1),(2)", "CREATE TABLE made(id INT PRIMARY KEY)",
		"INSERT INTO made SELECT seq FROM seq_1_to_3000", "RENAME TABLE a TO x, b TO a, x TO b", "DROP TABLE gone")
	take()
	s.exec("TRUNCATE TABLE p", "UPDATE made SET id = id + 10000 WHERE id < 10", "UPDATE a SET id = id + 10", "ALTER TABLE z FORCE")
	take()
	stop()
	s.exec("INSERT INTO p SELECT seq FROM seq_1_to_77", "UPDATE t SET v = 'last' WHERE id < 4000", "DELETE FROM ar WHERE id < 100")
	take()
	want := checksums(t, s.db)

	full, joined := synthesize(t, e, chain, base)
	if d := cmp.Diff(want, checksums(t, start(t, s.stock([]engine.Layer{ofLayer(full)})))); d != "" {
		t.Errorf("by the stock tools: %s", d)
	}
	spoiltIsRefused(t, e, chain, base)
	s.exec("UPDATE t SET v = 'after' WHERE id % 3 = 0", "CREATE TABLE later(id INT)", "INSERT INTO later VALUES(7)", "INSERT INTO my VALUES(3)", "DROP TABLE b")
	next, _, _ := enginetest.Take(t, e, joined, engine.Options{})
	want = checksums(t, s.db)
	if d := cmp.Diff(want, checksums(t, start(t, s.restored(full, next)))); d != "" {
		t.Errorf("an increment onto it: %s", d)
	}
	if os.Getenv("COFFER_HEAVY") != "" {
		if d := cmp.Diff(want, checksums(t, start(t, s.stock([]engine.Layer{ofLayer(full), ofLayer(next)})))); d != "" {
			t.Errorf("an increment onto it, by the stock tools: %s", d)
		}
	}
	again, _ := synthesize(t, e, []engine.Layer{full, next}, engine.Base{}) // the table ids are not known here
	if d := cmp.Diff(names(ofLayer(next)), names(ofLayer(again))); d != "" {
		t.Errorf("joined again it has other tables: %s", d)
	}
}

// spoiltIsRefused: a sink that fails, a page that was spoilt, a summary of other
// tables and a link that does not fit end it, each with its own words.
func spoiltIsRefused(t *testing.T, e *Engine, chain []engine.Layer, base engine.Base) {
	t.Helper()
	try := func(out engine.Sink, chain []engine.Layer, summary []byte) error {
		_, err := e.Synthesize(t.Context(), out, chain, summary, engine.Options{})
		return err
	}
	full := errors.New("the sink is full")
	if err := try(&enginetest.Recorder{FailAt: 1 << 20, Err: full}, chain, base.Summary); !errors.Is(err, full) {
		t.Errorf("the sink fails: %v", err)
	}
	last := *chain[3].(*enginetest.Layer)
	last.Data = bytes.Clone(last.Data)
	for _, f := range last.Files {
		if f.Name == "app/t.ibd.delta" && f.Kind == engine.KindDelta {
			last.Data[f.Chunks[0].Plain+16384+99] ^= 1 // of the first page behind the list
		}
	}
	err := try(new(enginetest.Recorder), append(chain[:3:3], &last), base.Summary)
	if !coffer.IsKind(err, coffer.KindCorrupt) || !strings.Contains(err.Error(), "app/t.ibd") || !strings.Contains(err.Error(), "page ") {
		t.Errorf("a spoilt page: %v", err)
	}
	err = try(new(enginetest.Recorder), chain, []byte(`{"v":1,"spaces":[{"id":4242,"name":"app/other"}]}`))
	if !coffer.IsKind(err, coffer.KindCorrupt) || !strings.Contains(err.Error(), "app/other") {
		t.Errorf("a summary of other tables: %v", err)
	}
	if err = try(new(enginetest.Recorder), []engine.Layer{chain[0], chain[3]}, base.Summary); !coffer.IsKind(err, coffer.KindUnsupported) {
		t.Errorf("a link is left out: %v", err)
	}
}

// names are the tables that a layer defines.
func names(l indexed) map[string]bool {
	got := map[string]bool{}
	for _, e := range l.entries {
		if e.Kind == engine.KindFile && len(e.Name) > 4 && e.Name[len(e.Name)-4:] == ".frm" {
			got[e.Name] = true
		}
	}
	return got
}

// synthesize joins the chain and holds what every full keeps.
func synthesize(t *testing.T, e *Engine, chain []engine.Layer, base engine.Base) (*enginetest.Layer, engine.Base) {
	t.Helper()
	var out enginetest.Recorder
	res, err := e.Synthesize(t.Context(), &out, chain, base.Summary, engine.Options{})
	if err != nil {
		t.Fatalf("synthesize: %v (%s)", err, coffer.HintOf(err))
	}
	last := chain[len(chain)-1].Position()
	pos := last
	pos.From = 0
	if d := cmp.Diff(pos, res.Position); d != "" {
		t.Errorf("it stands elsewhere than its last link: %s", d)
	}
	id := coffer.BackupID(coffer.NewUUID())
	l := out.Layer(id, res.Position)
	if (len(res.Summary) > 0) != (len(base.Summary) > 0) {
		t.Errorf("a summary of %d bytes from one of %d", len(res.Summary), len(base.Summary))
	}
	if len(base.Summary) > 0 {
		sameTables(t, base.Summary, res.Summary)
	}
	return l, engine.Base{Backup: id, Position: res.Position, Summary: res.Summary}
}

// sameTables: the full's summary has the chain's tables with all that is known of
// them.
func sameTables(t *testing.T, chain, full []byte) {
	t.Helper()
	var was, now summary
	if err := errors.Join(json.Unmarshal(chain, &was), json.Unmarshal(full, &now)); err != nil {
		t.Fatal(err)
	}
	for i := range was.Spaces {
		was.Spaces[i].Whole = true
	}
	if d := cmp.Diff(was, now, cmpopts.IgnoreUnexported(space{})); d != "" || len(now.Spaces) == 0 {
		t.Errorf("the summary differs (-chain +full): %s", d)
	}
}

// restored restores layers with our engine.
func (s *chainSource) restored(layers ...*enginetest.Layer) string {
	s.t.Helper()
	var all []engine.Layer
	for _, l := range layers {
		all = append(all, l)
	}
	target, err := s.ours(all)
	if err != nil {
		s.t.Fatal(err)
	}
	return target.Dir
}
