package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// cron runs "coffer backup run" into one folder.
type cron struct {
	*world
	to string
}

func newCron(w *world, name string) cron { return cron{w, filepath.Join(w.dir, name)} }

func (c cron) command(failpoint string, more ...string) *exec.Cmd {
	return c.world.command(failpoint, append([]string{
		"backup", "run", "-o", "json", "--socket", c.db.Socket, "--credentials", c.db.CredentialsFile, "--to", c.to,
	}, more...)...)
}

// start begins a run; out is read only after its end.
func (c cron) start(failpoint string, more ...string) (*proc, *strings.Builder) {
	c.t.Helper()
	cmd := c.command(failpoint, more...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	p := launch(c.t, cmd)
	c.t.Cleanup(func() {
		p.end(c.t, syscall.SIGKILL)
		if c.t.Failed() {
			c.t.Logf("%v\n%s%s", more, out.String(), errs.String())
		}
	})
	return p, &out
}

// ends waits for a run's end and wants that exit code.
func (c cron) ends(p *proc, code int) {
	c.t.Helper()
	p.wait(c.t, time.Minute)
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("%v: exit %d, want %d", p.cmd.Args[1:], got, code)
	}
}

// good is a whole run that must end well; it gives the backup.
func (c cron) good(more ...string) rest.Backup {
	c.t.Helper()
	p, out := c.start("", more...)
	c.ends(p, 0)
	var b rest.Backup
	if err := json.Unmarshal([]byte(out.String()), &b); err != nil || b.State != coffer.Completed {
		c.t.Fatalf("the run printed %v, %s", err, out)
	}
	return b
}

// backups are the ids that have a manifest in the folder, and those that have
// anything else.
func (c cron) backups() (whole, other []string) {
	c.t.Helper()
	seen := map[string]bool{}
	for _, name := range objectsIn(c.t, c.to, "") {
		base := filepath.Base(name)
		if strings.HasPrefix(name, ".coffer/") || strings.HasSuffix(name, ".age") && strings.Contains(name, "keys/") || len(base) < 37 {
			continue
		}
		if id := base[:36]; strings.HasSuffix(base, ".manifest.json") {
			whole = append(whole, id)
			seen[id] = true
		} else {
			other = append(other, id)
		}
	}
	return whole, slices.DeleteFunc(other, func(id string) bool { return seen[id] })
}

// TestRunForCron is the life of a folder that cron backs up into: one run at a
// time, a killed one settled by the next, an interrupted one cleanly away,
// increments, and the number that is kept.
func TestRunForCron(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, dataBytes, false))
	c := newCron(w, "b")

	first, _ := c.start("intent=stop")
	within(t, 20*time.Second, "the first run is under way", func() bool { return state(first.pid) == 'T' })
	second, _ := c.start("")
	c.ends(second, 4)
	first.signal(syscall.SIGCONT)
	c.ends(first, 0)

	for _, step := range []string{"intent", "before put .manifest.json", "after put .manifest.json", "end noted"} {
		p, _ := c.start(step + "=kill")
		c.ends(p, -1)
	}
	middle, _ := c.start("")
	guardAndTool(t, middle)
	middle.end(t, syscall.SIGKILL)
	full := c.good()
	whole, other := c.backups()
	if len(whole) != 4 || len(other) != 0 {
		t.Errorf("after the killed runs %d backups are whole, want 4; of others there is %q", len(whole), other)
	}

	stopped, _ := c.start("")
	guardAndTool(t, stopped)
	stopped.signal(syscall.SIGINT)
	c.ends(stopped, 130)
	w.noOrphans()

	inc := c.good("--incremental")
	if inc.Type != "incremental" || inc.Parent != full.ID {
		t.Errorf("the increment is %s onto %s, want onto %s", inc.Type, inc.Parent, full.ID)
	}
	w.db.Restart() // an id file that is new says "another server": whatever is decided, it must be good
	last := c.good("--incremental", "--keep", "1")
	whole, other = c.backups()
	want := 1
	if last.Type == "incremental" {
		want = last.Depth + 1
	}
	if len(whole) != want || len(other) != 0 {
		t.Errorf("kept %q and of others %q; want %d", whole, other, want)
	}
	w.noOrphans()
	c.restoredBy(last.ID)
}

// TestRunTakesAFullWhenItMust: an increment that cannot be is a full.
func TestRunTakesAFullWhenItMust(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 8<<20, false))
	c := newCron(w, "b")
	if b := c.good("--incremental"); b.Type != "full" {
		t.Errorf("the first one is %s", b.Type)
	}
	if err := os.RemoveAll(c.to + "/.coffer/agent/chains"); err != nil {
		t.Fatal(err)
	}
	if b := c.good("--incremental"); b.Type != "full" || b.Parent != "" {
		t.Errorf("without its chain's summary the increment is %s onto %q", b.Type, b.Parent)
	}
	b := c.good("--incremental")
	if b.Type != "incremental" {
		t.Errorf("then it is %s", b.Type)
	}
	c.restoredBy(b.ID)
	c.encrypted()
}

// encrypted encrypts for an operator whose identity only a restore needs.
func (c cron) encrypted() {
	c.t.Helper()
	c.to = c.dir + "/e"
	id, err := age.GenerateX25519Identity()
	if err != nil {
		c.t.Fatal(err)
	}
	key := c.dir + "/identity.txt"
	if err := os.WriteFile(key, []byte(id.String()+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	b := c.good("--recipient", id.Recipient().String())
	begun := time.Now()
	volumes, _ := filepath.Glob(c.to + "/*/*/" + string(b.ID) + ".xbstream.zst.age")
	wrapped, _ := filepath.Glob(c.to + "/*/*/keys/" + string(b.Key) + ".*.age")
	if len(volumes) != 1 || len(wrapped) != 1 {
		c.t.Fatalf("volumes %q, keys %q", volumes, wrapped)
	}
	dir := c.dir + "/stock"
	stock(c.t, fmt.Sprintf("mkdir %[4]s && age -d -i <(age -d -i %[1]s %[2]s) %[3]s | zstd -dc | mbstream -x -C %[4]s && "+
		"mariadb-backup --prepare --target-dir=%[4]s && { [ $(id -u) != 0 ] || chown -R mysql: %[4]s; }", key, wrapped[0], volumes[0], dir))
	c.db.equals(c.t, dir, begun, time.Now())
	c.restoredBy(b.ID, "--identity", key)
}

// restoredBy starts a server on the folder and restores from it.
func (c cron) restoredBy(id coffer.BackupID, more ...string) {
	c.t.Helper()
	w := c.world
	state := w.state
	defer func() { w.state = state }()
	w.state = c.to + "/.coffer"
	w.startServer("", append([]string{"--store", c.to}, more...)...)
	dir := fmt.Sprintf("%s/r-%s", w.dir, id[:8])
	if code := w.cli(nil, "restore", string(id), "--to", dir); code != 0 {
		w.t.Errorf("restore %s: exit %d", id, code)
	} else {
		w.db.equals(w.t, dir, time.Time{}, time.Time{})
	}
	w.server.end(w.t, syscall.SIGTERM)
}

// A run sets up no restored servers, so nobody else has to reach its folder.
func TestRunBelowAPrivateFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 4<<20, false))
	private := filepath.Join(w.dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	c := cron{w, filepath.Join(private, "b")}
	if b := c.good(); b.State != coffer.Completed {
		t.Errorf("%s", b.State)
	}
}
