package histories

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer/internal/engine/enginetest"
)

// keepChain writes the streams and indexes of a chain that went wrong into the folder
// that COFFER_KEEP names, to be looked at: a seed alone does not bring them back.
func keepChain(t *testing.T, seed uint64, chain []taken) {
	t.Helper()
	dir := os.Getenv("COFFER_KEEP")
	if dir == "" {
		return
	}
	dir = filepath.Join(dir, fmt.Sprintf("%d-%d", seed, len(chain)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Error(err)
		return
	}
	for i, b := range chain {
		l, ok := b.layer.(*enginetest.Layer)
		if !ok {
			continue
		}
		index, err := json.MarshalIndent(l.Files, "", " ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".json")), index, 0o644)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".xb")), l.Data, 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
	t.Logf("kept in %s", dir)
}
