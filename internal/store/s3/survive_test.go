package s3_test

import (
	"net/http"
	"os"
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
	"github.com/cofferdb/coffer/internal/store/s3"
)

// is tells S3's requests apart.
func is(c archivetest.Call, r *http.Request) bool {
	q := r.URL.Query()
	switch c {
	case archivetest.Part:
		return r.Method == http.MethodPut && q.Has("partNumber")
	case archivetest.Complete:
		return r.Method == http.MethodPost && q.Has("uploadId")
	case archivetest.Commit:
		return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".manifest.json")
	case archivetest.Read:
		return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".xbstream.zst") && !q.Has("uploadId")
	case archivetest.Listing:
		return r.Method == http.MethodGet && q.Has("prefix")
	}
	return false
}

// siteOf is a place for archivetest.
func siteOf(t *testing.T, p place) archivetest.Site {
	t.Helper()
	return archivetest.Site{
		Server: p.opts.Endpoint, Prefix: coffer.Prefix("demo", ""), Is: is,
		Open: func(t *testing.T, address string, patience time.Duration) store.Full {
			o := p.opts
			o.Endpoint, o.Remote = address, remote.Options{Patience: patience}
			return open(t, o)
		},
		Keys: func(t *testing.T, prefix string) []string { return keys(t, p, coffer.Prefix("demo", "")+prefix) },
	}
}

// keys are all objects that begin so; an upload is none.
func keys(t *testing.T, s store.Store, prefix string) []string {
	t.Helper()
	var names []string
	for o, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

// TestFaults: what an archive survives on the server.
func TestFaults(t *testing.T) {
	t.Parallel()
	archivetest.Matrix(t, siteOf(t, places(t, "faults", "faults")(t)))
}

// TestOutage: a server that is away in mid-backup.
func TestOutage(t *testing.T) {
	t.Parallel()
	archivetest.Outage(t, siteOf(t, places(t, "outage", "outage")(t)))
}

// TestSweepBeside: a sweep of ours in a bucket that others use as well takes what is
// proven ours and dead, and neither another's objects nor another's uploads.
func TestSweepBeside(t *testing.T) {
	t.Parallel()
	s := places(t, "sweep", "sweep")(t)
	const other = "0f000000-0000-4000-8000-00000000000f"
	for _, name := range []string{"notes.txt", other + ".xbstream.zst", other + "_00000000", "photos/" + other + ".manifest.json"} {
		if _, err := s.Put(t.Context(), name, store.Bytes([]byte("theirs")), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Begin(t.Context(), other+".v02.xbstream.zst", nil); err != nil {
		t.Fatal(err)
	}
	theirs := keys(t, s, "")
	p := archive.Place{Store: s}
	good, plain := coffer.BackupID(coffer.NewUUID()), archivetest.Content(1, 100<<10)
	small := archive.Options{Workers: 1, InFlight: 64 << 10, PartSize: func(int) int64 { return 16 << 10 }}
	archivetest.Save(t, p, good, plain, small)
	dead := archivetest.Kill(t, p, small)
	archivetest.Sweep(t, p)
	if err := archive.Delete(t.Context(), p, good); err != nil {
		t.Error(err)
	}
	want := append(slices.Clone(theirs), string(dead)+".dead.json", string(dead)+".intent.json")
	slices.Sort(want)
	if d := cmp.Diff(want, keys(t, s, "")); d != "" {
		t.Errorf("after sweep and delete (-want +got):\n%s", d)
	}
	var uploads []string
	for u, err := range s.Stale(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		uploads = append(uploads, u.Name)
	}
	if d := cmp.Diff([]string{other + ".v02.xbstream.zst"}, uploads); d != "" {
		t.Errorf("uploads after sweep and delete (-want +got):\n%s", d)
	}
}

// TestManyParts: more parts than an object may have go on in further volumes.
func TestManyParts(t *testing.T) {
	t.Parallel()
	archivetest.Large(t, siteOf(t, places(t, "parts", "parts")(t)), 90, 40, nil)
}

// TestHeavyManyParts is TestManyParts with as many as S3 takes, and 500 more.
func TestHeavyManyParts(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") != "1" {
		t.Skip("COFFER_HEAVY is not 1")
	}
	archivetest.Large(t, siteOf(t, places(t, "heavyparts", "heavy-parts")(t)), 10_500, 10_000, nil)
}

// TestPartsEnd: the part that S3 would refuse is refused before it is sent.
func TestPartsEnd(t *testing.T) {
	t.Parallel()
	s := &script{}
	full := s.store(t, s3.Options{})
	_, err := full.Part(t.Context(), store.Upload{Name: "x", Token: "t"}, 10_000, 10_000, store.Bytes([]byte("x")))
	if !coffer.IsKind(err, coffer.KindInvalid) || !strings.Contains(coffer.HintOf(err), "next volume") || s.find(http.MethodPut, "/bucket/x") != nil {
		t.Errorf("part 10,001: %v, hint %q", err, coffer.HintOf(err))
	}
}

// TestSizes: nothing, one part exactly, and some parts exactly.
func TestSizes(t *testing.T) {
	t.Parallel()
	archivetest.Sizes(t, siteOf(t, places(t, "sizes", "sizes")(t)))
}

// TestGivenUpOnWriteOnce: a store that refuses deletes.
func TestGivenUpOnWriteOnce(t *testing.T) {
	t.Parallel()
	archivetest.Kept(t, siteOf(t, places(t, "givenup", "given-up")(t)))
}
