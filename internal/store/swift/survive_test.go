package swift_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/archive/archivetest"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

var segmentPath = regexp.MustCompile(`_(q[0-9a-f]{32}_)?\d{8}$`)

// is tells Swift's requests apart.
func is(c archivetest.Call, r *http.Request) bool {
	q := r.URL.Query()
	switch c {
	case archivetest.Part:
		return r.Method == http.MethodPut && segmentPath.MatchString(r.URL.Path)
	case archivetest.Complete:
		return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".xbstream.zst")
	case archivetest.Commit:
		return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".manifest.json")
	case archivetest.Read:
		return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".xbstream.zst")
	case archivetest.Listing:
		return r.Method == http.MethodGet && q.Has("prefix")
	}
	return false
}

// siteOf is a container for archivetest.
func siteOf(t *testing.T, s spot, r raw) archivetest.Site {
	t.Helper()
	account, err := url.Parse(strings.TrimSuffix(r.url, "/"+s.opts.Container))
	if err != nil {
		t.Fatal(err)
	}
	return archivetest.Site{
		Server: "http://" + account.Host, Renews: true, Is: is,
		Open: func(t *testing.T, address string, patience time.Duration) store.Full {
			o := s.opts
			o.Auth.StorageURL, o.Remote = address+account.Path, remote.Options{Patience: patience}
			return open(t, o)
		},
		Keys: func(t *testing.T, prefix string) []string { return r.keys(prefix) },
	}
}

// TestFaults: what an archive survives. In the usual run that is all of it on radosgw,
// and a part on Swift, which burns much more of a processor.
func TestFaults(t *testing.T) {
	t.Parallel()
	each(t, "faults", func(t *testing.T, s spot, r raw) {
		switch s.opts.Container {
		case "faults-radosgw-static":
			archivetest.Matrix(t, siteOf(t, s, r))
		case "faults-swift-static":
			archivetest.Few(t, siteOf(t, s, r))
		}
	})
}

// TestHeavyFaults is TestFaults in the long run.
func TestHeavyFaults(t *testing.T) {
	if !long {
		t.Skip("COFFER_HEAVY is not 1")
	}
	each(t, "heavy-faults", func(t *testing.T, s spot, r raw) { archivetest.Matrix(t, siteOf(t, s, r)) })
}

// TestOutage: a server that is away in mid-backup.
func TestOutage(t *testing.T) {
	t.Parallel()
	each(t, "outage", func(t *testing.T, s spot, r raw) {
		if long || s.opts.Auth.Region == "rgw" {
			archivetest.Outage(t, siteOf(t, s, r))
		}
	})
}

// TestSweepBeside: a sweep of ours in a container that Trove and others use as well
// takes what is proven ours and dead, and nothing else.
func TestSweepBeside(t *testing.T) {
	t.Parallel()
	each(t, "sweep", func(t *testing.T, s spot, r raw) {
		const trove, other, older = "0f000000-0000-4000-8000-00000000000f", "0f000000-0000-4000-8000-0000000000ff", "0f000000-0000-4000-8000-000000000fff"
		for i := range 2 { // one that is whole, and one whose manifest Trove has still to write
			r.must(http.MethodPut, fmt.Sprintf("/%s_%08d", trove, i), nil, "trove")
			r.must(http.MethodPut, fmt.Sprintf("/%s_%08d", other, i), nil, "trove")
			r.must(http.MethodPut, fmt.Sprintf("/%s_%08d", older, i), nil, "trove")
		}
		r.must(http.MethodPut, "/"+older+".xbstream.gz", map[string]string{"X-Object-Manifest": s.opts.Container + "/" + older + "_"}, "")
		if !s.opts.Dynamic && !s.opts.Auth.V1 {
			text := fmt.Sprintf(`[{"path":"%[1]s/%[2]s_00000000"},{"path":"%[1]s/%[2]s_00000001"}]`, s.opts.Container, trove)
			r.must(http.MethodPut, "/"+trove+".xbstream.gz?multipart-manifest=put", nil, text)
		}
		for _, name := range []string{"notes.txt", "photos/" + trove + ".jpg", "0a_upload", other + "_upload", "0a_q00000000000000000000000000000000_00000000"} {
			r.must(http.MethodPut, "/"+name, nil, "theirs")
		}
		theirs := r.keys("")
		p := archive.Place{Store: s}
		good, plain := coffer.BackupID(coffer.NewUUID()), archivetest.Content(1, 100<<10)
		small := archive.Options{Workers: 1, InFlight: 64 << 10, PartSize: func(int) int64 { return 16 << 10 }}
		archivetest.Save(t, p, good, plain, small)
		dead := archivetest.Kill(t, p, small)
		if n := len(r.keys(string(dead) + "_")); n < 3 {
			t.Errorf("the killed backup has left %d segments and its marker only", n)
		}
		strangers := archivetest.Sweep(t, p)
		var left []string
		for _, k := range r.keys("") {
			if !strings.HasPrefix(k, string(good)) {
				left = append(left, k)
			}
		}
		want := append(slices.Clone(theirs), string(dead)+".dead.json", string(dead)+".intent.json")
		slices.Sort(want)
		if d := cmp.Diff(want, left); d != "" {
			t.Errorf("after the sweep (-want +got):\n%s", d)
		}
		if len(strangers) != len(theirs) {
			t.Errorf("of %d strangers the sweep tells %v", len(theirs), strangers)
		}
		archivetest.WantRead(t, p, good, plain)
		if err := archive.Delete(t.Context(), p, good); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(want, r.keys("")); d != "" {
			t.Errorf("after the delete (-want +got):\n%s", d)
		}
	})
}

// TestManyParts: more parts than a static manifest takes go on in further volumes, of
// which each is a static object; a dynamic one's prefix takes its own segments only.
func TestManyParts(t *testing.T) {
	t.Parallel()
	each(t, "parts", func(t *testing.T, s spot, r raw) { manyParts(t, s, r, 2*entries+10) })
}

// TestHeavyManyParts is TestManyParts with 2,500 parts.
func TestHeavyManyParts(t *testing.T) {
	if !long {
		t.Skip("COFFER_HEAVY is not 1")
	}
	each(t, "heavy-parts", func(t *testing.T, s spot, r raw) { manyParts(t, s, r, 2500) })
}

func manyParts(t *testing.T, s spot, r raw, parts int) {
	dynamic := strings.HasSuffix(s.opts.Container, "-dynamic")
	archivetest.Large(t, siteOf(t, s, r), parts, entries, func(t *testing.T, v archive.Volume) {
		h := r.must(http.MethodHead, "/"+v.Name, nil, "").Header
		if got := h.Get("X-Static-Large-Object") != ""; got == dynamic {
			t.Errorf("%s is static: %t", v.Name, got)
		}
		if _, prefix, ok := strings.Cut(h.Get("X-Object-Manifest"), "/"); dynamic && (!ok || len(r.keys(prefix)) != len(v.Parts)) {
			t.Errorf("%s has %d parts, its prefix %q takes %d", v.Name, len(v.Parts), prefix, len(r.keys(prefix)))
		}
	})
}

// TestSizes: nothing, one part exactly, and some parts exactly.
func TestSizes(t *testing.T) {
	t.Parallel()
	each(t, "sizes", func(t *testing.T, s spot, r raw) { archivetest.Sizes(t, siteOf(t, s, r)) })
}

// TestGivenUpOnWriteOnce: a store that refuses deletes.
func TestGivenUpOnWriteOnce(t *testing.T) {
	t.Parallel()
	each(t, "given-up", func(t *testing.T, s spot, r raw) { archivetest.Kept(t, siteOf(t, s, r)) })
}
