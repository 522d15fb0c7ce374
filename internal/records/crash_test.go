package records_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

const crashEnv = "COFFER_TEST_RECORDS"

// writeForever is the process that TestCrash kills: it names every backup whose
// creation it was told is durable.
func writeForever(path string) error {
	ctx := context.Background()
	db, err := records.Open(ctx, path)
	if err != nil {
		return err
	}
	for {
		in := coffer.Instance{ID: coffer.InstanceID(coffer.NewUUID()), Project: "p", Name: "n"}
		if err := db.CreateInstance(ctx, in); err != nil {
			return err
		}
		b, err := db.CreateBackup(ctx, records.NewBackup{Project: "p", Instance: in.ID, Name: "n", Store: "s", Quota: -1})
		if err != nil {
			return err
		}
		fmt.Println(b.ID)
	}
}

// TestCrash kills a writing process at once, several times: what it was told is
// there, whole, with its job and bell.
func TestCrash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.db")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	told := map[coffer.BackupID]bool{}
	for round := range 3 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), crashEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if id := strings.TrimSpace(lines.Text()); coffer.IsUUID(id) {
				told[coffer.BackupID(id)] = true
			}
			if n == 20+7*round {
				if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the writer ended by itself")
		}
		checkWhole(t, path, told)
	}
}

// checkWhole opens the records and looks for each backup with all that belongs to it.
func checkWhole(t *testing.T, path string, told map[coffer.BackupID]bool) {
	t.Helper()
	db := open(t, path)
	all, err := db.Backups(t.Context(), records.BackupFilter{All: true})
	if err != nil {
		t.Fatal(err)
	}
	due, err := db.Due(t.Context(), time.Now().Add(time.Hour), records.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(due) || len(all) < len(told) {
		t.Errorf("%d backups, %d bells, %d told", len(all), len(due), len(told))
	}
	for id := range told {
		if _, err := db.Backup(t.Context(), "p", id); err != nil {
			t.Errorf("a durable backup is gone: %v", err)
		}
		if _, err := db.Job(t.Context(), "p", coffer.JobID(id)); err != nil {
			t.Errorf("its job is gone: %v", err)
		}
	}
}
