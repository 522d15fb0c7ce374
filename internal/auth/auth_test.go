package auth_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/auth"
)

const secret = "0123456789abcdef-secret"

func request(header, value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if header != "" {
		r.Header.Set(header, value)
	}
	return r
}

func TestStaticKnowsItsCallers(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("another-secret-token"))
	s, err := auth.NewStatic([]auth.Entry{
		{Token: secret, Project: "p1", User: "alice", Roles: []string{"member"}},
		{Token: "sha256:" + hex.EncodeToString(sum[:]), Project: "p2", User: "root", Roles: []string{"Admin"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header, value string
		want          auth.Caller
		kind          coffer.Kind
	}{
		"token":        {"X-Auth-Token", secret, auth.Caller{Project: "p1", User: "alice", Roles: []string{"member"}}, ""},
		"bearer":       {"Authorization", "Bearer " + secret, auth.Caller{Project: "p1", User: "alice", Roles: []string{"member"}}, ""},
		"hashed":       {"X-Auth-Token", "another-secret-token", auth.Caller{Project: "p2", User: "root", Roles: []string{"Admin"}, Admin: true}, ""},
		"none":         {"", "", auth.Caller{}, coffer.KindUnauthorized},
		"empty":        {"X-Auth-Token", "", auth.Caller{}, coffer.KindUnauthorized},
		"wrong":        {"X-Auth-Token", secret + "x", auth.Caller{}, coffer.KindUnauthorized},
		"the sum":      {"X-Auth-Token", "sha256:" + hex.EncodeToString(sum[:]), auth.Caller{}, coffer.KindUnauthorized},
		"empty bearer": {"Authorization", "Bearer ", auth.Caller{}, coffer.KindUnauthorized},
	} {
		got, err := s.Authenticate(t.Context(), request(c.header, c.value))
		if coffer.KindOf(err) != c.kind {
			t.Errorf("%s: kind %q, want %q", name, coffer.KindOf(err), c.kind)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStaticRefusesBadEntries(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]auth.Entry{
		"short token": {Token: "short", Project: "p"},
		"no token":    {Project: "p"},
		"bad sum":     {Token: "sha256:zz", Project: "p"},
		"bad project": {Token: secret, Project: "../p"},
		"no project":  {Token: secret},
	} {
		if _, err := auth.NewStatic([]auth.Entry{e}); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%s: kind %q, want invalid", name, coffer.KindOf(err))
		}
	}
}

func TestLoadStaticWantsAPrivateFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	line := `{"token":"` + secret + `","project":"p","user":"u"}` + "\n"
	if err := os.WriteFile(path, []byte(line+line), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.LoadStatic(path); !coffer.IsKind(err, coffer.KindForbidden) || coffer.HintOf(err) == "" {
		t.Errorf("a file for everybody: %v, hint %q", err, coffer.HintOf(err))
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.LoadStatic(path); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(line+`{"tokn":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.LoadStatic(path); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a misspelt key: %v", err)
	}
	if _, err := auth.LoadStatic(path + ".none"); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("no file: %v", err)
	}
}

// Two servers that start at once end up with one file and one token.
func TestLocalMakesOnePrivateFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "token")
	var wg sync.WaitGroup
	tokens := make([]string, 8)
	for i := range tokens {
		wg.Go(func() {
			e, err := auth.Local(path)
			if err != nil {
				t.Error(err)
			}
			tokens[i] = e.Token
		})
	}
	wg.Wait()
	for _, got := range tokens {
		if got == "" || got != tokens[0] {
			t.Fatalf("tokens differ: %q", tokens)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	s, err := auth.LoadStatic(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Authenticate(t.Context(), request("X-Auth-Token", tokens[0]))
	if err != nil || c.Project != auth.LocalProject || !c.Admin {
		t.Errorf("caller %+v, %v", c, err)
	}
}
