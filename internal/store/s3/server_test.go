package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
	"github.com/cofferdb/coffer/internal/store/s3"
)

// script is a server that answers as a test says and notes what it was asked.
type script struct {
	mu     sync.Mutex
	asked  []*http.Request
	answer func(w http.ResponseWriter, r *http.Request) bool // false: as an empty bucket does
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	s.asked = append(s.asked, r)
	s.mu.Unlock()
	if s.answer != nil && s.answer(w, r) {
		return
	}
	switch {
	case strings.Count(r.URL.Path, "/") < 2 || strings.HasSuffix(r.URL.Path, "/"): // the bucket
	case r.Method == http.MethodPut:
		w.Header().Set("ETag", `"d41d8cd98f00b204e9800998ecf8427e"`)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

// find is the first request with that method and path.
func (s *script) find(method, path string) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.asked {
		if r.Method == method && r.URL.Path == path {
			return r
		}
	}
	return nil
}

func (s *script) store(t *testing.T, o s3.Options) *s3.Store {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	o.Endpoint, o.CredentialsFile, o.Bucket = server.URL, keyFile(t, "AK", "secret"), "bucket"
	return open(t, o)
}

// TestAnswers: what each refusal of a server means, and that an operator is told
// what to do where there is something to do.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		code   string
		put    coffer.Kind
		part   coffer.Kind // an effect that may happen twice
		hint   string
	}{
		{403, "AccessDenied", coffer.KindForbidden, coffer.KindForbidden, "policy"},
		{403, "InvalidAccessKeyId", coffer.KindUnauthorized, coffer.KindUnauthorized, "credentials"},
		{403, "SignatureDoesNotMatch", coffer.KindUnauthorized, coffer.KindUnauthorized, "credentials"},
		{403, "RequestTimeTooSkewed", coffer.KindUnavailable, coffer.KindUnavailable, "clock"},
		{403, "QuotaExceeded", coffer.KindNoSpace, coffer.KindNoSpace, "quota"},
		{507, "XMinioStorageFull", coffer.KindNoSpace, coffer.KindNoSpace, "space"},
		{404, "NoSuchBucket", coffer.KindInvalid, coffer.KindInvalid, "make it again"},
		{404, "NoSuchUpload", coffer.KindNotFound, coffer.KindNotFound, ""},
		{412, "PreconditionFailed", coffer.KindExists, coffer.KindExists, ""},
		{409, "ConditionalRequestConflict", coffer.KindExists, coffer.KindExists, ""},
		{400, "EntityTooLarge", coffer.KindInvalid, coffer.KindInvalid, "smaller"},
		{400, "EntityTooSmall", coffer.KindInvalid, coffer.KindInvalid, "5 MiB"},
		{400, "BadDigest", coffer.KindUnavailable, coffer.KindUnavailable, "changed"},
		{503, "SlowDown", coffer.KindUnavailable, coffer.KindUnavailable, "busy"},
		{429, "TooManyRequests", coffer.KindUnavailable, coffer.KindUnavailable, "busy"},
		{500, "InternalError", coffer.KindUnknown, coffer.KindUnavailable, "log"},
		{502, "BadGateway", coffer.KindUnknown, coffer.KindUnavailable, "log"},
	} {
		s := (&script{answer: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			refuse(w, c.status, c.code)
			return true
		}}).store(t, s3.Options{})
		_, put := s.Put(t.Context(), "x", store.Bytes([]byte("x")), nil)
		_, part := s.Part(t.Context(), store.Upload{Name: "x", Token: "t"}, 0, 0, store.Bytes([]byte("x")))
		if !coffer.IsKind(put, c.put) || !coffer.IsKind(part, c.part) || !strings.Contains(coffer.HintOf(put), c.hint) || !strings.Contains(put.Error(), c.code) {
			t.Errorf("%d %s: Put %v (%s), Part %s, hint %q", c.status, c.code, put, coffer.KindOf(put), coffer.KindOf(part), coffer.HintOf(put))
		}
	}
}

// TestWrites: each write says its size and its sums, forbids to replace anything,
// and is made once.
func TestWrites(t *testing.T) {
	t.Parallel()
	s := &script{}
	o, err := s.store(t, s3.Options{Encryption: "AES256"}).Put(t.Context(), "p/x", store.Bytes([]byte("abc")), store.Meta{"kind": "test"})
	if err != nil || o.SHA256 != store.Bytes([]byte("abc")).SHA256() {
		t.Fatal(o, err)
	}
	r := s.find(http.MethodPut, "/bucket/p/x")
	got := map[string]string{}
	for _, k := range []string{"If-None-Match", "Content-Md5", "X-Amz-Content-Sha256", "X-Amz-Meta-Kind", "X-Amz-Server-Side-Encryption"} {
		got[k] = r.Header.Get(k)
	}
	want := map[string]string{
		"If-None-Match": "*", "Content-Md5": "kAFQmDzST7DWlj99KOF/cg==", "X-Amz-Content-Sha256": o.SHA256,
		"X-Amz-Meta-Kind": "test", "X-Amz-Server-Side-Encryption": "AES256",
	}
	if d := cmp.Diff(want, got); d != "" || r.ContentLength != 3 {
		t.Errorf("length %d (-want +got):\n%s", r.ContentLength, d)
	}
}

// TestBluntServer: one that does not know conditional writes is written to
// without them, and asked once.
func TestBluntServer(t *testing.T) {
	t.Parallel()
	asked := 0
	s := &script{answer: func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") == "" {
			return false
		}
		asked++
		refuse(w, http.StatusNotImplemented, "NotImplemented")
		return true
	}}
	full := s.store(t, s3.Options{})
	for _, name := range []string{"a", "b"} {
		if _, err := full.Put(t.Context(), name, store.Bytes([]byte("x")), nil); err != nil {
			t.Error(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times for what the server cannot do", asked)
	}
}

// TestHostStyle: the bucket is in the host's name.
func TestHostStyle(t *testing.T) {
	t.Parallel()
	var host, path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { host, path = r.Host, r.URL.Path }))
	t.Cleanup(server.Close)
	url := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	s := open(t, s3.Options{Endpoint: url, CredentialsFile: keyFile(t, "AK", "s"), Bucket: "bucket", HostStyle: true})
	// Nothing resolves bucket.localhost everywhere: the name is what is at test.
	_, _, err := s.Where(t.Context())
	if err == nil && (!strings.HasPrefix(host, "bucket.localhost") || path != "/") || err != nil && !strings.Contains(err.Error(), "bucket.localhost") {
		t.Errorf("asked %q%s, %v", host, path, err)
	}
}

// TestKept: a lock on an object is seen, and a delete says until when.
func TestKept(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	headers := map[string]string{"X-Amz-Object-Lock-Retain-Until-Date": until.Format(time.RFC3339), "X-Amz-Version-Id": "v7"}
	var mu sync.Mutex
	s := &script{answer: func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead || strings.Count(r.URL.Path, "/") < 2 || strings.HasSuffix(r.URL.Path, "/") {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		for k, v := range headers {
			w.Header().Set(k, v)
		}
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		return true
	}}
	full := s.store(t, s3.Options{})
	o, err := full.Stat(t.Context(), "x")
	if err != nil || !o.KeptUntil.Equal(until) {
		t.Errorf("%+v, %v; want kept until %s", o, err, until)
	}
	err = full.Delete(t.Context(), "x")
	if !coffer.IsKind(err, coffer.KindKept) || !strings.Contains(err.Error(), until.Format(time.DateOnly)) || s.find(http.MethodDelete, "/bucket/x") != nil {
		t.Errorf("the delete of a locked object: %v", err)
	}
	mu.Lock()
	headers = map[string]string{"X-Amz-Object-Lock-Legal-Hold": "ON", "X-Amz-Version-Id": "v7"}
	mu.Unlock()
	if err := full.Delete(t.Context(), "x"); !coffer.IsKind(err, coffer.KindKept) {
		t.Errorf("the delete under a legal hold: %v", err)
	}
	mu.Lock()
	headers = map[string]string{"X-Amz-Object-Lock-Retain-Until-Date": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "X-Amz-Version-Id": "v7"}
	mu.Unlock()
	if err := full.Delete(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	if r := s.find(http.MethodDelete, "/bucket/x"); r == nil || r.URL.Query().Get("versionId") != "v7" {
		t.Errorf("the lock has ended; asked to delete: %v", r)
	}
}

// TestCompleteAnswers: an error under status 200 is an error; an answer that is
// lost, and one that says nothing, are unknown.
func TestCompleteAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   coffer.Kind
	}{
		"200 and an error": {func(w http.ResponseWriter) {
			fmt.Fprint(w, "  <Error><Code>InvalidPart</Code><Message>no</Message></Error>")
		}, coffer.KindInvalid},
		"cut": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "<CompleteMulti")
		}, coffer.KindUnknown},
		"500": {func(w http.ResponseWriter) { refuse(w, 500, "InternalError") }, coffer.KindUnknown},
	} {
		s := &script{answer: func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == http.MethodPost:
				c.answer(w)
			case r.URL.Query().Get("uploadId") != "" && r.Method == http.MethodGet:
				fmt.Fprint(w, "<ListPartsResult></ListPartsResult>")
			default:
				return false
			}
			return true
		}}
		_, err := s.store(t, s3.Options{}).Complete(t.Context(), store.Upload{Name: "x", Token: "t"}, []store.Part{{Size: 1, Token: "e"}})
		if !coffer.IsKind(err, c.want) {
			t.Errorf("%s: %v (%s), want %s", name, err, coffer.KindOf(err), c.want)
		}
	}
}

// TestSilence: a server that takes the bytes and does not answer is given up, and
// so is one that stops in the middle of a reading.
func TestSilence(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	s := &script{answer: func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/"):
			return false
		case r.Method == http.MethodGet:
			w.Header().Set("Content-Length", "100")
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_, _ = w.Write(make([]byte, 10))
			w.(http.Flusher).Flush()
		case r.Method != http.MethodPut:
			return false
		}
		select {
		case <-gone:
		case <-r.Context().Done():
		}
		return true
	}}
	full := s.store(t, s3.Options{Remote: remote.Options{Patience: time.Second}})
	t.Cleanup(func() { close(gone) })
	if _, err := full.Put(t.Context(), "x", store.Bytes([]byte("x")), nil); !coffer.IsKind(err, coffer.KindUnknown) {
		t.Errorf("Put: %v (%s)", err, coffer.KindOf(err))
	}
	r, err := full.Open(t.Context(), "x", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if !coffer.IsKind(err, coffer.KindUnavailable) || !bytes.Equal(got, make([]byte, 10)) {
		t.Errorf("Open: %d bytes, %v (%s)", len(got), err, coffer.KindOf(err))
	}
	_ = r.Close()
}

// TestKeysAreExchanged: a file of keys that has changed is read again.
func TestKeysAreExchanged(t *testing.T) {
	t.Parallel()
	s := &script{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	file := keyFile(t, "AKOLD", "secret")
	full := open(t, s3.Options{Endpoint: server.URL, CredentialsFile: file, Bucket: "bucket"})
	_, _ = full.Stat(t.Context(), "a")
	if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = AKNEW\naws_secret_access_key = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	_, _ = full.Stat(t.Context(), "b")
	for path, want := range map[string]string{"/bucket/a": "AKOLD/", "/bucket/b": "AKNEW/"} {
		if r := s.find(http.MethodHead, path); r == nil || !strings.Contains(r.Header.Get("Authorization"), want) {
			t.Errorf("%s was not asked with %s", path, want)
		}
	}
}

// TestCanceledInMidWrite: a caller that stops waiting gets its own end, not a
// fault of the store.
func TestCanceledInMidWrite(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{answer: func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		cancel()
		<-r.Context().Done()
		return true
	}}
	if _, err := s.store(t, s3.Options{}).Put(ctx, "x", store.Bytes([]byte("x")), nil); !coffer.IsKind(err, coffer.KindCanceled) {
		t.Errorf("got %v (%s)", err, coffer.KindOf(err))
	}
}
