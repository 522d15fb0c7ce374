package mysql

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// TestRealMergeOnly: names are swapped, and taken by new tables, while an increment
// runs. The stock tool would lose a table of it; the position says so, no restore is
// tried step by step, and the merge that is chosen equals the source, also with an
// increment more on top.
func TestRealMergeOnly(t *testing.T) {
	t.Parallel()
	s := newChainSource(t)
	s.exec("CREATE TABLE a(id INT PRIMARY KEY, v VARCHAR(100))", "CREATE TABLE b LIKE a", "CREATE TABLE c LIKE a", "CREATE TABLE d LIKE a",
		"INSERT INTO a SELECT seq, 'a' FROM seq_1_to_3000", "INSERT INTO b SELECT seq, 'b' FROM seq_1_to_2000",
		"INSERT INTO c SELECT seq, 'c' FROM seq_1_to_1000", "INSERT INTO d SELECT seq, 'd' FROM seq_1_to_1500")
	s.mustBackup()
	s.exec("UPDATE a SET v = 'a2' WHERE id < 50")
	s.during = func() {
		s.exec("RENAME TABLE a TO x, b TO a, x TO b", "UPDATE a SET v = 'swapped' WHERE id < 20",
			"RENAME TABLE c TO old", "CREATE TABLE c LIKE a", "INSERT INTO c SELECT seq, 'new' FROM seq_1_to_500")
	}
	i := s.mustBackup()
	if i.MergeOnly == "" {
		t.Fatal("the increment does not say that only a merge restores it")
	}
	t.Log(i.MergeOnly)
	want := checksums(t, s.db)
	if d := cmp.Diff(want, s.by("", s.layers)); d != "" {
		t.Errorf("merged: %s", d)
	}
	tool, err := lookTool("", "mariadb-backup")
	if err != nil {
		t.Fatal(err)
	}
	target := emptyTarget(t)
	target.Way = engine.Stepwise
	err = restore(t.Context(), restoreEnv{Backup: tool}, target, s.layers)
	if !coffer.IsKind(err, coffer.KindUnsupported) || !strings.Contains(coffer.HintOf(err), "merged") {
		t.Errorf("step by step: got %v (hint %q), want KindUnsupported", err, coffer.HintOf(err))
	}
	s.exec("DELETE FROM old WHERE id < 300", "INSERT INTO c VALUES(9999, 'last')", "DROP TABLE d")
	s.mustBackup()
	if d := cmp.Diff(checksums(t, s.db), s.by("", s.layers)); d != "" {
		t.Errorf("merged, with an increment more: %s", d)
	}
}

// lostIndex is a layer whose index is gone.
type lostIndex struct {
	indexed
	again int // how often the stream was read for it
}

func (l *lostIndex) Rebuild(_ context.Context, plain io.Writer) error {
	l.again++
	for at := 0; at < len(l.stream); at += 70_000 {
		if _, err := plain.Write(l.stream[at:min(len(l.stream), at+70_000)]); err != nil {
			return err
		}
	}
	return nil
}

// TestIndexIsMadeAnew: the list that is made from a stored stream is the one that was
// made when it was taken, for a full and for an increment with a rewritten file.
func TestIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	f := full(t).whole("app/a.ibd", 7).file("app/a.frm", "frm").closing(fullCheckpoints)
	base := parent(t, f)
	inc := increment(t).delta("app/a.ibd", 7, 0, 1, 2).whole("app/n.new", 20).file("app/b.ren", "app/c").closing(incrCheckpoints)
	for name, c := range map[string]struct {
		stream []byte
		base   engine.Base
	}{"full": {f, engine.Base{}}, "increment": {inc, base}} {
		_, out, err := pass(c.stream, c.base, c.base.Position.RedoStart, 5000)
		if err != nil {
			t.Fatal(err)
		}
		l := &lostIndex{indexed: indexed{stored: stored{id: "b", stream: out.Bytes()}}}
		r := &restorer{}
		got, done, err := r.listed(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for e, err := range got.Entries(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line(t, e))
		}
		done()
		var want []string
		for _, e := range out.entries {
			want = append(want, line(t, e))
		}
		if d := cmp.Diff(want, lines); d != "" || l.again != 1 {
			t.Errorf("%s, read %d times: %s", name, l.again, d)
		}
	}
	l := &lostIndex{indexed: indexed{stored: stored{id: "b", stream: f[:len(f)-3]}}}
	if _, _, err := (&restorer{}).listed(t.Context(), l); err == nil {
		t.Error("the list of a cut stream was taken")
	}
}

func line(t *testing.T, e engine.Entry) string {
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}
