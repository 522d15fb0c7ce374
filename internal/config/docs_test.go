package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer/internal/config"
)

// docs/STORES.md names every key of a store with its kinds, and only proofs that
// there are.
func TestStoresPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/STORES.md")
	if err != nil {
		t.Fatal(err)
	}
	_, keys, _ := strings.Cut(string(page), "| key | kinds |\n|---|---|\n")
	want := ""
	for _, k := range config.StoreKeys() {
		want += "| `" + k.Key + "` | " + strings.Join(k.Kinds, ", ") + " |\n"
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("the table of keys (-is +says):\n%s", diff)
	}
	proofs := regexp.MustCompile("`([a-z0-9]+) (Test[A-Za-z]+)`").FindAllStringSubmatch(string(page), -1)
	for _, p := range proofs {
		if !hasTest(t, p[1], p[2]) {
			t.Errorf("there is no %s in %s", p[2], p[1])
		}
	}
	if len(proofs) < 20 {
		t.Errorf("the page names %d proofs only", len(proofs))
	}
}

func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	for _, dir := range []string{"../store/" + folder, "../" + folder} {
		files, err := filepath.Glob(dir + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "func "+name+"(t *testing.T)") {
				return true
			}
		}
	}
	return false
}
