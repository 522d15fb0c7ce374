package swift_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// wantText reads the whole object.
func wantText(t *testing.T, s store.Store, name, want string) {
	t.Helper()
	r, err := s.Open(t.Context(), name, 0, -1)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %.40q, %v; want %.40q", name, got, err, want)
	}
	_ = r.Close()
}

// each runs a test on each server with each form of large objects, in a
// container of its own.
func each(t *testing.T, what string, test func(t *testing.T, s spot, r raw)) {
	t.Helper()
	f := servers.For(t)
	for name, o := range map[string]swift.Options{
		"swift-static":    {Auth: password(t, f, "alice", "farm-a", "RegionOne")},
		"swift-dynamic":   {Auth: version1(t, f.swift)},
		"radosgw-static":  {Auth: password(t, f, "alice", "farm-a", "rgw")},
		"radosgw-dynamic": {Auth: password(t, f, "alice", "farm-a", "rgw"), Dynamic: true},
	} {
		o.Container, o.Create = what+"-"+name, true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, o)
			if _, _, err := s.Where(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, spot{s, o}, rawOf(t, f, o))
		})
	}
}

// started is an upload of n parts of one letter each.
func started(t *testing.T, s store.Full, name string, n int) (store.Upload, []store.Part, string) {
	t.Helper()
	u, err := s.Begin(t.Context(), name, store.Meta{"parent_checksum": "abc"})
	if err != nil {
		t.Fatal(err)
	}
	var parts []store.Part
	var text strings.Builder
	for i := range n {
		letter := string(rune('a' + i%26))
		p, err := s.Part(t.Context(), u, i, int64(i), store.Bytes([]byte(letter)))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
		text.WriteString(letter)
	}
	return u, parts, text.String()
}

func finished(t *testing.T, s store.Full, name string, n int) string {
	t.Helper()
	u, parts, text := started(t, s, name, n)
	if _, err := s.Complete(t.Context(), u, parts); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestLayout: what lies in the container is what the format says, with the
// metadata where Trove looks for it; and the end of each object takes its segments
// along and nothing else's, a stranger's of the same form included.
func TestLayout(t *testing.T) {
	t.Parallel()
	each(t, "layout", func(t *testing.T, s spot, r raw) {
		strangers := []string{"b10_00000000", "b1_note", "trove_00000000"}
		for _, name := range strangers {
			r.must(http.MethodPut, "/"+name, nil, "theirs")
		}
		first := finished(t, s, "b2.xbstream.zst", 3)
		second := finished(t, s, "b2.v02.xbstream.zst", 2)
		var segments, others []string
		for _, k := range r.keys("b2_") {
			if strings.HasPrefix(k, "b2_0") {
				segments = append(segments, k)
			} else {
				others = append(others, k)
			}
		}
		if d := cmp.Diff([]string{"b2_00000000", "b2_00000001", "b2_00000002"}, segments); d != "" || len(others) != 2 {
			t.Errorf("besides %v (-want +got):\n%s", others, d)
		}
		h := r.must(http.MethodHead, "/b2.xbstream.zst", nil, "").Header
		if h.Get("X-Object-Meta-Parent-Checksum") != "abc" || h.Get("X-Static-Large-Object") == "" && h.Get("X-Object-Manifest") == "" {
			t.Errorf("the object's headers: %v", h)
		}
		o, err := s.Stat(t.Context(), "b2.xbstream.zst")
		if d := cmp.Diff(store.Meta{"parent_checksum": "abc"}, o.Meta); err != nil || d != "" {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
		wantText(t, s, "b2.xbstream.zst", first)
		wantText(t, s, "b2.v02.xbstream.zst", second)
		if err := s.Delete(t.Context(), "b2.xbstream.zst"); err != nil {
			t.Error(err)
		}
		wantText(t, s, "b2.v02.xbstream.zst", second)
		if err := s.Delete(t.Context(), "b2.v02.xbstream.zst"); err != nil {
			t.Error(err)
		}
		u, _, _ := started(t, s, "b1.xbstream.zst", 2)
		if err := s.Abort(t.Context(), u); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(strangers, r.keys("")); d != "" {
			t.Errorf("what is left (-want +got):\n%s", d)
		}
	})
}

// TestMoreThanAManifestHolds: beyond the entries of a static manifest the object
// is a dynamic one.
func TestMoreThanAManifestHolds(t *testing.T) {
	t.Parallel()
	f := servers.For(t)
	o := swift.Options{Auth: password(t, f, "alice", "farm-a", "RegionOne"), Container: "many", Create: true}
	s := open(t, o)
	text := finished(t, s, "b.xbstream.zst", entries+1)
	wantText(t, s, "b.xbstream.zst", text)
	if n, err := s.MaxParts(t.Context()); n != entries || err != nil {
		t.Errorf("a static manifest holds %d, %v; want %d", n, err, entries)
	}
	r := rawOf(t, f, o)
	if h := r.must(http.MethodHead, "/b.xbstream.zst", nil, "").Header; h.Get("X-Object-Manifest") == "" {
		t.Errorf("%d segments, of which a manifest holds %d: %v", entries+1, entries, h)
	}
	if err := s.Delete(t.Context(), "b.xbstream.zst"); err != nil {
		t.Error(err)
	}
	if left := r.keys(""); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestCrashes: whatever a process left that died, Stale shows it and Abort clears
// it: segments without a marker, and a delete that did not get to the segments.
func TestCrashes(t *testing.T) {
	t.Parallel()
	each(t, "crash", func(t *testing.T, s spot, r raw) {
		started(t, s, "p/dead.xbstream.zst", 2)
		r.must(http.MethodDelete, "/p/dead_upload", nil, "")
		finished(t, s, "p/whole.xbstream.zst", 2)
		finished(t, s, "p/half.xbstream.zst", 2)
		r.must(http.MethodDelete, "/p/half.xbstream.zst", nil, "")
		var names []string
		for u, err := range s.Stale(t.Context(), "p/") {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, u.Name)
			if time.Since(u.Begun).Abs() > time.Hour {
				t.Errorf("%s was begun at %v", u.Name, u.Begun)
			}
			if err := s.Abort(t.Context(), u); err != nil {
				t.Error(err)
			}
		}
		slices.Sort(names)
		if d := cmp.Diff([]string{"p/dead.xbstream.zst", "p/half.xbstream.zst"}, names); d != "" {
			t.Errorf("stale (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]string{"p/whole.xbstream.zst", "p/whole_00000000", "p/whole_00000001"}, r.keys("")); d != "" {
			t.Errorf("what is left (-want +got):\n%s", d)
		}
	})
}

// TestFamilies: the second upload of a family does not take the first one's
// segments for its own, whatever a listing says: it asks for objects.
func TestFamilies(t *testing.T) {
	t.Parallel()
	each(t, "family", func(t *testing.T, s spot, r raw) {
		data, dataParts, dataText := started(t, s, "b.xbstream.zst", 3)
		index, indexParts, indexText := started(t, s, "b.index", 2) // the first is open
		if _, err := s.Complete(t.Context(), data, dataParts); err != nil {
			t.Error(err)
		}
		third, thirdParts, thirdText := started(t, s, "b.v02.xbstream.zst", 2) // the first is whole
		for _, u := range []store.Upload{{Name: "b.index", Token: data.Token}, {Name: "b.v02.xbstream.zst", Token: index.Token}} {
			if _, err := s.Part(t.Context(), u, 0, 0, store.Bytes([]byte("X"))); !coffer.IsKind(err, coffer.KindNotFound) {
				t.Errorf("a token of another upload: %v", err)
			}
			if err := s.Abort(t.Context(), u); err != nil {
				t.Error(err)
			}
		}
		if _, err := s.Complete(t.Context(), index, indexParts); err != nil {
			t.Error(err)
		}
		if _, err := s.Complete(t.Context(), third, thirdParts); err != nil {
			t.Error(err)
		}
		wantText(t, s, "b.xbstream.zst", dataText)
		wantText(t, s, "b.index", indexText)
		wantText(t, s, "b.v02.xbstream.zst", thirdText)
	})
}

// TestSpoiltSegments: radosgw publishes a manifest whose segments are others than
// it says. We do not.
func TestSpoiltSegments(t *testing.T) {
	t.Parallel()
	each(t, "spoilt", func(t *testing.T, s spot, r raw) {
		for name, spoil := range map[string]func(segment string){
			"replaced": func(seg string) { r.must(http.MethodPut, seg, nil, "X") },
			"missing":  func(seg string) { r.must(http.MethodDelete, seg, nil, "") },
			"longer":   func(seg string) { r.must(http.MethodPut, seg, nil, "XX") },
		} {
			u, parts, _ := started(t, s, name+".zst", 3)
			spoil("/" + name + "_00000001")
			if _, err := s.Complete(t.Context(), u, parts); !coffer.IsKind(err, coffer.KindInvalid, coffer.KindConflict) {
				t.Errorf("%s: %v (%s)", name, err, coffer.KindOf(err))
			}
			if _, err := s.Stat(t.Context(), name+".zst"); !coffer.IsKind(err, coffer.KindNotFound) {
				t.Errorf("%s: published all the same: %v", name, err)
			}
		}
	})
}

// TestLostSegment: a reading that comes to a segment that is gone ends with an
// error: at once where the server closes the connection, after our patience where
// it keeps it open, as radosgw does.
func TestLostSegment(t *testing.T) {
	t.Parallel()
	each(t, "lost", func(t *testing.T, s spot, r raw) {
		finished(t, s, "b.zst", 3)
		r.must(http.MethodDelete, "/b_00000001", nil, "")
		o := s.opts
		o.Remote = remote.Options{Patience: 500 * time.Millisecond}
		hasty := open(t, o)
		body, err := hasty.Open(t.Context(), "b.zst", 0, -1)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(body)
			_ = body.Close()
		}
		// A dynamic object is what its listing says: it is two bytes now.
		if dynamic := err == nil && string(got) == "ac"; !dynamic && err == nil {
			t.Errorf("read %q without an error", got)
		}
	})
}

// TestForeign: what Trove has written, in each of its forms, is read; its delete
// takes the segments along.
func TestForeign(t *testing.T) {
	t.Parallel()
	each(t, "trove", func(t *testing.T, s spot, r raw) {
		segment := func(id string, i int, text string) string {
			name := fmt.Sprintf("%s_%08d", id, i)
			return strings.Trim(r.must(http.MethodPut, "/"+name, nil, text).Header.Get("Etag"), `"`)
		}
		segment("d", 0, "dyna")
		segment("d", 1, "mic")
		r.must(http.MethodPut, "/d.xbstream.gz.enc", map[string]string{
			"X-Object-Manifest": s.opts.Container + "/d_", "X-Object-Meta-Lsn": "1", "X-Object-Meta-Parent-Location": "http://x/y/z",
		}, "")
		wantText(t, s, "d.xbstream.gz.enc", "dynamic")
		o, err := s.Stat(t.Context(), "d.xbstream.gz.enc")
		if d := cmp.Diff(store.Meta{"lsn": "1", "parent_location": "http://x/y/z"}, o.Meta); err != nil || d != "" || o.Size != 7 {
			t.Errorf("size %d, %v (-want +got):\n%s", o.Size, err, d)
		}
		left := []string{}
		if strings.HasSuffix(s.opts.Container, "-static") {
			var lines []string
			for i, text := range []string{"sta", "tic"} {
				lines = append(lines, fmt.Sprintf(`{"path":"%s/s_%08d","etag":"%s","size_bytes":3}`, s.opts.Container, i, segment("s", i, text)))
			}
			r.must(http.MethodPut, "/s.xbstream.gz?multipart-manifest=put", nil, "["+strings.Join(lines, ",")+"]")
			wantText(t, s, "s.xbstream.gz", "static")
		}
		r.must(http.MethodPut, "/p.gz", nil, "plain")
		for _, name := range []string{"d.xbstream.gz.enc", "s.xbstream.gz", "p.gz"} {
			if err := s.Delete(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
		if d := cmp.Diff(left, r.keys("")); d != "" {
			t.Errorf("what is left (-want +got):\n%s", d)
		}
	})
}
