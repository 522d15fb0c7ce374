package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/records"
)

// The recorded world: who calls, in which project.
const (
	projA     = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	projB     = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	projC     = "cccccccccccccccccccccccccccccccc"
	projAdmin = "dddddddddddddddddddddddddddddddd"
)

func tokenOf(user string) string {
	if strings.HasSuffix(user, "garbage") {
		return "gAAAAAB-no-token-of-ours"
	}
	return "token-of-" + user + "-0123456789"
}

func projectOf(user string) coffer.ProjectID {
	switch user {
	case "bob":
		return projB
	case "carol":
		return projC
	case "admin":
		return projAdmin
	}
	return projA
}

func people(t testing.TB) *auth.Static {
	t.Helper()
	var entries []auth.Entry
	for _, user := range []string{"alice", "anna", "rita", "dave", "bob", "carol", "admin"} {
		roles := []string{"member"}
		if user == "admin" || user == "dave" {
			roles = []string{"admin"}
		}
		entries = append(entries, auth.Entry{Token: tokenOf(user), Project: projectOf(user), User: user, Roles: roles})
	}
	s, err := auth.NewStatic(entries)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clock gives a later second each time, so that "the last updated first" has one
// meaning.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Second)
	return c.at
}

func openRecords(t testing.TB) *records.DB {
	t.Helper()
	db, err := records.Open(context.Background(), filepath.Join(t.TempDir(), "records.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// replay is the API over real records, with a stand-in for the task manager and
// the guests that does what a case's ctl says.
type replay struct {
	t       *testing.T
	db      *records.DB
	handler http.Handler
	vars    map[string]string
	ctl     map[string]any
	now     func() time.Time
	seeded  int
}

func newReplay(t *testing.T) *replay {
	c := &clock{at: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	w := &replay{t: t, db: openRecords(t), ctl: map[string]any{}, now: c.now, vars: map[string]string{
		"BASE": "http://127.0.0.1:26000", "HOSTPORT": "127.0.0.1:26000", "SWIFT": "http://127.0.0.1:26030/v1",
		"PROJ_A": projA, "PROJ_B": projB, "PROJ_C": projC, "PROJ_ADMIN": projAdmin,
		"ZERO": "00000000-0000-4000-8000-000000000000",
		"NET":  "11111111-0000-4000-8000-000000000002", "IMG": "22222222-0000-4000-8000-000000000001",
	}}
	w.handler = api.New(api.Config{
		Records: w.db, Bus: local.New(), Auth: people(t), Stores: []string{"main"}, Quota: 50, Now: w.now,
		Log: slog.New(slog.DiscardHandler), Importer: standIn{},
		Datastores: []coffer.Datastore{
			{Type: "postgresql", Version: "12.4"}, {Type: "mysql", Version: "5.7.29"}, {Type: "mysql", Version: "8.0.29"},
			{Type: "mariadb", Version: "10.4"}, {Type: "couchbase", Version: "2.2"}, {Type: "vertica", Version: "9.0.1"},
		},
	})
	return w
}

// standIn is a Swift that has every object but those called nope.
type standIn struct{}

// Find implements api.Importer.
func (standIn) Find(_ context.Context, location string, _ coffer.ProjectID, _ bool) (string, string, error) {
	if !strings.HasPrefix(location, "http") || strings.Contains(location, "/nope.") {
		return "", "", coffer.E(coffer.KindNotFound, "look at the object", "there is none")
	}
	return "main", "database_backups", nil
}

// seed keeps the instance that a case asks for: here they are registered, or made
// of a backup, and never made empty.
func (w *replay) seed(c recorded) {
	w.t.Helper()
	if !strings.HasPrefix(c.Name, "instance-create") {
		return
	}
	var body struct {
		Instance struct {
			Name      string
			Datastore struct{ Type, Version string }
		}
	}
	if err := json.Unmarshal([]byte(w.fill(string(c.Body))), &body); err != nil {
		w.t.Fatal(err)
	}
	ds := coffer.Datastore{Type: body.Instance.Datastore.Type, Version: body.Instance.Datastore.Version}
	if ds.Version == w.vars["DSV_MYSQL"] {
		ds.Version = "8.0.29"
	}
	w.seeded++
	in := coffer.Instance{
		ID: coffer.InstanceID(coffer.NewUUID()), Project: projectOf(c.As), Name: body.Instance.Name, Kind: coffer.Registered,
		Status: "ACTIVE", VolumeGiB: 1, Created: w.now(), Datastore: ds,
		Conn: coffer.Conn{Host: fmt.Sprintf("10.20.0.%d", 9+2*w.seeded), Port: 3306},
	}
	if err := w.db.CreateInstance(context.Background(), in); err != nil {
		w.t.Fatal(err)
	}
	for name := range c.Save {
		w.vars[name] = string(in.ID)
	}
}

// work is what task manager and guests do after a case's request.
func (w *replay) work(c recorded) {
	w.t.Helper()
	ctx := context.Background()
	for _, s := range []coffer.State{coffer.New, coffer.Building} {
		jobs, err := w.db.Jobs(ctx, records.JobFilter{All: true, State: s, Limit: 100})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, j := range jobs {
			w.workOn(ctx, j, c.Wait != nil)
		}
	}
}

func (w *replay) workOn(ctx context.Context, j coffer.Job, waited bool) {
	w.t.Helper()
	runner := coffer.Runner("agent/boot")
	check := func(err error) {
		if err != nil {
			w.t.Fatalf("job %s %s: %v", j.Kind, j.ID, err)
		}
	}
	mode, _ := w.ctl["backup"].(string)
	if j.Kind != coffer.JobBackup {
		_, err := w.db.Claim(ctx, j.ID, runner, w.now())
		check(err)
		if j.Kind == coffer.JobDelete {
			check(w.db.Deleted(ctx, j.Backup, w.now()))
			return
		}
		if j.Kind == coffer.JobImport {
			b, err := w.db.BackupByID(ctx, j.Backup)
			check(err)
			_, err = w.db.CompleteImport(ctx, j.ID, runner, records.Completion{Manifest: "sum", Location: b.Location, Type: "full", Method: "mariabackup", Now: w.now()})
			check(err)
			return
		}
		_, err = w.db.Finish(ctx, j.ID, w.now())
		check(err)
		return
	}
	if mode == "hold" && !j.Cancel {
		return
	}
	_, err := w.db.Claim(ctx, j.ID, runner, w.now())
	if err == nil {
		size, _ := w.ctl["size"].(float64)
		_, err = w.db.Report(ctx, records.Report{Job: j.ID, Runner: runner, Seq: 1, Beat: 1, Data: int64(size * (1 << 30)), Now: w.now()})
	}
	if j.State == coffer.New {
		check(err)
	}
	switch delay, _ := w.ctl["delay"].(float64); {
	case j.Cancel || mode == "fail":
		_, err := w.db.Fail(ctx, j.ID, runner, records.Ending{Kind: coffer.KindTool, Error: "it failed", Now: w.now()})
		check(err)
	case mode == "building", delay > 1 && !waited:
		return
	default:
		w.complete(ctx, j, runner)
	}
}

func (w *replay) complete(ctx context.Context, j coffer.Job, runner coffer.Runner) {
	w.t.Helper()
	b, err := w.db.BackupByID(ctx, j.Backup)
	if err != nil {
		w.t.Fatal(err)
	}
	if granted, reason, err := w.db.Grant(ctx, j.ID, runner, "sum", w.now()); err != nil || !granted {
		w.t.Fatalf("grant: %v %s %v", granted, reason, err)
	}
	ext := ".xbstream.gz"
	if b.Datastore.Type == "postgresql" {
		ext = ".tar.gz"
	}
	_, err = w.db.Complete(ctx, j.ID, records.Completion{
		Manifest: "sum", Sizes: b.Sizes, Type: b.Type, Method: "mariabackup", Datastore: b.Datastore, Now: w.now(), Store: b.Store,
		Location: w.vars["SWIFT"] + "/AUTH_" + string(b.Project) + "/" + b.Container + "/" + string(b.ID) + ext,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
