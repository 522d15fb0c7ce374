package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/records"
)

// gate is an importer that remembers whom it was asked for.
type gate struct {
	project coffer.ProjectID
	any     bool
	err     error
}

// Find implements api.Importer.
func (g *gate) Find(_ context.Context, _ string, p coffer.ProjectID, any bool) (string, string, error) {
	g.project, g.any = p, any
	return "far", "old", g.err
}

// TestImport: only an admin may name an account that is not the project's; the row is
// NEW and waits for its reading; asked again it is the same; a quota and a parent count.
func TestImport(t *testing.T) {
	t.Parallel()
	db, g := openRecords(t), &gate{}
	h := api.New(api.Config{
		Records: db, Bus: local.New(), Auth: people(t), Stores: []string{"main"}, Quota: 1, Importer: g,
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Datastores: []coffer.Datastore{{Type: "mariadb", Version: "10.11", VersionID: projVersion}},
	})
	ask := func(as string, project coffer.ProjectID, object, more string) (int, string) {
		body := `{"backup":{"name":"old","restore_from":{"remote_location":"https://s/v1/AUTH_x/old/` + object + `.xbstream.gz","local_datastore_version_id":"` +
			projVersion + `","size":1.5}` + more + `}}`
		r := httptest.NewRequest(http.MethodPost, "/v1.0/"+string(project)+"/backups", strings.NewReader(body))
		r.Header.Set("X-Auth-Token", tokenOf(as))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	code, text := ask("alice", projA, "one", "")
	if code != http.StatusAccepted || !strings.Contains(text, `"status": "NEW"`) && !strings.Contains(text, `"status":"NEW"`) || g.any || g.project != projA {
		t.Errorf("a member: %d %s, asked for %s, any account: %t", code, text, g.project, g.any)
	}
	all, err := db.Backups(t.Context(), records.BackupFilter{All: true, Limit: 10})
	if err != nil || len(all) != 1 || all[0].Origin != coffer.OriginTrove || all[0].Store != "far" || all[0].Container != "old" || all[0].Sizes.Data != 3<<29 {
		t.Fatalf("%+v, %v", all, err)
	}
	if again, text := ask("alice", projA, "one", ""); again != http.StatusAccepted || !strings.Contains(text, string(all[0].ID)) {
		t.Errorf("again: %d %s", again, text)
	}
	if code, text := ask("alice", projA, "two", ""); code != http.StatusRequestEntityTooLarge {
		t.Errorf("over the quota: %d %s", code, text)
	}
	if code, text := ask("bob", projB, "two", `,"parent_id":"`+string(all[0].ID)+`"`); code != http.StatusNotFound {
		t.Errorf("onto another project's backup: %d %s", code, text)
	}
	if _, text := ask("admin", projAdmin, "three", ""); !g.any {
		t.Errorf("an admin: %s", text)
	}
	g.err = coffer.E(coffer.KindForbidden, "look", "not yours")
	if code, text := ask("bob", projB, "two", ""); code != http.StatusBadRequest || !strings.Contains(text, "Failed to restore backup from") {
		t.Errorf("refused: %d %s", code, text)
	}
}

const projVersion = "0a8a8a8a-0000-4000-8000-000000000001"
