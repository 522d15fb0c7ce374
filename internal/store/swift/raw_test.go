package swift_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/cofferdb/coffer/internal/store/swift"
)

// raw speaks to a container with nothing of ours between.
type raw struct {
	t     testing.TB
	url   string // of the container
	token string
}

// rawOf logs in for what the store o uses.
func rawOf(t testing.TB, f *farm, o swift.Options) raw {
	t.Helper()
	if o.Auth.V1 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.Auth.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-User", o.Auth.User)
		req.Header.Set("X-Auth-Key", "testing")
		resp := do(t, req)
		return raw{t, resp.Header.Get("X-Storage-Url") + "/" + o.Container, resp.Header.Get("X-Auth-Token")}
	}
	token, err := f.keystone.Token(o.Auth.User, o.Auth.User+"pass", o.Auth.Project)
	if err != nil {
		t.Fatal(err)
	}
	base := map[string]string{"RegionOne": f.swift.KeystoneURL, "rgw": f.rgw.SwiftURL, "tenants": f.tenants.SwiftURL}[o.Auth.Region]
	return raw{t, base + "/AUTH_" + f.keystone.Projects[o.Auth.Project] + "/" + o.Container, token}
}

// do makes a request on a connection of its own and reads its answer.
func do(t testing.TB, req *http.Request) *http.Response {
	t.Helper()
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp
}

// call makes a request to the container or an object in it.
func (r raw) call(method, object string, header map[string]string, body string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+object, bytes.NewReader([]byte(body)))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", r.token)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	return do(r.t, req)
}

// must is call, which has to succeed.
func (r raw) must(method, object string, header map[string]string, body string) *http.Response {
	r.t.Helper()
	resp := r.call(method, object, header, body)
	if resp.StatusCode >= 300 {
		b, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("%s %s: %s: %s", method, object, resp.Status, b)
	}
	return resp
}

// keys are all names below prefix, whatever they are.
func (r raw) keys(prefix string) []string {
	r.t.Helper()
	var entries []struct {
		Name string `json:"name"`
	}
	resp := r.must(http.MethodGet, "?format=json&prefix="+url.QueryEscape(prefix), nil, "")
	if err := json.NewDecoder(resp.Body).Decode(&entries); err != nil && err != io.EOF {
		r.t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return names
}
