package mysql

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

// stored is a layer in memory.
type stored struct {
	id       coffer.BackupID
	position coffer.Position
	stream   []byte
	end      error // instead of io.EOF
}

var _ engine.Layer = stored{}

func (s stored) Backup() coffer.BackupID   { return s.id }
func (s stored) Position() coffer.Position { return s.position }
func (s stored) PlainBytes() int64         { return int64(len(s.stream)) }

func (s stored) Stream(context.Context) (io.ReadCloser, error) {
	r := io.Reader(bytes.NewReader(s.stream))
	if s.end != nil {
		r = io.MultiReader(r, failing{s.end})
	}
	return io.NopCloser(r), nil
}

func (s stored) Range(context.Context, int64, int64) (io.ReadCloser, error) {
	return nil, coffer.E(coffer.KindUnsupported, "range", "no index")
}

func (s stored) Entries(context.Context) iter.Seq2[engine.Entry, error] {
	return func(func(engine.Entry, error) bool) {}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// workspace is a folder that any user may go through, as a target's parent must be.
func workspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// emptyTarget is an empty folder in a workspace.
func emptyTarget(t *testing.T) engine.Target {
	t.Helper()
	dir := filepath.Join(workspace(t), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return engine.Target{Dir: dir, UID: 65534, GID: 65534, Memory: 64 << 20}
}

// fakeTool is a prepare of a few lines of shell: it moves the increment's files
// over the target, and says what the real one does. do runs before its last words.
func fakeTool(t *testing.T, do, last string) restoreEnv {
	t.Helper()
	path := filepath.Join(workspace(t), "tool")
	script := `#!/bin/sh
for a; do case $a in --target-dir=*) d=${a#*=};; --incremental-dir=*) i=${a#*=};; esac; done
cd "$d" || exit 1
[ -n "$i" ] && { rm "$i"/*.delta "$i"/*.meta "$i"/*/*.delta "$i"/*/*.meta 2>/dev/null; cp -R "$i"/. .; }
sed -i 's/^backup_type.*/backup_type = log-applied/' xtrabackup_checkpoints
` + do + "\n" + last + "\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return restoreEnv{Backup: path}
}

const saysOK = `echo "[00] 2026-01-01 00:00:00 completed OK!" >&2`

// smallChain is a full and an increment, as stored.
func smallChain(t *testing.T) []engine.Layer {
	t.Helper()
	_, f, err := pass(full(t).whole("app/a.ibd", 7).file("app/a.frm", "x").closing(fullCheckpoints), engine.Base{}, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	base := parent(t, f.Bytes())
	_, inc, err := pass(increment(t).delta("app/a.ibd", 7, 3).closing(incrCheckpoints), base, 1500, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return []engine.Layer{
		stored{id: "one", position: base.Position, stream: f.Bytes()},
		stored{id: "two", position: coffer.Position{From: 1500, To: 3000, RedoStart: 1500, Last: 3100}, stream: inc.Bytes()},
	}
}

// list is what a folder holds.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRestoreLeavesAFolderToStartOn(t *testing.T) {
	t.Parallel()
	target := emptyTarget(t)
	var phases []string
	target.Progress = func(p engine.Progress) {
		if !slices.Contains(phases, p.Phase) {
			phases = append(phases, p.Phase)
		}
	}
	if err := os.MkdirAll(filepath.Join(filepath.Dir(target.Dir), ".data-increment-killed", "app"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := fakeTool(t, `[ -e RESTORE-INCOMPLETE ] || exit 3; [ "$(id -u)" != 0 ] || exit 4; env | grep -v '^PWD\|^PATH\|^LC_ALL\|^_\|^SHLVL\|^OLDPWD' && exit 5`, saysOK)
	if err := restore(t.Context(), env, target, smallChain(t)); err != nil {
		t.Fatal(err)
	}
	want := []string{"app/a.frm", "app/a.ibd", "backup-my.cnf", "ib_logfile0", "ibdata1", "undo001"}
	if d := cmp.Diff(want, list(t, target.Dir)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"unpack", "prepare"}, phases); d != "" {
		t.Error(d)
	}
	if os.Geteuid() == 0 {
		for _, name := range append(want, ".", "app") {
			info, err := os.Stat(filepath.Join(target.Dir, name))
			if err != nil || info.Sys().(*syscall.Stat_t).Uid != 65534 || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: owner or mode %v, %v", name, info.Mode(), err)
			}
		}
	}
	beside, err := os.ReadDir(filepath.Dir(target.Dir))
	if err != nil || len(beside) != 1 {
		t.Errorf("left beside the target: %v %v", beside, err)
	}
	got, err := serverOptions(target.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{
		"innodb_data_file_path": "ibdata1:12M:autoextend", "innodb_page_size": "16384",
		"innodb_undo_tablespaces": "1", "innodb_checksum_algorithm": "crc32",
	}, got); d != "" {
		t.Error(d)
	}
}

// TestFailedRestoreLeavesNothing: whatever goes wrong, the target is empty again.
func TestFailedRestoreLeavesNothing(t *testing.T) {
	t.Parallel()
	layers := smallChain(t)
	good, inc := layers[0].(stored), layers[1].(stored)
	with := func(name, content string) []engine.Layer {
		s := full(t).file(name, content)
		l := good
		l.stream = s.closing(fullCheckpoints)
		return []engine.Layer{l}
	}
	conf := func(old, new string) []engine.Layer {
		s := full(t).file("ib_logfile0", redo(1500)).file("xtrabackup_checkpoints", fullCheckpoints)
		l := good
		l.stream = s.file("backup-my.cnf", strings.Replace(options, old, new, 1)).Bytes()
		return []engine.Layer{l}
	}
	cut, other := good, inc
	cut.stream = cut.stream[:len(cut.stream)-10]
	other.position.To = 3001
	away := good
	away.end = coffer.E(coffer.KindCorrupt, "read", "a part does not match its sum")
	ok := fakeTool(t, "", saysOK)
	for name, c := range map[string]struct {
		env    restoreEnv
		layers []engine.Layer
		kind   coffer.Kind
	}{
		"exit 1":                 {fakeTool(t, "", saysOK+"; exit 1"), layers, coffer.KindTool},
		"no closing words":       {fakeTool(t, "", "echo done >&2"), layers, coffer.KindTool},
		"words after the end":    {fakeTool(t, "", saysOK+"; echo more >&2"), layers, coffer.KindTool},
		"words of damage":        {fakeTool(t, "echo '[ERROR] InnoDB: Not applying X due to corruption' >&2", saysOK), layers, coffer.KindTool},
		"fails on the increment": {fakeTool(t, `[ -z "$i" ] || exit 7`, saysOK), layers, coffer.KindTool},
		"disk full":              {fakeTool(t, "echo 'write: No space left on device' >&2", "exit 1"), layers, coffer.KindNoSpace},
		"does nothing":           {fakeTool(t, "sed -i 's/log-applied/full-prepared/' xtrabackup_checkpoints", saysOK), layers, coffer.KindTool},
		"leaves a delta":         {fakeTool(t, "touch app/x.ibd.delta", saysOK), layers, coffer.KindTool},
		"no such tool":           {restoreEnv{Backup: "/nowhere/mariadb-backup"}, layers, coffer.KindTool},
		"cut stream":             {ok, []engine.Layer{cut}, coffer.KindCorrupt},
		"sums do not match":      {ok, []engine.Layer{away}, coffer.KindCorrupt},
		"not what was promised":  {ok, []engine.Layer{good, other}, coffer.KindCorrupt},
		"data directory":         {ok, with("app/a.isl", "/etc/passwd"), coffer.KindUnsupported},
		"rename leads out":       {ok, with("app/a.ren", "../../x"), coffer.KindCorrupt},
		"rename to an absolute":  {ok, with("app/a.ren", "/etc/x"), coffer.KindCorrupt},
		"tool's compression":     {ok, with("app/a.ibd.qp", "x"), coffer.KindUnsupported},
		"data file leads out":    {ok, conf("ibdata1:12M:autoextend", "..:12M"), coffer.KindCorrupt},
		"data file of nothing":   {ok, conf("ibdata1:12M:autoextend", "x"), coffer.KindCorrupt},
		"page size of nothing":   {ok, conf("=16384", "=16k;x"), coffer.KindCorrupt},
		"no undo count":          {ok, conf("innodb_undo_tablespaces=1", ""), coffer.KindCorrupt},
	} {
		target := emptyTarget(t)
		err := restore(t.Context(), c.env, target, c.layers)
		if !coffer.IsKind(err, c.kind) {
			t.Errorf("%s: got %v (%s), want %s", name, err, coffer.KindOf(err), c.kind)
		}
		if left := list(t, filepath.Dir(target.Dir)); len(left) != 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// TestOptionsAreReduced: the tool sees no option that the stream smuggled in.
// TestFailedPrepareSaysWhy: what the tool says last is how its library was shut down.
func TestFailedPrepareSaysWhy(t *testing.T) {
	t.Parallel()
	tool := fakeTool(t, "echo '2026-01-01 0:00:00 0 [ERROR] InnoDB: Missing FILE_CREATE' >&2; echo 'Error in my_thread_global_end(): 1 threads didn''t exit' >&2", "exit 1")
	err := restore(t.Context(), tool, emptyTarget(t), smallChain(t))
	if !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(err.Error(), "Missing FILE_CREATE") {
		t.Errorf("%v", err)
	}
}

func TestOptionsAreReduced(t *testing.T) {
	t.Parallel()
	evil := "innodb_data_file_path=/var/evil/ibdata1:12M:autoextend\nplugin_load=evil.so\n!include /etc/x\ntmpdir=/etc\n" +
		"innodb_undo_directory=/etc\ninnodb_page_size=16384\ninnodb_undo_tablespaces=1\n"
	s := full(t).file("ib_logfile0", redo(1500)).file("xtrabackup_checkpoints", fullCheckpoints).file("backup-my.cnf", evil)
	layer := stored{id: "one", position: coffer.Position{To: 2000}, stream: s.Bytes()}
	target := emptyTarget(t)
	if err := restore(t.Context(), fakeTool(t, "cp backup-my.cnf seen", saysOK), target, []engine.Layer{layer}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(target.Dir, "seen"))
	want := "[mysqld]\ninnodb_data_file_path=ibdata1:12M:autoextend\ninnodb_page_size=16384\ninnodb_undo_tablespaces=1\ninnodb_undo_directory=./\n"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRestoreRefusesBeforeItWrites(t *testing.T) {
	t.Parallel()
	layers := smallChain(t)
	one, two := layers[0].(stored), layers[1].(stored)
	gap, older, strange := two, two, two
	gap.position.From = 2001
	older.position.To = 1999
	strange.position.Lineage.FirstLSN = 5
	first := one
	first.position.Lineage.FirstLSN = 4
	env := fakeTool(t, "", saysOK)
	for name, chain := range map[string][]engine.Layer{
		"nothing": nil, "no full": {two}, "two fulls": {one, one}, "a gap": {one, gap}, "backwards": {one, older},
		"another folder's": {first, strange},
	} {
		target := emptyTarget(t)
		if err := restore(t.Context(), env, target, chain); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	full := emptyTarget(t)
	if err := os.WriteFile(filepath.Join(full.Dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := restore(t.Context(), env, full, layers); !coffer.IsKind(err, coffer.KindConflict) {
		t.Errorf("not empty: got %v", err)
	}
	if d := cmp.Diff([]string{"mine"}, list(t, full.Dir)); d != "" {
		t.Error(d)
	}
	killed := emptyTarget(t)
	if err := os.WriteFile(filepath.Join(killed.Dir, incompleteMarker), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := restore(t.Context(), env, killed, layers); !coffer.IsKind(err, coffer.KindConflict) || !strings.Contains(err.Error(), "earlier restore") {
		t.Errorf("after a kill: got %v", err)
	}
	if d := cmp.Diff([]string{incompleteMarker}, list(t, killed.Dir)); d != "" {
		t.Error(d)
	}
	if os.Geteuid() == 0 {
		rooted := emptyTarget(t)
		rooted.UID = 0
		if err := restore(t.Context(), env, rooted, layers); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("as root: got %v", err)
		}
	}
}

// TestCanceledRestoreEndsTheTool: the tool's whole group ends, and the folder is
// empty.
func TestCanceledRestoreEndsTheTool(t *testing.T) {
	t.Parallel()
	target := emptyTarget(t)
	ctx, cancel := context.WithCancel(t.Context())
	env := fakeTool(t, "echo started >&2; sleep 600", saysOK)
	env.Log = func(string) { cancel() }
	begun := time.Now()
	if err := restore(ctx, env, target, smallChain(t)); !coffer.IsKind(err, coffer.KindCanceled) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("took %v: something of the tool went on", took)
	}
	if left := list(t, filepath.Dir(target.Dir)); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestTheToolMayTalkForEver: a gigabyte of words is neither kept nor in the way.
func TestTheToolMayTalkForEver(t *testing.T) {
	t.Parallel()
	w := new(toolWords)
	w.read(io.MultiReader(&endlessLine{n: 1 << 30}, strings.NewReader("\n[00] x completed OK!\n")))
	if err := w.verdict(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if len(w.last) > maxToolLine {
		t.Errorf("kept %d bytes", len(w.last))
	}
}

type endlessLine struct{ n int }

func (e *endlessLine) Read(p []byte) (int, error) {
	if e.n <= 0 {
		return 0, io.EOF
	}
	n := copy(p, strings.Repeat("x", 4<<10))
	e.n -= n
	return n, nil
}

// TestRemovedLinkDoesNotMatter: a layer's orders are carried out before it is
// checked.
func TestRemovedLinkDoesNotMatter(t *testing.T) {
	t.Parallel()
	s := full(t).file("app/a.isl", "/etc/passwd")
	s.must(s.w.Remove("app/a.isl"))
	s.must(s.w.WriteFile("app/a.frm", xbstream.Rewrite, []byte("x")))
	layer := stored{id: "one", position: coffer.Position{To: 2000}, stream: s.closing(fullCheckpoints)}
	if err := restore(t.Context(), fakeTool(t, "", saysOK), emptyTarget(t), []engine.Layer{layer}); err != nil {
		t.Error(err)
	}
}
