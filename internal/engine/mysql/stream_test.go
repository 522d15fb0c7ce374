package mysql

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

func TestFullPassesUnchanged(t *testing.T) {
	t.Parallel()
	in := full(t).whole("app/t.ibd", 7).file("app/m.MYD", "").file("app/t.frm", "frm").closing(fullCheckpoints)
	for _, n := range []int{1, 7, 100, 1 << 20} {
		i, out, err := pass(in, engine.Base{}, 0, n)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), in) {
			t.Fatalf("in pieces of %d: the stream was changed", n)
		}
		want := streamInfo{
			To: 2000, Last: 2100, RedoStart: 1500, DataFilePath: "ibdata1:12M:autoextend", PageSize: 16384, UndoSpaces: 1,
			GTID: "0-7-9", BinlogFile: "bin.000001", BinlogOffset: 42,
			ToolVersion: "10.11.19-MariaDB", ServerVersion: "10.11.19-MariaDB-log", Plain: int64(len(in)),
			PageLists: true,
			Summary:   []byte(`{"v":1,"merges":true,"spaces":[{"id":1,"name":"undo001","whole":true},{"id":7,"name":"app/t","whole":true,"pages":"AAI="}]}`),
		}
		if d := cmp.Diff(want, i); d != "" {
			t.Error(d)
		}
		checkEntries(t, out)
	}
}

func TestIncrementSaysWhatThePrepareWants(t *testing.T) {
	t.Parallel()
	base := parent(t, full(t).whole("app/t.ibd", 7).closing(fullCheckpoints))
	in := increment(t).delta("app/t.ibd", 7, 3).closing(incrCheckpoints)
	for _, n := range []int{1, 13, 1 << 20} {
		i, out, err := pass(in, base, 1500, n)
		if err != nil {
			t.Fatal(err)
		}
		if i.From != 1500 || i.To != 3000 || i.Plain != int64(out.Len()) {
			t.Errorf("from %d to %d, %d bytes of %d: not the true values", i.From, i.To, i.Plain, out.Len())
		}
		checkEntries(t, out)
		e := out.entry("xtrabackup_checkpoints")
		if want := strings.Replace(incrCheckpoints, "1500", "2000", 1); string(e.Inline) != want {
			t.Errorf("stored %q, want %q", e.Inline, want)
		}
		if !strings.Contains(out.String(), options) || !strings.HasPrefix(out.String(), string(in[:1000])) {
			t.Error("more than that file was changed")
		}
	}
	base.Position.RedoStart = 0
	asTo := strings.Replace(incrCheckpoints, "1500", "2000", 1)
	in = increment(t).delta("app/t.ibd", 7, 3).closing(asTo)
	if _, out, err := pass(in, base, 2000, 1000); err != nil || !bytes.Equal(out.Bytes(), in) {
		t.Errorf("an increment from its parent's end was changed (%v)", err)
	}
}

func TestEntriesTellOfTablespaces(t *testing.T) {
	t.Parallel()
	in := full(t).whole("app/t.ibd", 7).whole("app/n.new", 8).whole("app/z.ibd", 0).
		file("app/a.del", "").file("app/b.ren", "app/c").closing(fullCheckpoints)
	_, out, err := pass(in, engine.Base{}, 0, 4096)
	if err != nil {
		t.Fatal(err)
	}
	base := parent(t, in)
	_, inc, err := pass(increment(t).delta("app/t.ibd", 7, 0, 3).delta("app/n.ibd", 8, 3).closing(incrCheckpoints), base, 1500, 4096)
	if err != nil {
		t.Fatal(err)
	}
	id := func(n uint32) *uint32 { return &n }
	for name, want := range map[string]engine.Entry{
		"app/t.ibd": {Kind: engine.KindSpace, Space: id(7), PageSize: 16384, Page0: true},
		"app/n.new": {Kind: engine.KindNew, Space: id(8), PageSize: 16384, Page0: true},
		"app/z.ibd": {Kind: engine.KindSpace}, "app/a.del": {Kind: engine.KindDel},
		"app/b.ren": {Kind: engine.KindRen, Inline: []byte("app/c")}, "ib_logfile0": {Kind: engine.KindFile},
		"ibdata1": {Kind: engine.KindSpace, Space: id(0)},
	} {
		want.Name = name
		got := out.entry(name)
		got.Chunks, got.Size = nil, 0
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if e := inc.entry("app/t.ibd.delta"); e.Kind != engine.KindDelta || !e.Page0 {
		t.Errorf("%+v", e)
	}
	runs := map[string][]byte{}
	for _, e := range inc.entries {
		if e.Kind == engine.KindPages {
			runs[e.Name] = append(runs[e.Name], e.Runs...)
		}
	}
	if d := cmp.Diff(map[string][]byte{"app/t.ibd.delta": {0, 1, 2, 1}, "app/n.ibd.delta": {3, 1}, "undo001.delta": {0, 1, 1, 1}}, runs); d != "" {
		t.Errorf("the lists of pages: %s", d)
	}
	if e := inc.entry("app/n.ibd.delta"); e.Page0 {
		t.Errorf("%+v", e)
	}
	if e := inc.entry("app/n.ibd.meta"); e.Kind != engine.KindMeta || e.Space == nil || *e.Space != 8 || e.PageSize != 16384 {
		t.Errorf("%+v", e)
	}
	if e := out.entry("xtrabackup_info"); e.Inline != nil {
		t.Error("the tool's command line is in the index")
	}
}

func TestStreamRefusals(t *testing.T) {
	t.Parallel()
	good := func() *scene { return full(t).whole("app/t.ibd", 7) }
	without := func(name string) []byte {
		s := newScene(t)
		for _, f := range []struct{ name, content string }{
			{"ibdata1", "x"}, {"undo001", "x"}, {"ib_logfile0", redo(1500)}, {"xtrabackup_checkpoints", fullCheckpoints},
			{"backup-my.cnf", options}, {"xtrabackup_info", info},
		} {
			if f.name != name {
				s.file(f.name, f.content)
			}
		}
		return s.Bytes()
	}
	again := good()
	again.closing(fullCheckpoints)
	again.must(again.w.WriteFile("xtrabackup_checkpoints", xbstream.Rewrite, []byte(fullCheckpoints)))
	renamed, removed, seek := good(), good(), good()
	renamed.closing(fullCheckpoints)
	renamed.must(renamed.w.Rename("app/t.ibd", "xtrabackup_checkpoints"))
	removed.closing(fullCheckpoints)
	removed.must(removed.w.Remove("xtrabackup_checkpoints"))
	seek.Write(xbstream.AppendHeader(nil, xbstream.Chunk{Type: xbstream.Seek, Path: "x", Offset: 4}))
	flipped := good().closing(fullCheckpoints)
	flipped[200] ^= 1
	twice := good().whole("app/t.ibd", 7)
	cut := good().closing(fullCheckpoints)
	for name, c := range map[string]struct {
		stream []byte
		kind   coffer.Kind
	}{
		"flipped bit":               {flipped, coffer.KindCorrupt},
		"cut":                       {cut[:len(cut)-3], coffer.KindTool},
		"empty":                     {nil, coffer.KindTool},
		"inside a file":             {good().Bytes()[:9000], coffer.KindTool},
		"checkpoints twice":         {again.Bytes(), coffer.KindTool},
		"checkpoints renamed onto":  {renamed.Bytes(), coffer.KindTool},
		"checkpoints removed":       {removed.Bytes(), coffer.KindTool},
		"a file twice":              {twice.Bytes(), coffer.KindTool},
		"seek":                      {seek.Bytes(), coffer.KindUnsupported},
		"not a full":                {good().closing(incrCheckpoints), coffer.KindTool},
		"checkpoints without end":   {good().closing(strings.Repeat("x", 65<<10)), coffer.KindTool},
		"checkpoints of nothing":    {good().closing("x = y\n"), coffer.KindTool},
		"redo behind the end":       {good().closing(strings.Replace(fullCheckpoints, "2000", "1000", 1)), coffer.KindTool},
		"one id twice":              {good().whole("app/u.ibd", 7).closing(fullCheckpoints), coffer.KindTool},
		"meta without delta":        {good().file("app/u.ibd.meta", "page_size = 16384\nspace_id = 9\n").closing(fullCheckpoints), coffer.KindTool},
		"meta of nothing":           {good().file("app/u.ibd.meta", "x").closing(fullCheckpoints), coffer.KindTool},
		"rename that leads out":     {good().file("app/t.ren", "../../etc/x").closing(fullCheckpoints), coffer.KindCorrupt},
		"without checkpoints":       {without("xtrabackup_checkpoints"), coffer.KindTool},
		"without redo":              {without("ib_logfile0"), coffer.KindTool},
		"without info":              {without("xtrabackup_info"), coffer.KindTool},
		"without options":           {without("backup-my.cnf"), coffer.KindTool},
		"without system tablespace": {without("ibdata1"), coffer.KindTool},
		"without undo":              {without("undo001"), coffer.KindTool},
	} {
		for _, n := range []int{11, 1 << 20} {
			if _, _, err := pass(c.stream, engine.Base{}, 0, n); !coffer.IsKind(err, c.kind) {
				t.Errorf("%s: got %v, want %s", name, err, c.kind)
			}
		}
	}
	if _, _, err := pass(without(""), engine.Base{}, 0, 100); err != nil {
		t.Errorf("with everything: %v", err)
	}
}

func TestIncrementFromAnotherLSNIsRefused(t *testing.T) {
	t.Parallel()
	base := parent(t, full(t).whole("app/t.ibd", 7).closing(fullCheckpoints))
	in := func(old, new string) []byte {
		return increment(t).delta("app/t.ibd", 7, 3).closing(strings.Replace(incrCheckpoints, old, new, 1))
	}
	for name, c := range map[string]struct {
		stream []byte
		asked  uint64
		kind   coffer.Kind
	}{
		"not what was asked":   {in("1500", "1501"), 1500, coffer.KindTool},
		"behind the redo":      {in("1500", "1600"), 1600, coffer.KindNeedFull},
		"an older server":      {in("to_lsn = 3000", "to_lsn = 1900"), 1500, coffer.KindNeedFull},
		"a full":               {full(t).closing(fullCheckpoints), 1500, coffer.KindTool},
		"already the parent's": {in("1500", "2000"), 1500, coffer.KindTool},
	} {
		if _, _, err := pass(c.stream, base, c.asked, 500); !coffer.IsKind(err, c.kind) {
			t.Errorf("%s: got %v, want %s", name, err, c.kind)
		}
	}
}

func TestOtherTablespacesNeedAFull(t *testing.T) {
	t.Parallel()
	same := parent(t, full(t).closing(fullCheckpoints))
	for name, change := range map[string]func(*coffer.Position){
		"data files": func(p *coffer.Position) { p.DataFilePath = "ibdata1:12M;ibdata2:4M" },
		"page size":  func(p *coffer.Position) { p.PageSize = 8192 },
		"undo":       func(p *coffer.Position) { p.UndoSpaces = 3 },
	} {
		base := same
		change(&base.Position)
		if _, _, err := pass(increment(t).closing(incrCheckpoints), base, 1500, 500); !coffer.IsKind(err, coffer.KindNeedFull) {
			t.Errorf("%s: got %v, want KindNeedFull", name, err)
		}
	}
}

func TestSinkFailureEndsTheStream(t *testing.T) {
	t.Parallel()
	away := coffer.E(coffer.KindUnavailable, "put", "away")
	s := newStream(&keep{fail: away}, engine.Base{}, 0)
	in := full(t).Bytes()
	if _, err := s.Write(in); !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Write(in); !errors.Is(err, away) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := s.finish(); !errors.Is(err, away) {
		t.Errorf("in the end: %v", err)
	}
}

// frm is the beginning of a table's definition.
func frm(engine, inner byte) string {
	b := make([]byte, 100)
	b[3], b[61] = engine, inner
	return string(b)
}

func par(names ...string) string {
	return "\x07\x00\x00\x00N<\x00p\x02\x00\x00\x00\x0c\x0c\x00\x00\x06\x00\x00\x00" + strings.Join(names, "\x00") + "\x00\x00"
}

func TestMissingTablespaceIsSeen(t *testing.T) {
	t.Parallel()
	s := newStream(new(keep), engine.Base{}, 0)
	in := full(t).whole("app/here.ibd", 7).file("app/here.frm", frm(12, 0)).file("app/gone.frm", frm(12, 0)).
		file("app/parts.frm", frm(20, 12)).file("app/parts.par", par("p0", "p1", "q", "qsp0")).whole("app/parts#P#p0.ibd", 8).
		file("app/myisam.frm", frm(9, 0)).file("app/again.frm", frm(12, 0)).whole("app/again.new", 9).
		file("app/dropped.frm", frm(12, 0)).file("app/target.frm", frm(12, 0)).whole("app/origin.ibd", 10).file("app/origin.ren", "app/target")
	in.must(in.w.Remove("app/dropped.frm"))
	if _, err := s.Write(in.closing(fullCheckpoints)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.finish(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, table := range []string{
		"again", "dropped", "gone", "here", "myisam", "never", "parts#P#dropped", "parts#P#p0", "parts#P#p1",
		"parts#P#q#SP#other", "parts#P#q#SP#qsp0", "target",
	} {
		if s.missing("./app/" + table + ".ibd") {
			got = append(got, table)
		}
	}
	if d := cmp.Diff([]string{"gone", "parts#P#p1", "parts#P#q#SP#qsp0"}, got); d != "" {
		t.Error(d)
	}
}

// TestDiscardedMeanwhile: the tool says that a table was dropped whose definition
// is in the backup.
func TestDiscardedMeanwhile(t *testing.T) {
	t.Parallel()
	base := func() *scene { return full(t).whole("app/a.ibd", 7).file("app/a.del", "") }
	for name, c := range map[string]struct {
		stream *scene
		kind   coffer.Kind
	}{
		"dropped":           {base(), ""},
		"discarded":         {base().file("app/a.frm", frm(12, 0)), coffer.KindUnavailable},
		"made again":        {base().file("app/a.frm", frm(12, 0)).whole("app/a.new", 8), ""},
		"made as MyISAM":    {base().file("app/a.frm", frm(9, 0)), ""},
		"another took over": {base().file("app/a.frm", frm(12, 0)).whole("app/b.ibd", 8).file("app/b.ren", "app/a"), ""},
		"partition dropped": {base().file("app/p.frm", frm(20, 12)).file("app/p.par", par("p1")).file("app/p#P#p0.del", ""), ""},
		"partition lost":    {base().file("app/p.frm", frm(20, 12)).file("app/p.par", par("p0", "p1")).file("app/p#P#p0.del", ""), coffer.KindUnavailable},
	} {
		if _, _, err := pass(c.stream.closing(fullCheckpoints), engine.Base{}, 0, 1000); coffer.KindOf(err) != c.kind {
			t.Errorf("%s: got %v, want %q", name, err, c.kind)
		}
	}
}
