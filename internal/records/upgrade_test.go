package records_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

func TestSQLiteUpgrade(t *testing.T) {
	t.Parallel()
	fresh := func(t *testing.T) records.Source {
		return records.Source{Path: filepath.Join(t.TempDir(), "records.db")}
	}
	t.Run("upgrade", func(t *testing.T) { testUpgrade(t, fresh(t)) })
	t.Run("start together", func(t *testing.T) { testStartTogether(t, fresh(t)) })
}

// contents is what records say of everything that testUpgrade puts into them.
type contents struct {
	Installation coffer.InstallationID
	Backups      []coffer.Backup
	Jobs         []coffer.Job
	Events       []coffer.Event
	Instances    []coffer.Instance
	Agents       []coffer.Agent
	Key          string
}

func read(t *testing.T, db *records.DB) (c contents) {
	t.Helper()
	ctx := t.Context()
	var errs [6]error
	c.Installation = db.Installation()
	c.Backups, errs[0] = db.Backups(ctx, records.BackupFilter{All: true})
	c.Jobs, errs[1] = db.Jobs(ctx, records.JobFilter{All: true})
	c.Instances, errs[2] = db.AllInstances(ctx, "", 0)
	c.Agents, errs[3] = db.Agents(ctx)
	var wrapped []byte
	_, wrapped, errs[4] = db.Key(ctx, "k")
	c.Key = string(wrapped)
	for _, j := range c.Jobs {
		ev, err := db.Events(ctx, j.Project, j.ID, 0, 0)
		c.Events, errs[5] = append(c.Events, ev...), errors.Join(errs[5], err)
	}
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return c
}

// fillOld puts content into records that the previous version knew.
func fillOld(t *testing.T, db *records.DB) {
	t.Helper()
	ctx, now := t.Context(), time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)
	about := "ünïcode 'quoted' ? \U0001F600"
	b, err := func() (coffer.Backup, error) {
		if err := db.CreateInstance(ctx, coffer.Instance{ID: "i", Project: "p", Name: "n", Conn: coffer.Conn{Port: 3306}}); err != nil {
			return coffer.Backup{}, err
		}
		return db.CreateBackup(ctx, records.NewBackup{Project: "p", Instance: "i", Name: about, Description: &about, Store: "s", Key: "k", Quota: 3, Now: now})
	}()
	id := coffer.JobID(b.ID)
	_, cerr := db.Claim(ctx, id, "r/1", now)
	_, _, gerr := db.Grant(ctx, id, "r/1", "sum", now)
	_, derr := db.Complete(ctx, id, records.Completion{Manifest: "sum", Sizes: coffer.Sizes{Data: 1 << 45, Plain: 1 << 44, Stored: 1 << 43}, Now: now})
	_, nerr := db.CreateBackup(ctx, records.NewBackup{Project: "p", Instance: "i", Name: "inc", Parent: b.ID, Store: "s", Quota: 3, Now: now})
	if err := errors.Join(err, cerr, gerr, derr, nerr,
		db.AddEvents(ctx, id, []coffer.Event{{Code: "c", Text: about, At: now, Facts: map[string]string{"a": "b"}}}),
		db.Heartbeat(ctx, coffer.Agent{ID: "a", Boot: "b", Seen: now}), db.PutKey(ctx, "k", 2, []byte{0, 1, 255})); err != nil {
		t.Fatal(err)
	}
}

// takeBack undoes the last step of the schema: its queries name what it has added, so
// the previous version's records can only be filled with it.
func takeBack(t *testing.T, s records.Source, db *records.DB) {
	t.Helper()
	undo := []string{
		`DROP INDEX backups_origin`, `ALTER TABLE backups DROP COLUMN origin`, `ALTER TABLE projects DROP COLUMN quota`,
		`DELETE FROM schema_steps WHERE version = 4`,
	}
	if strings.HasPrefix(s.URL, "mysql:") {
		undo[0] += ` ON backups`
		undo = append(undo, `DELETE FROM schema_parts WHERE version = 4`)
	}
	err := db.Write(t.Context(), func(exec records.Exec) (err error) {
		for _, query := range undo {
			if _, e := exec(query); e != nil {
				err = errors.Join(err, e)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testUpgrade fills records of the previous version, opens them with this one, and
// refuses them to the previous one after that.
func testUpgrade(t *testing.T, s records.Source) {
	old, err := records.OpenAt(t.Context(), s, records.Steps())
	if err != nil {
		t.Fatal(err)
	}
	fillOld(t, old)
	want := read(t, old)
	takeBack(t, s, old)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if len(want.Backups) != 2 || len(want.Events) != 1 || want.Backups[0].ID == want.Backups[1].ID {
		t.Fatalf("the old records hold %+v", want)
	}
	if _, err := records.OpenAt(t.Context(), s, records.Steps(), "CREATE TABLE half (n BIGINT);\nNOT SQL;\n"); err == nil {
		t.Error("a broken step was applied")
	}
	db := openSource(t, s)
	if d := cmp.Diff(want, read(t, db)); d != "" {
		t.Errorf("the upgrade changed the content (-want +got):\n%s", d)
	}
	err = db.CreateJoin(t.Context(), records.Join{TokenHash: "h", Project: "p", Expires: time.Now()})
	if err != nil {
		t.Errorf("the newest table: %v", err)
	}
	if err := db.PutQuota(t.Context(), "p", 7); err != nil {
		t.Errorf("the new column: %v", err)
	}
	b := want.Backups[0]
	if b.Parent == "" {
		b = want.Backups[1]
	}
	if _, err := db.Claim(t.Context(), coffer.JobID(b.ID), "r/2", time.Now()); err != nil {
		t.Errorf("work that was begun before goes on: %v", err)
	}
	_, err = records.OpenAt(t.Context(), s, records.Steps()-1)
	if !coffer.IsKind(err, coffer.KindUnsupported) || coffer.HintOf(err) == "" {
		t.Errorf("the previous version opened newer records: %v", err)
	}
}

// testStartTogether opens empty records from many at once: the schema is made once.
func testStartTogether(t *testing.T, s records.Source) {
	var wg sync.WaitGroup
	dbs := make([]*records.DB, 6)
	errs := make([]error, len(dbs))
	for i := range dbs {
		wg.Go(func() { dbs[i], errs[i] = records.OpenSource(t.Context(), s) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, db := range dbs {
		if db.Installation() != dbs[0].Installation() {
			t.Error("records that were opened together have two names")
		}
		n, err := db.Ask(t.Context(), `SELECT COUNT(*) FROM schema_steps`)
		if want := string(rune('0' + records.Steps())); n != want || err != nil {
			t.Errorf("%s steps were applied (%v), want %s", n, err, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// testPartialStep cuts a step off where a change of the schema commits by itself:
// what was done is not done again, noted or not.
func testPartialStep(t *testing.T, s records.Source) {
	db := openSource(t, s)
	one, two, three := "CREATE TABLE one (n BIGINT);\n", "INSERT INTO one VALUES (1);\n", "CREATE TABLE two (n BIGINT);\n"
	open := func(body string) error {
		d, err := records.OpenAt(t.Context(), s, records.Steps(), body)
		if err == nil {
			err = d.Close()
		}
		return err
	}
	if err := open(one + two + "NOT SQL;\n" + three); err == nil {
		t.Fatal("a broken step was applied")
	}
	// The third statement was done, and the process died before it noted that.
	if err := db.Write(t.Context(), func(exec records.Exec) error { _, err := exec(three); return err }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := open(one + two + three); err != nil {
			t.Errorf("the rest of the step: %v", err)
		}
	}
	if n, err := db.Ask(t.Context(), `SELECT COUNT(*) FROM one`); n != "1" || err != nil {
		t.Errorf("a statement was run %s times (%v), want once", n, err)
	}
	// Something that is there though nothing was begun is no cut-off step.
	if err := open("CREATE TABLE one (n BIGINT);\n"); err == nil {
		t.Error("another step under the same number was accepted")
	}
}
