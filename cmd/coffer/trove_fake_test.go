package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// fakeCloud is as much of Keystone and Swift as a guest and its control plane meet.
type fakeCloud struct {
	*httptest.Server
	mu       sync.Mutex
	objects  map[string]http.Header // by their paths
	projects []string               // for which tokens were asked
}

// cloudToken opens every account.
const cloudToken = "token-of-the-cloud"

func newCloud(t *testing.T) *fakeCloud {
	c := &fakeCloud{objects: map[string]http.Header{}}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *fakeCloud) account(project string) string { return c.URL + "/v1/AUTH_" + project }

// ServeHTTP implements http.Handler.
func (c *fakeCloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch {
	case r.URL.Path == "/identity/v3/auth/tokens":
		c.login(w, body)
	case r.Header.Get("X-Auth-Token") != cloudToken:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodPut:
		c.objects[r.URL.Path] = r.Header
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodHead && c.objects[r.URL.Path] != nil:
		w.Header()["Etag"] = c.objects[r.URL.Path]["Etag"]
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// login gives a token of the one user to the project that is asked for.
func (c *fakeCloud) login(w http.ResponseWriter, body []byte) {
	var ask struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct{ Name, Password string }
				}
			}
			Scope struct{ Project struct{ ID string } }
		}
	}
	if err := json.Unmarshal(body, &ask); err != nil || ask.Auth.Identity.Password.User.Name != "coffer" || ask.Auth.Identity.Password.User.Password != "cofferpass" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	project := ask.Auth.Scope.Project.ID
	c.projects = append(c.projects, project)
	w.Header().Set("X-Subject-Token", cloudToken)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"token": map[string]any{
		"user": map[string]any{"id": "u1"},
		"catalog": []any{map[string]any{"type": "object-store", "endpoints": []any{
			map[string]any{"interface": "public", "region": "RegionTwo", "url": c.URL + "/elsewhere"},
			map[string]any{"interface": "public", "region": "RegionOne", "url": c.account(project)},
		}}},
	}})
}

// asked are the projects for which tokens were given.
func (c *fakeCloud) asked() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.projects, " ")
}

// object is what an address was stored with, or nil.
func (c *fakeCloud) object(address string) http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects[strings.TrimPrefix(address, c.URL)]
}
