package storetest

import (
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// RunProjects holds a store that is one place for all projects to this: each lists its
// own below its name, whatever its users call their containers. place is what the
// place itself is called.
func RunProjects(t *testing.T, s store.Store, place string) {
	t.Helper()
	written := map[string]bool{}
	for _, p := range []coffer.ProjectID{"p1", "p2"} {
		for _, container := range []string{"", "../p1", "p1/database_backups", place, ".."} {
			name := coffer.Prefix(p, container) + "b.manifest.json"
			if _, err := s.Put(t.Context(), name, store.Bytes([]byte(name)), nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			written[name] = true
		}
	}
	for _, p := range []string{"p1/", "p2/"} {
		n := 0
		for o, err := range s.List(t.Context(), p) {
			if err != nil || !written[o.Name] || !strings.HasPrefix(o.Name, p) {
				t.Errorf("below %s lies %+v, %v", p, o, err)
			}
			n++
		}
		if n != 5 {
			t.Errorf("below %s lie %d objects, want 5", p, n)
		}
	}
}
