package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/bus/local"
)

// ask sends one raw request of alice's and gives status and body.
func ask(h http.Handler, method, path, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", tokenOf("alice"))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func bareHandler(t testing.TB, log *slog.Logger) http.Handler {
	return api.New(api.Config{Records: openRecords(t), Bus: local.New(), Auth: people(t), Stores: []string{"main"}, Log: log})
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	logs := &safeBuffer{}
	h := bareHandler(t, slog.New(slog.NewTextHandler(logs, nil)))
	const p = "/v1.0/" + projA
	const own = "/coffer/v1/" + projA
	backup := func(fields string) string { return `{"backup":{"instance":"` + coffer.NewUUID() + `",` + fields + `}}` }
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		text               string
	}{
		"NUL in a name":         {"POST", p + "/backups", backup(`"name":"a\u0000b"`), 400, "NUL"},
		"NUL in a key":          {"POST", p + "/backups", backup(`"name":"a","x\u0000":1`), 400, "NUL"},
		"NUL in a path":         {"GET", p + "/backups/a%00b", "", 400, "NUL"},
		"NUL in a query":        {"GET", p + "/backups?instance_id=a%00b", "", 400, "NUL"},
		"no UTF-8":              {"POST", p + "/backups", backup(`"name":"a` + "\xff" + `b"`), 400, "UTF-8"},
		"10 MB name":            {"POST", p + "/backups", backup(`"name":"` + strings.Repeat("n", 10<<20) + `"`), 400, "larger"},
		"malformed":             {"POST", p + "/backups", `{"backup":`, 400, "Malformed"},
		"two values":            {"POST", p + "/backups", `{} {}`, 400, "Malformed"},
		"deep":                  {"POST", p + "/backups", strings.Repeat(`[`, 1000) + strings.Repeat(`]`, 1000), 400, "deep"},
		"very deep":             {"POST", p + "/backups", strings.Repeat(`[`, 500000), 400, "Malformed"},
		"a way out":             {"POST", p + "/backups", backup(`"name":"a","swift_container":"a/../../b"`), 400, "not allowed"},
		"an absolute container": {"POST", p + "/backups", backup(`"name":"a","swift_container":"/b"`), 400, "not allowed"},
		"a way out by strategy": {"POST", p + "/backup_strategies", `{"backup_strategy":{"swift_container":"a/../../b"}}`, 400, "not allowed"},
		"a second name":         {"POST", p + "/backups", `{"backup":{"name":"a1","NAME":"` + strings.Repeat("x", 300) + `"}}`, 400, "instance is missing"},
		"unknown id":            {"GET", p + "/backups/" + coffer.NewUUID(), "", 404, "cannot be found"},
		"no id":                 {"GET", p + "/backups/..%2f..%2fetc", "", 404, "could not be found"},
		"unknown instance":      {"POST", p + "/backups", backup(`"name":"a"`), 404, "cannot be found"},
		"long limit":            {"GET", p + "/backups?limit=99999999999999999999", "", 500, "Internal Server Error"},
		"own: misspelt":         {"POST", own + "/restores", `{"restore":{"backupp":"x"}}`, 400, "backupp"},
		"own: no JSON":          {"POST", own + "/restores", `x`, 400, "Malformed"},
		"own: NUL":              {"POST", own + "/instances", `{"instance":{"name":"a\u0000"}}`, 400, "NUL"},
		"own: two addresses":    {"POST", own + "/instances", `{"instance":{"name":"a","conn":{"socket":"/s","host":"h","port":1}}}`, 400, "either"},
		"own: negative":         {"GET", own + "/jobs?limit=-1", "", 400, "whole number"},
		"own: unknown job":      {"GET", own + "/jobs/x/events", "", 404, "no job"},
		"own: verify nothing":   {"POST", own + "/backups/" + coffer.NewUUID() + "/verify", "", 404, "cannot be found"},
		"double slash":          {"GET", "//v1.0/" + projA + "/backups", "", 404, ""},
		"dots":                  {"GET", p + "/../" + projB + "/backups", "", 404, ""},
	} {
		status, body := ask(h, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, c.text) || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %.300s, want %d with %q", name, status, body, c.status, c.text)
		}
	}
	if l := logs.String(); l != "" {
		t.Errorf("the clients' faults were logged as ours:\n%s", l)
	}
}

// A defect of ours shows an id and no text, and is logged once with that id.
func TestDefectsAreNotShown(t *testing.T) {
	t.Parallel()
	logs := &safeBuffer{}
	db := openRecords(t)
	h := api.New(api.Config{Records: broken{db}, Bus: local.New(), Auth: people(t), Log: slog.New(slog.NewTextHandler(logs, nil))})
	for _, path := range []string{"/v1.0/" + projA + "/backups", "/coffer/v1/" + projA + "/jobs", "/coffer/v1/" + projA + "/agents"} {
		before := strings.Count(logs.String(), "secret of the database")
		status, body := ask(h, "GET", path, "")
		if status != 500 || strings.Contains(body, "secret") {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if n := strings.Count(logs.String(), "secret of the database") - before; n != 1 {
			t.Errorf("%s: logged %d times", path, n)
		}
	}
}

// A server without a store says so; one that is away says "later".
func TestWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *api.Config) { c.Stores, c.Sweeper = nil, nil })
	_, err := s.client("admin").Sweep(t.Context())
	wantKind(t, "sweep", err, coffer.KindUnsupported)
	in := s.instance()
	status, body := ask(bareHandler(t, slog.New(slog.DiscardHandler)), "POST", "/v1.0/"+projA+"/instances",
		`{"instance":{"name":"e1","replica_of":"`+string(in.ID)+`"}}`)
	if status != 404 {
		t.Errorf("replica of an unknown instance: %d %s", status, body)
	}
}

// The server drops a client whose header is too large, and answers the next one.
func TestServerBoundsHeaders(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("a", 1<<20))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	res, err = http.Get(s.url + "/healthcheck")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); string(b) != "OK" {
		t.Errorf("healthcheck: %s", b)
	}
}

// FuzzBodies: no body makes the server panic, log an error or answer what is not
// JSON.
func FuzzBodies(f *testing.F) {
	logs := &safeBuffer{}
	h := bareHandler(f, slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelError})))
	paths := []string{
		"/v1.0/" + projA + "/backups", "/v1.0/" + projA + "/backup_strategies", "/v1.0/" + projA + "/instances",
		"/v1.0/" + projA + "/instances/" + coffer.NewUUID() + "/action",
		"/coffer/v1/" + projA + "/restores", "/coffer/v1/" + projA + "/instances",
	}
	for i, seed := range []string{
		`{"backup":{"name":"n","instance":"00000000-0000-4000-8000-000000000000","incremental":1}}`,
		`{"backup_strategy":{"swift_container":"c1"}}`,
		`{"instance":{"name":"n","flavorRef":1,"volume":{"size":"3"},"nics":[{"net-id":"x"}],"restorePoint":{"backupRef":1}}}`,
		`{"reset_status":{}}`, `{"restore":{"backup":"x","target":{"dir":"/a"}}}`, `{"instance":{"name":"a","conn":{"host":"h"}}}`,
	} {
		f.Add(i, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, i int, body []byte) {
		status, answer := ask(h, http.MethodPost, paths[uint(i)%uint(len(paths))], string(body))
		if answer != "" && !json.Valid([]byte(answer)) {
			t.Errorf("%d: %q is not JSON", status, answer)
		}
		if l := logs.String(); l != "" {
			t.Fatalf("logged: %s", l)
		}
	})
}
