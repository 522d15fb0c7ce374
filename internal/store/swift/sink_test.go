package swift_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/archive/archivetest"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// sink is a Swift with the limits that Swift comes with. It counts the bytes of
// segments and throws them away; small objects it keeps.
type sink struct {
	url     string
	buffers sync.Pool

	mu       sync.Mutex
	objects  map[string]*sunk
	segments int
	bytes    int64
}

type sunk struct {
	header http.Header
	size   int64
	body   []byte // of a small object
}

func newSink(t *testing.T) *sink {
	s := &sink{objects: map[string]*sunk{}, buffers: sync.Pool{New: func() any { return new([64 << 10]byte) }}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch name, ok := strings.CutPrefix(r.URL.Path, "/v1/AUTH_a/c/"); {
	case r.URL.Path == "/auth/v1.0":
		w.Header().Set("X-Storage-Url", s.url+"/v1/AUTH_a")
		w.Header().Set("X-Auth-Token", "t")
	case r.URL.Path == "/info":
		fmt.Fprint(w, `{"slo":{"max_manifest_segments":1000,"min_segment_size":1}}`)
	case !ok:
		s.list(w, r)
	case r.Method == http.MethodPut:
		s.put(w, r, name)
	default:
		s.object(w, r, name)
	}
}

func (s *sink) list(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		Name  string `json:"name"`
		Bytes int64  `json:"bytes"`
		Hash  string `json:"hash"`
		Type  string `json:"content_type"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page := []entry{}
	for name, o := range s.objects {
		if strings.HasPrefix(name, r.FormValue("prefix")) && name > r.FormValue("marker") {
			page = append(page, entry{name, o.size, o.header.Get("Etag"), o.header.Get("Content-Type")})
		}
	}
	slices.SortFunc(page, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	_ = json.NewEncoder(w).Encode(page[:min(len(page), 1000)])
}

func (s *sink) put(w http.ResponseWriter, r *http.Request, name string) {
	o := &sunk{header: r.Header.Clone()}
	switch {
	case segmentPath.MatchString(name):
		buf := s.buffers.Get().(*[64 << 10]byte)
		o.size, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, buf[:])
		s.buffers.Put(buf)
		if o.size != r.ContentLength {
			return
		}
	case r.URL.Query().Get("multipart-manifest") == "put":
		var lines []struct {
			Path string `json:"path"`
			ETag string `json:"etag"`
			Size int64  `json:"size_bytes"`
		}
		if json.NewDecoder(r.Body).Decode(&lines) != nil || len(lines) > 1000 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		s.mu.Lock()
		for _, l := range lines {
			seg := s.objects[strings.TrimPrefix(l.Path, "/c/")]
			if seg == nil || seg.size != l.Size || seg.header.Get("Etag") != l.ETag {
				w.WriteHeader(http.StatusBadRequest)
				s.mu.Unlock()
				return
			}
			o.size += l.Size
		}
		s.mu.Unlock()
		o.header.Set("X-Static-Large-Object", "True")
	default:
		o.body, _ = io.ReadAll(r.Body)
		o.size = int64(len(o.body))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if segmentPath.MatchString(name) {
		s.segments++
		s.bytes += o.size
	}
	s.objects[name] = o
	w.WriteHeader(http.StatusCreated)
}

func (s *sink) object(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[name]
	switch {
	case o == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(s.objects, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		for k, v := range o.header {
			if strings.HasPrefix(k, "X-Object-") || strings.HasPrefix(k, "X-Static-") || k == "Etag" || k == "Content-Type" {
				w.Header()[k] = v
			}
		}
		w.Header().Set("Content-Length", strconv.FormatInt(o.size, 10))
		if r.Method == http.MethodGet {
			_, _ = w.Write(o.body)
		}
	}
}

// peak is the most memory that this process had at a time since it was last forgotten.
func peak(t *testing.T, forget bool) int64 {
	t.Helper()
	if forget {
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// TestHeavySixtyGiB: a stream of 60 GiB that does not compress, with every default of
// the product and of Swift. It is more than one static manifest takes, and the memory
// of writer and server together is within the bound of an agent. Under the race
// detector, whose memory says nothing, it is 2 GiB.
func TestHeavySixtyGiB(t *testing.T) {
	if !long {
		t.Skip("COFFER_HEAVY is not 1")
	}
	gib, bound := int64(60), int64(160<<20)
	if raced {
		gib = 2
	}
	if n, err := strconv.ParseInt(os.Getenv("COFFER_SINK_GIB"), 10, 64); err == nil {
		gib = n
	}
	s := newSink(t)
	st := open(t, swift.Options{Auth: swift.Auth{URL: s.url + "/auth/v1.0", V1: true, User: "u", SecretFile: secretFile(t, "k")}, Container: "c"})
	p, id := archive.Place{Store: st}, coffer.BackupID(coffer.NewUUID())
	ring := archivetest.Content(1, 8<<20)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(192 << 20)) // as the program does on two cores
	peak(t, true)
	begun := time.Now()
	w, err := archivetest.Create(t.Context(), p, id, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range gib << 10 {
		off := i * 7919 % (7 << 20)
		if _, err := w.Write(ring[off : off+1<<20]); err != nil {
			t.Fatal(err)
		}
	}
	sealed, err := w.Finish(t.Context(), archivetest.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := w.Commit(t.Context()); out != archive.Done {
		t.Fatalf("%s, %v", out, err)
	}
	most := peak(t, false)
	a, err := archive.Open(t.Context(), p, id, archive.Want{ManifestSHA256: sealed.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Check(t.Context()); err != nil {
		t.Error(err)
	}
	m := a.Manifest()
	t.Logf("%d GiB in %s: %d segments in %d volumes, at most %d MiB of memory", gib, time.Since(begun).Round(time.Second), s.segments, len(m.Volumes), most>>20)
	if want := 1 + int(gib/53); len(m.Volumes) != want || m.Sizes.Plain != gib<<30 || s.bytes < m.DataBytes() || m.DataBytes() < gib<<30 {
		t.Errorf("%d volumes, want %d; %d plain bytes, %d stored, %d arrived", len(m.Volumes), want, m.Sizes.Plain, m.Sizes.Stored, s.bytes)
	}
	if most > bound && !raced {
		t.Errorf("%d MiB of memory, the bound is %d", most>>20, bound>>20)
	}
	if err := archive.Delete(t.Context(), p, id); err != nil || len(s.objects) > 0 {
		t.Errorf("%v; %d objects are left", err, len(s.objects))
	}
}
