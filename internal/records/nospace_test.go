package records_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// TestNoSpace fills the disk under the records: writes answer KindNoSpace, reads go
// on, and with room again everything that was answered well is there.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a disk of its own needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	db := open(t, filepath.Join(dir, "records.db"))
	in := coffer.Instance{ID: "i", Project: "p", Name: "n"}
	if err := db.CreateInstance(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	b, err := db.CreateBackup(t.Context(), records.NewBackup{Project: "p", Instance: "i", Name: "n", Store: "s", Quota: -1})
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 256<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := fill(t, db, coffer.JobID(b.ID))
	if !coffer.IsKind(err, coffer.KindNoSpace) || coffer.HintOf(err) == "" {
		t.Fatalf("a full disk: %q: %v", coffer.KindOf(err), err)
	}
	_, err = db.Claim(t.Context(), coffer.JobID(b.ID), "r/1", time.Now())
	if !coffer.IsKind(err, coffer.KindNoSpace) && err != nil {
		t.Errorf("a claim on a full disk: %q: %v", coffer.KindOf(err), err)
	}
	claimed := err == nil
	if got, err := db.BackupByID(t.Context(), b.ID); err != nil || (got.State == coffer.Building) != claimed {
		t.Errorf("reading on a full disk: %v %v", got.State, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Claim(t.Context(), coffer.JobID(b.ID), "r/1", time.Now()); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	ev, err := db.Events(t.Context(), "p", coffer.JobID(b.ID), 0, records.MaxPage)
	if err != nil || len(ev) != kept {
		t.Errorf("%d events are there (%v), %d were answered well", len(ev), err, kept)
	}
}

// fill writes events until an error.
func fill(t *testing.T, db *records.DB, job coffer.JobID) (kept int, err error) {
	t.Helper()
	text := strings.Repeat("x", 4000)
	for range records.MaxPage {
		if err := db.AddEvents(t.Context(), job, []coffer.Event{{Code: "c", Text: text}}); err != nil {
			return kept, err
		}
		kept++
	}
	return kept, errors.New("the disk does not fill")
}
