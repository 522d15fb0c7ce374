package api

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOpenAPI: the hand-written description names every route and no other.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"GET /", "GET /healthcheck", "POST " + redeemPath}
	for _, r := range (&api{}).routes() {
		paths := r.docs
		if paths == nil {
			paths = []string{r.path}
		}
		for _, p := range paths {
			want = append(want, r.method+" "+p)
		}
	}
	var got []string
	path := ""
	for line := range strings.SplitSeq(string(b), "\n") {
		if m := regexp.MustCompile(`^  (/\S*):$`).FindStringSubmatch(line); m != nil {
			path = m[1]
		}
		if m := regexp.MustCompile(`^    (get|post|put|delete|patch):$`).FindStringSubmatch(line); m != nil {
			got = append(got, strings.ToUpper(m[1])+" "+path)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes and docs/api/openapi.yaml differ (-routes +docs):\n%s", diff)
	}
}
