package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/trove"
)

// cooks restores a backup by nothing but the commands that the program prints, and
// compares the database. The program takes no part in it.
func (w *world) cooks(id coffer.BackupID, env ...string) {
	w.t.Helper()
	testenv.Need(w.t, "jq", "age", "zstd", "mbstream", "mariadb-backup", "bash", "curl")
	var r struct{ Commands []string }
	if code := w.cli(&r, "backup", "show", string(id), "--recipe"); code != 0 {
		w.t.Fatalf("the recipe: exit %d", code)
	}
	if len(r.Commands) == 0 || len(r.Commands) > 5 {
		w.t.Fatalf("%d commands: %q", len(r.Commands), r.Commands)
	}
	dir := filepath.Join(w.dir, "cook"+string(id[:8]))
	if err := os.Mkdir(dir, 0o711); err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", strings.Join(r.Commands, "\n"))
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "IDENTITY="+filepath.Join(w.state, "keys", "identity.txt")), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("the recipe fails: %v\n%s\n%s", err, strings.Join(r.Commands, "\n"), out[max(0, len(out)-3000):])
	}
	if os.Getuid() == 0 { // as the text says: before a server starts
		if out, err := exec.Command("chown", "-R", "mysql:mysql", filepath.Join(dir, "0")).CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
	}
	end := time.Now()
	if b := w.show(id); b.EndedAt != nil {
		end = *b.EndedAt
	}
	w.db.equals(w.t, filepath.Join(dir, "0"), w.begun[id], end)
}

// TestRecipe: the printed commands alone give the database back, of a full and of an
// increment, plain and encrypted. Spoiled bytes stop them.
func TestRecipe(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		name := "plain"
		if encrypted {
			name = "encrypted"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newDatabase(t, 8<<20, true))
			if encrypted && w.cli(nil, "keys", "init") != 0 {
				t.Fatal("no keys")
			}
			w.begin(false)
			full := w.asks(trove.BackupCreate{Name: "full"})
			next := w.asks(trove.BackupCreate{Name: "next", ParentID: string(full), SwiftContainer: "over/here"})
			last := w.asks(trove.BackupCreate{Name: "last", ParentID: string(next)})
			if encrypted != (w.show(last).Key != "") {
				t.Fatalf("encrypted: %v", !encrypted)
			}
			w.cooks(full)
			w.cooks(last)
			w.spoiled(last)
		})
	}
}

// spoiled changes one byte of the data in the store: the commands must not end well.
func (w *world) spoiled(id coffer.BackupID) {
	w.t.Helper()
	path, _ := strings.CutPrefix(w.show(id).Location, "file://")
	b, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	var r struct{ Commands []string }
	w.cli(&r, "backup", "show", string(id), "--recipe")
	cmd := exec.Command("bash", "-c", strings.Join(r.Commands[:3], "\n"))
	cmd.Dir = w.t.TempDir()
	if out, err := cmd.CombinedOutput(); err == nil {
		w.t.Errorf("a spoiled byte is not seen:\n%s", out)
	}
}
