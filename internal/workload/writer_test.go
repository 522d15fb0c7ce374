package workload_test

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
)

// A killed server recovers to a position; its clients find out what happened of
// what was under way, and go on.
func TestWriterOutlivesTheServer(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t, testenv.MariaDBOptions{})
	db := s.DB(t)
	if err := workload.Fill(t.Context(), db, workload.FillOptions{Bytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	w, err := workload.Start(t.Context(), db, workload.Options{Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		done := w.Done()
		eventually(t, "work is done", func() bool { return w.Done() > done+150 })
		s.Kill()
		s.Restart()
	}
	done := w.Done()
	eventually(t, "work goes on", func() bool { return w.Done() > done+50 })
	j := w.Stop()
	if n, _ := w.Retries(); n == 0 {
		t.Error("no client noticed two crashes")
	}
	r, err := workload.Check(t.Context(), db, j, time.Now(), time.Now())
	if err != nil {
		t.Errorf("%v, %q", err, r.Problems)
	}
}

func TestStalls(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t, testenv.MariaDBOptions{})
	db := s.DB(t)
	if err := workload.Fill(t.Context(), db, workload.FillOptions{Bytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	w, err := workload.Start(t.Context(), db, workload.Options{NonTrans: true, DDL: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	eventually(t, "work is done", func() bool { return w.Done() > 20 && w.Stalls().DDL > 0 })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, q := range []string{"BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT"} {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	const hold = 300 * time.Millisecond
	eventually(t, "all clients wait", func() bool {
		got := w.Stalls()
		return got.Commit > hold && got.NonTrans > hold && got.DDL > hold
	})
	if _, err := conn.ExecContext(t.Context(), "BACKUP STAGE END"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the waits are over and measured", func() bool {
		got := w.Stalls()
		w.ResetStalls()
		again := w.Stalls()
		return got.Commit > 0 && again.Commit < hold && again.NonTrans < hold && again.DDL < hold
	})
}

// A database that lets every commit hang cannot keep Stop: the outcome of what
// hangs is unknown then, and the oracle takes it either way.
func TestStopWhileCommitsHang(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t, testenv.MariaDBOptions{})
	db := s.DB(t)
	if err := workload.Fill(t.Context(), db, workload.FillOptions{Bytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	w, err := workload.Start(t.Context(), db, workload.Options{StopWithin: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "work is done", func() bool { return w.Done() > 20 })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, q := range []string{"BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT"} {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	eventually(t, "a commit hangs", func() bool { return w.Stalls().Commit > 100*time.Millisecond })
	j := w.Stop()
	unknown := 0
	for _, e := range j.Entries {
		if e.Returned.IsZero() {
			unknown++
		}
	}
	if unknown == 0 {
		t.Error("no outcome is unknown")
	}
	if r, err := workload.Check(t.Context(), db, j, time.Time{}, time.Time{}); err != nil {
		t.Errorf("before the hanging commits: %v, %q", err, r.Problems)
	}
	if _, err := conn.ExecContext(t.Context(), "BACKUP STAGE END"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the oracle takes what the commits became", func() bool {
		_, err := workload.Check(t.Context(), db, j, time.Time{}, time.Time{})
		return err == nil
	})
}

// The oracle and the stock tool agree: a backup taken under all clients is right
// at one position in their midst.
func TestCheckOfARealBackup(t *testing.T) {
	t.Parallel()
	tool := testenv.Need(t, "mariadb-backup")[0]
	s := testenv.MariaDB(t, testenv.MariaDBOptions{LogFileMB: 256})
	db := s.DB(t)
	if err := workload.Fill(t.Context(), db, workload.FillOptions{Bytes: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	w, err := workload.Start(t.Context(), db, workload.Options{NonTrans: true, DDL: true, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	done := w.Done()
	eventually(t, "work is done", func() bool { return w.Done() > done+200 })
	dir := filepath.Join(passable(t), "b")
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("mariadb-backup %v: %v\n%s", args, err, out)
		}
	}
	before := time.Now()
	run("--defaults-file="+s.Config, "--backup", "--target-dir="+dir, "--user=root", "--socket="+s.Socket)
	after := time.Now()
	done = w.Done()
	eventually(t, "work goes on", func() bool { return w.Done() > done+100 })
	j := w.Stop()
	run("--prepare", "--target-dir="+dir)
	restored := restore(t, dir).DB(t)
	r, err := workload.Check(t.Context(), restored, j, before, after)
	if err != nil {
		t.Errorf("%v, %q", err, r.Problems)
	}
	if n := int64(len(j.Entries)); r.Transactions+r.Inserts >= n || r.Transactions == 0 {
		t.Errorf("position %s is not in the midst of %d entries", r.Position, n)
	}
	if err := workload.CheckTables(t.Context(), restored, "shop"); err != nil {
		t.Error(err)
	}
}
