package e2e

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // Trove's database

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/rest"
)

// troveKey is what old agents of Trove have encrypted with.
const troveKey = "default_aes_cbc_key"

// oldBackup is one that stock tools have written as Trove does.
type oldBackup struct {
	id, location, sum, lsn string
	before, after          time.Time
}

// shape is how one of Trove's eras wrote.
type shape struct{ era, form, kdf string }

func (s shape) String() string {
	return strings.Trim(s.era+" "+s.form+" "+strings.ReplaceAll(s.kdf, " ", ""), " ")
}

// trovely makes a world whose server reads what Trove has written into a Swift of its own.
func trovely(t *testing.T, bytes int64) (*world, farStore) {
	t.Helper()
	testenv.Need(t, "mariadb-backup", "openssl", "gzip", "curl", "bash")
	f := ownSwift(t)
	f.section += fmt.Sprintf("trove_key_file = %q\n", secretFile(t, troveKey))
	w := newWorld(t, newDatabase(t, bytes, true))
	w.on(f)
	return w, f
}

// trove writes one backup by the command lines of Trove's guests.
func (w *world) trove(f farStore, s shape, parent oldBackup) oldBackup {
	w.t.Helper()
	script, err := filepath.Abs("testdata/trove-backup.sh")
	if err != nil {
		w.t.Fatal(err)
	}
	b := oldBackup{id: coffer.NewUUID(), before: time.Now()}
	cmd := exec.Command("bash", script)
	cmd.Dir = w.t.TempDir()
	cmd.Env = append(os.Environ(), "ERA="+s.era, "FORM="+s.form, "KDF="+s.kdf, "ID="+b.id, "PIECE=1048576", "CONTAINER=database_backups",
		"PARENT="+parent.location, "PARENT_SUM="+parent.sum, "LSN="+parent.lsn, "KEY="+troveKey,
		"SERVER=--defaults-file="+w.db.CredentialsFile+" --datadir="+w.db.DataDir+" --socket="+w.db.Socket)
	for _, v := range f.login {
		for from, to := range map[string]string{"ST_AUTH": "AUTH", "ST_USER": "AUTH_USER", "ST_KEY": "AUTH_KEY"} {
			if rest, ok := strings.CutPrefix(v, from+"="); ok {
				cmd.Env = append(cmd.Env, to+"="+rest)
			}
		}
	}
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	b.after = time.Now()
	if n, serr := fmt.Sscan(string(out), &b.location, &b.sum, &b.lsn); err != nil || n != 3 {
		log, _ := os.ReadFile(filepath.Join(cmd.Dir, "tool.log"))
		w.t.Fatalf("write %v: %v, %v\n%s%s\n%s", s, err, serr, out, failed.String(), log[max(0, len(log)-2000):])
	}
	return b
}

// imports brings a backup in by the command; want is the state that it ends in.
func (w *world) imports(b oldBackup, want coffer.State, more ...string) rest.Backup {
	w.t.Helper()
	w.cli(nil, append([]string{"backup", "import", b.location, "--name", "old"}, more...)...)
	page, _, err := w.cl.Backups(w.t.Context(), client.BackupQuery{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, row := range page {
		if row.LocationRef == nil || *row.LocationRef != b.location {
			continue
		}
		got := w.show(coffer.BackupID(row.ID))
		if got.State != want {
			w.t.Errorf("the import of %s is %s: %+v", b.location, got.State, got.Error)
		}
		return got
	}
	w.t.Fatalf("no row of %s", b.location)
	return rest.Backup{}
}

// TestTroveBackups: an encrypted static large object and an increment onto it in a
// dynamic one, written by stock tools as Trove did, are brought in by the increment's
// location alone, restored into a running server, and verified; a changed object is not
// good any more, and a delete leaves Trove's objects where they are.
func TestTroveBackups(t *testing.T) {
	t.Parallel()
	w, f := trovely(t, 4<<20)
	full := w.trove(f, shape{"slo", "xbstream.gz.enc", "-md md5"}, oldBackup{})
	inc := w.trove(f, shape{"dlo", "xbstream.gz", ""}, full)
	b := w.imports(inc, coffer.Completed)
	parent := w.imports(full, coffer.Completed)
	if b.Parent != parent.ID || string(parent.ID) != full.id || b.Depth != 1 || b.Origin != coffer.OriginTrove || parent.Verified == nil {
		t.Fatalf("the chain is %+v onto %+v", b, parent)
	}
	var out struct{ Instance rest.Instance }
	if code := w.cli(&out, "restore", string(b.ID), "--name", "copy"); code != 0 {
		t.Fatalf("restore: exit %d", code)
	}
	db, err := host.OpenDB(out.Instance.Conn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w.db.same(t, db, inc.before, inc.after)
	w.verified(b.ID)

	segment := inc.id + "_00000000"
	if err := f.all.Delete(t.Context(), segment); err != nil {
		t.Fatal(err)
	}
	if code := w.cli(nil, "backup", "verify", string(b.ID)); code == 0 {
		t.Error("a backup of which a segment is gone verifies")
	}
	if code := w.cli(nil, "restore", string(b.ID), "--to", w.dir+"/broken"); code == 0 {
		t.Error("a backup of which a segment is gone restores")
	}
	if code := w.cli(nil, "backup", "delete", string(parent.ID), "--force"); code != 0 {
		t.Errorf("delete: exit %d", code)
	}
	if _, err := f.all.Stat(t.Context(), full.id+".xbstream.gz.enc"); err != nil {
		t.Errorf("the delete has taken Trove's object: %v", err)
	}
	w.takesOver(f)
}

// takesOver brings in by Trove's database what only that knows to be a chain: an
// increment whose object has lost its metadata.
func (w *world) takesOver(f farStore) {
	w.t.Helper()
	full := w.trove(f, shape{"single", "xbstream", ""}, oldBackup{})
	inc := w.trove(f, shape{"slo-bare", "xbstream.gz", ""}, full)
	path := filepath.Join(w.dir, "trove.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	for _, query := range []string{
		`CREATE TABLE datastores (id, name)`, `CREATE TABLE datastore_versions (id, datastore_id, name)`,
		`CREATE TABLE backups (id, name, location, size, tenant_id, state, checksum, deleted, created, parent_id, datastore_version_id)`,
		`CREATE TABLE quotas (tenant_id, resource, hard_limit)`,
		`INSERT INTO datastores VALUES ('d', 'mariadb')`, `INSERT INTO datastore_versions VALUES ('v', 'd', '10.11')`,
		fmt.Sprintf(`INSERT INTO backups VALUES ('%s', 'inc', '%s', 1, '%s', 'COMPLETED', '%s', 0, '2017-01-02 03:04:06', '%s', 'v')`, inc.id, inc.location, auth.LocalProject, inc.sum, full.id),
		fmt.Sprintf(`INSERT INTO backups VALUES ('%s', 'full', '%s', 1, '%s', 'COMPLETED', '%s', 0, '2017-01-02 03:04:05', NULL, 'v')`, full.id, full.location, auth.LocalProject, full.sum),
	} {
		if _, err := db.ExecContext(w.t.Context(), query); err != nil {
			w.t.Fatal(err)
		}
	}
	url := secretFile(w.t, "sqlite:///"+path)
	config := filepath.Join(w.dir, "coffer.toml")
	w.server.end(w.t, syscall.SIGTERM)
	var r struct{ Backups, Known int }
	for i, args := range [][]string{{"--plan"}, nil, nil} {
		code := w.cli(&r, append([]string{"trove", "import", "--db", url, "--any-account", "--config", config}, args...)...)
		if want := i == 2; code != 0 || (r.Known == 2) != want || (r.Backups == 2) == want {
			w.t.Fatalf("take over, time %d: exit %d, %+v", i, code, r)
		}
	}
	w.startServer("", "--config", config)
	if got := w.settled(coffer.BackupID(inc.id), time.Minute); got.State != coffer.Completed || got.Parent != coffer.BackupID(full.id) || got.CreatedAt.Year() != 2017 {
		w.t.Fatalf("taken over: %+v, %+v", got, got.Error)
	}
	dir := w.dir + "/taken"
	if code := w.cli(nil, "restore", inc.id, "--to", dir); code != 0 {
		w.t.Fatalf("restore: exit %d", code)
	}
	w.db.equals(w.t, dir, inc.before, inc.after)
}

// TestHeavyTroveBackups is the matrix of eras, forms and key derivations, each a full and
// an increment.
func TestHeavyTroveBackups(t *testing.T) {
	heavy(t)
	w, f := trovely(t, 4<<20)
	var shapes []shape
	for _, era := range []string{"dlo", "slo", "slo-bare", "single"} {
		for _, form := range []string{"xbstream", "xbstream.gz"} {
			shapes = append(shapes, shape{era, form, ""})
		}
		for _, kdf := range []string{"-md md5", "-md sha256", "-md sha512 -pbkdf2 -iter 10000"} {
			shapes = append(shapes, shape{era, "xbstream.gz.enc", kdf})
		}
	}
	for _, s := range shapes {
		t.Run(s.String(), func(t *testing.T) { w.goesRound(t, f, s) })
	}
}

// goesRound writes a full and an increment of one shape, brings them in, and restores
// them by the program and by the commands that it prints.
func (w *world) goesRound(t *testing.T, f farStore, s shape) {
	full := w.trove(f, s, oldBackup{})
	inc := w.trove(f, s, full)
	var got rest.Backup
	if s.era == "slo-bare" { // nothing but Trove's database knows the parent
		w.imports(inc, coffer.Failed)
		parent := w.imports(full, coffer.Completed)
		got = w.imports(inc, coffer.Completed, "--parent", string(parent.ID))
	} else {
		got = w.imports(inc, coffer.Completed)
	}
	if got.Depth != 1 {
		t.Errorf("the increment's depth is %d", got.Depth)
	}
	w.begun[got.ID] = inc.before
	w.cooks(got.ID, append(f.login, "TROVE_KEY="+secretFile(t, troveKey))...)
	dir := filepath.Join(w.dir, "old"+string(got.ID[:8]))
	if code := w.cli(nil, "restore", string(got.ID), "--to", dir); code != 0 {
		t.Fatalf("restore: exit %d", code)
	}
	w.db.equals(t, dir, inc.before, inc.after)
	os.RemoveAll(dir)
}
