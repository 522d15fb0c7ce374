package file_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
)

// TestListIsInByteOrder compares listings of random trees with a sorted list,
// for random prefixes.
func TestListIsInByteOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		s, err := file.New(root, file.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		name := rapid.StringMatching(`[ab!0.-]{1,3}(/[ab!0.-]{1,3}){0,2}`)
		var all []string
		for _, n := range rapid.SliceOfDistinct(name, rapid.ID).Draw(t, "names") {
			p := filepath.Join(root, n)
			if store.CheckName(n) == nil && os.MkdirAll(filepath.Dir(p), 0o700) == nil && os.WriteFile(p, nil, 0o600) == nil {
				all = append(all, n) // the others clash with a folder or a file
			}
		}
		slices.Sort(all)
		prefix := rapid.OneOf(rapid.Just(""), name, rapid.StringMatching(`[ab.-]{1,2}/`)).Draw(t, "prefix")
		want, got := []string{}, []string{}
		for _, n := range all {
			if strings.HasPrefix(n, prefix) {
				want = append(want, n)
			}
		}
		for o, err := range s.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, o.Name)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("prefix %q (-want +got):\n%s", prefix, d)
		}
	})
}
