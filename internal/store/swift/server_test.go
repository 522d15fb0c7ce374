package swift_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// script is a small Swift with version 1 logins that a test can make behave
// badly. It keeps plain objects, and manifests as plain objects.
type script struct {
	t       *testing.T
	url     string
	info    string                                                   // what /info says; "" is 404
	instead func(w http.ResponseWriter, r *http.Request) bool        // answers in place of the server
	after   func(w http.ResponseWriter, r *http.Request) (lost bool) // after the effect: true drops the answer

	mu      sync.Mutex
	logins  int
	objects map[string]*object
	order   []string
}

type object struct {
	header http.Header
	body   []byte
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.URL.Path == "/auth/v1.0":
		s.logins++
		w.Header().Set("X-Storage-Url", s.url+"/v1/AUTH_a")
		w.Header().Set("X-Auth-Token", fmt.Sprint("token", s.logins))
		return
	case r.URL.Path == "/info":
		if s.info == "" {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, s.info)
		return
	case s.instead != nil && s.instead(w, r):
		return
	}
	rest := strings.TrimPrefix(r.URL.Path, "/v1/AUTH_a/")
	container, name, _ := strings.Cut(rest, "/")
	if name == "" {
		s.container(w, r, container)
		return
	}
	s.object(w, r, name, body)
}

func (s *script) container(w http.ResponseWriter, r *http.Request, _ string) {
	if r.Method == http.MethodGet {
		var lines []string
		for _, name := range s.order {
			if o := s.objects[name]; o != nil && strings.HasPrefix(name, r.FormValue("prefix")) && name > r.FormValue("marker") {
				lines = append(lines, fmt.Sprintf(`{"name":%q,"bytes":%d,"hash":%q,"content_type":%q}`, name, len(o.body), o.header.Get("Etag"), o.header.Get("Content-Type")))
			}
		}
		fmt.Fprint(w, "["+strings.Join(lines, ",")+"]")
	}
}

func (s *script) object(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	if s.objects == nil {
		s.objects = map[string]*object{}
	}
	switch o := s.objects[name]; {
	case r.Method == http.MethodPut:
		if o == nil {
			s.order = append(s.order, name)
		}
		s.objects[name] = &object{r.Header.Clone(), body}
		if s.after != nil && s.after(w, r) {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
	case o == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(s.objects, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		s.show(w, name, o)
	}
}

// show answers with an object; a dynamic one is its segments.
func (s *script) show(w http.ResponseWriter, _ string, o *object) {
	body := o.body
	for k, v := range o.header {
		if strings.HasPrefix(k, "X-Object-") || k == "Etag" || k == "Content-Type" {
			w.Header()[k] = v
		}
	}
	if _, prefix, dynamic := strings.Cut(o.header.Get("X-Object-Manifest"), "/"); dynamic {
		for _, name := range s.order {
			if seg := s.objects[name]; seg != nil && strings.HasPrefix(name, prefix) {
				body = append(body[:len(body):len(body)], seg.body...)
			}
		}
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}

func (s *script) store(t *testing.T) *swift.Store {
	t.Helper()
	s.t = t
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return open(t, swift.Options{Auth: swift.Auth{URL: server.URL + "/auth/v1.0", V1: true, User: "u", SecretFile: secretFile(t, "k")}, Container: "c"})
}

const offersStatic = `{"slo":{"max_manifest_segments":1000,"min_segment_size":1}}`

// TestTokenEnds: a token that is refused in the middle is renewed once, and the
// bytes are sent again from the start.
func TestTokenEnds(t *testing.T) {
	t.Parallel()
	s := &script{instead: func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.Header.Get("X-Auth-Token") != "token1" {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}}
	full := s.store(t)
	if _, err := full.Put(t.Context(), "x", store.Bytes([]byte("all of it")), nil); err != nil {
		t.Fatal(err)
	}
	wantText(t, full, "x", "all of it")
	if s.logins != 2 {
		t.Errorf("logged in %d times, want 2", s.logins)
	}
	never := &script{instead: func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}}
	_, err := never.store(t).Stat(t.Context(), "x")
	if !coffer.IsKind(err, coffer.KindUnauthorized) || coffer.HintOf(err) == "" || never.logins != 2 {
		t.Errorf("refused for ever: %v after %d logins", err, never.logins)
	}
}

// TestStaticAfterAll: a server that says it has static large objects and stores
// the manifest's text is found out, and the object becomes a dynamic one.
func TestStaticAfterAll(t *testing.T) {
	t.Parallel()
	s := &script{info: offersStatic}
	full := s.store(t)
	text := finished(t, full, "b.zst", 3)
	wantText(t, full, "b.zst", text)
	asked := 0
	s.instead = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("multipart-manifest") == "put" {
			asked++
		}
		return false
	}
	finished(t, full, "c.zst", 2)
	if asked != 0 {
		t.Error("asked again for what the server cannot do")
	}
}

// TestLostManifest: the manifest is written and the answer is lost. That is
// unknown; asked again, the upload is done.
func TestLostManifest(t *testing.T) {
	t.Parallel()
	lose := true
	s := &script{after: func(_ http.ResponseWriter, r *http.Request) bool {
		lost := lose && r.Header.Get("X-Object-Manifest") != ""
		lose = lose && !lost
		return lost
	}}
	full := s.store(t)
	u, parts, text := started(t, full, "b.zst", 3)
	if _, err := full.Complete(t.Context(), u, parts); !coffer.IsKind(err, coffer.KindUnknown) {
		t.Errorf("the answer was lost: %v (%s)", err, coffer.KindOf(err))
	}
	if o, err := full.Complete(t.Context(), u, parts); err != nil || o.Size != 3 {
		t.Errorf("asked again: %+v, %v", o, err)
	}
	wantText(t, full, "b.zst", text)
	for u, err := range full.Stale(t.Context(), "") {
		t.Errorf("stale: %+v, %v", u, err)
	}
}

// TestListingLags: a segment that is stored and not yet listed is no reason to
// fail; nor is it one to believe a segment that is not there.
func TestListingLags(t *testing.T) {
	t.Parallel()
	s := &script{info: offersStatic}
	s.instead = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.FormValue("prefix"), "b_0") {
			fmt.Fprint(w, "[]")
			return true
		}
		if r.URL.Query().Get("multipart-manifest") == "put" {
			w.WriteHeader(http.StatusCreated)
			s.objects["b.zst"] = &object{http.Header{"Content-Type": {r.Header.Get("Content-Type")}}, []byte("abc")}
			return true
		}
		return false
	}
	full := s.store(t)
	u, parts, text := started(t, full, "b.zst", 3)
	lacks := append(parts[:len(parts):len(parts)], store.Part{Index: 3, Offset: 3, Size: 1, MD5: parts[0].MD5})
	if _, err := full.Complete(t.Context(), u, lacks); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a segment that is not there: %v (%s)", err, coffer.KindOf(err))
	}
	if _, err := full.Complete(t.Context(), u, parts); err != nil {
		t.Error(err)
	}
	wantText(t, full, "b.zst", text)
}

// TestAnswers: what each refusal of a server means.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		text   string
		put    coffer.Kind
		hint   string
	}{
		{401, "", coffer.KindUnauthorized, "credentials"},
		{403, "AccessDenied", coffer.KindForbidden, "role"},
		{403, "QuotaExceeded", coffer.KindNoSpace, "quota"},
		{413, "<html><h1>Request Entity Too Large</h1><p>Upload exceeds quota.</p></html>", coffer.KindNoSpace, "quota"},
		{413, "Your request is too large.", coffer.KindInvalid, "smaller"},
		{412, "", coffer.KindExists, ""},
		{422, "", coffer.KindUnavailable, "changed"},
		{429, "", coffer.KindUnavailable, "busy"},
		{498, "Rate limit", coffer.KindUnavailable, "busy"},
		{500, "", coffer.KindUnknown, "log"},
		{503, "", coffer.KindUnknown, "log"},
		{507, "", coffer.KindNoSpace, "space"},
	} {
		s := &script{instead: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.text)
			return true
		}}
		_, err := s.store(t).Put(t.Context(), "x", store.Bytes([]byte("x")), nil)
		if !coffer.IsKind(err, c.put) || !strings.Contains(coffer.HintOf(err), c.hint) || strings.Contains(err.Error(), "<") {
			t.Errorf("%d %s: %v (%s), hint %q", c.status, c.text, err, coffer.KindOf(err), coffer.HintOf(err))
		}
	}
}

// TestDeleteStaticSaysNo: the server answers a large delete with 200 whatever
// became of it.
func TestDeleteStaticSaysNo(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]coffer.Kind{
		`{"Number Deleted":3,"Response Status":"200 OK","Errors":[]}`:                                 "",
		`{"Number Deleted":2,"Response Status":"400 Bad Request","Errors":[["/c/s","409 Conflict"]]}`: coffer.KindUnavailable,
		`{"Number Deleted":0`: coffer.KindUnavailable,
	} {
		s := &script{instead: func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/x"):
				w.Header().Set("X-Static-Large-Object", "True")
				w.Header().Set("Content-Length", "9")
			case r.Method == http.MethodDelete && r.URL.RawQuery == "multipart-manifest=delete":
				fmt.Fprint(w, said)
			default:
				return false
			}
			return true
		}}
		if err := s.store(t).Delete(t.Context(), "x"); coffer.KindOf(err) != want {
			t.Errorf("%s: %v", said, err)
		}
	}
}

// TestManifestPaths: paths in a static manifest begin with a slash, no sum of the
// whole is sent, and nothing is replaced.
func TestManifestPaths(t *testing.T) {
	t.Parallel()
	var text string
	var h http.Header
	s := &script{info: offersStatic}
	s.after = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("multipart-manifest") == "put" {
			h, text = r.Header.Clone(), string(s.objects["p/b.zst"].body)
		}
		return false
	}
	full := s.store(t)
	finished(t, full, "p/b.zst", 1)
	want := `[{"path":"/c/p/b_00000000","etag":"0cc175b9c0f1b6a831c399e269772661","size_bytes":1}]`
	if d := cmp.Diff(want, text); d != "" || h.Get("Etag") != "" || h.Get("If-None-Match") != "*" {
		t.Errorf("sent with %v (-want +got):\n%s", h, d)
	}
}
