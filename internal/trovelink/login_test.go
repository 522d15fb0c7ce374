package trovelink

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
)

// A login asks for a token of one project, and takes the project's account from the
// catalogue that comes with it.
func TestLogin(t *testing.T) {
	t.Parallel()
	var asked map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&asked)
		w.Header().Set("X-Subject-Token", "tk")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"token":{"user":{"id":"u1","name":"coffer"},"catalog":[{"type":"compute","endpoints":[]},{"type":"object-store","endpoints":[
			{"interface":"internal","region":"RegionOne","url":"http://inside/v1/AUTH_p"},
			{"interface":"public","region":"Other","url":"http://other/v1/AUTH_p"},
			{"interface":"public","region":"RegionOne","url":"http://swift/v1/AUTH_p/"}]}]}}`))
	}))
	defer s.Close()
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := Keystone{URL: s.URL, User: "coffer", PasswordFile: secret, Region: "RegionOne", HTTP: s.Client()}
	got, err := k.Login(t.Context(), "p")
	if want := (Login{Token: "tk", User: "u1", Account: "http://swift/v1/AUTH_p", Region: "RegionOne"}); got != want || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	want := map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []any{"password"}, "password": map[string]any{
			"user": map[string]any{"name": "coffer", "domain": map[string]any{"name": "Default"}, "password": "pw"},
		}},
		"scope": map[string]any{"project": map[string]any{"id": "p"}},
	}}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	k.Region = "Elsewhere"
	if _, err := k.Login(t.Context(), "p"); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("without an object store: %v", err)
	}
}
