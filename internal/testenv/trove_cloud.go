package testenv

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// troveCloud stands in for Nova, Cinder, Neutron and Glance, as far as backups need
// them: every server that was added is there and ACTIVE, nothing else exists.
type troveCloud struct {
	web *httptest.Server

	mu      sync.Mutex
	servers []string
	asked   []string // what could not be answered
}

func newTroveCloud() *troveCloud {
	c := &troveCloud{}
	c.web = listenLoopback(http.HandlerFunc(c.answer))
	return c
}

// URL is where it listens.
func (c *troveCloud) URL() string { return c.web.URL }

func (c *troveCloud) close() { c.web.Close() }

func (c *troveCloud) add(server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = append(c.servers, server)
}

func (c *troveCloud) unknown() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

func (c *troveCloud) answer(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	c.mu.Lock()
	defer c.mu.Unlock()
	var body any
	switch {
	case strings.Contains(r.URL.Path, "/servers/") && slices.Contains(c.servers, id):
		body = map[string]any{"server": map[string]any{
			"id": id, "name": id, "status": "ACTIVE", "addresses": map[string]any{}, "flavor": map[string]any{"id": "1"},
			"created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z", "links": []any{},
		}}
	case strings.Contains(r.URL.Path, "/flavors/"):
		body = map[string]any{"flavor": map[string]any{
			"id": id, "name": "small", "ram": 512, "vcpus": 1, "disk": 5, "swap": "", "links": []any{}, "OS-FLV-EXT-DATA:ephemeral": 0,
		}}
	case strings.HasSuffix(r.URL.Path, "/ports"):
		body = map[string]any{"ports": []any{}}
	case strings.HasSuffix(r.URL.Path, "/os-server-groups"):
		body = map[string]any{"server_groups": []any{}}
	default:
		c.asked = append(c.asked, r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusNotFound)
		body = map[string]any{"itemNotFound": map[string]any{"code": http.StatusNotFound, "message": "no " + id}}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // who has gone needs no answer
}
