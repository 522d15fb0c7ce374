package swift_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// TestBeside: another account's container is read by the same login on the same server,
// and never made; a name that is none goes nowhere.
func TestBeside(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auth/v1.0" {
			w.Header().Set("X-Auth-Token", "t")
			w.Header().Set("X-Storage-Url", srv.URL+"/v1/AUTH_own")
			return
		}
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Auth-Token"))
		w.Header().Set("Content-Length", "0")
		if r.URL.Path == "/v1/AUTH_theirs/gone" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer srv.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := swift.New(swift.Options{Auth: swift.Auth{URL: srv.URL + "/auth/v1.0", V1: true, User: "u", SecretFile: secret}, Prefix: "deep/", Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.Beside(t.Context(), "AUTH_theirs", "old")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stat(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	gone, err := s.Beside(t.Context(), "AUTH_theirs", "gone")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Stat(t.Context(), "x"); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a container that is not there: %v", err)
	}
	want := []string{"HEAD /v1/AUTH_theirs/old t", "HEAD /v1/AUTH_theirs/old/x t", "HEAD /v1/AUTH_theirs/gone t"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	for _, c := range [][2]string{{"", "c"}, {"..", "c"}, {"a/b", "c"}, {"a?x", "c"}, {"AUTH_a", ""}, {"AUTH_a", "c/d"}, {"http:\\x", "c"}} {
		if _, err := s.Beside(t.Context(), c[0], c[1]); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%q: %v", c, err)
		}
	}
}
