package trovelink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/testenv"
)

// stores are servers whose static manifests take 12 segments.
type stores struct {
	swift *testenv.SwiftServer
	rgw   *testenv.RadosgwServer
	user  testenv.RadosgwUser
}

var servers = testenv.Share(func() (*stores, error) {
	s := &stores{}
	var wg sync.WaitGroup
	var errs [2]error
	wg.Go(func() { s.swift, errs[0] = testenv.StartSwift(testenv.SwiftOptions{MaxSegments: 12}) })
	wg.Go(func() {
		s.rgw, errs[1] = testenv.StartRadosgw(testenv.RadosgwOptions{ExtraConfig: []string{"rgw max slo entries = 12"}})
		if errs[1] == nil {
			s.user, errs[1] = s.rgw.User("trove")
		}
	})
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
})

func (s *stores) Stop() {
	if s.swift != nil {
		s.swift.Stop()
	}
	if s.rgw != nil {
		s.rgw.Stop()
	}
}

// loggedIn is a new container of an account.
func loggedIn(t *testing.T, name, url, user, key string) container {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-User", user)
	req.Header.Set("X-Auth-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	c := container{
		http: client, account: resp.Header.Get("X-Storage-Url"), name: name, token: resp.Header.Get("X-Auth-Token"),
		patient: retry.Policy{Tries: 3},
	}
	if err := c.make(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// get is the answer to a GET of the object, or with "" the listing.
func (c container) get(t *testing.T, object, bytes string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(c.account+"/"+c.name+"/"+object, "/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", c.token)
	if bytes != "" {
		req.Header.Set("Range", "bytes="+bytes)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s: %s, %v", object, resp.Status, err)
	}
	return string(b)
}

// TestBeyondOneManifest: a backup with more segments than one static manifest takes is
// one object all the same, with the ETag that Trove compares before it restores: a
// manifest of manifests on Swift, a prefix on radosgw. Trove's own delete, where there
// is a manifest, and our abort leave nothing; nor does the try that finds the form.
func TestBeyondOneManifest(t *testing.T) {
	t.Parallel()
	s := servers.For(t)
	for name, c := range map[string]struct {
		in   container
		want form
	}{
		"swift":   {loggedIn(t, "beyond", s.swift.AuthURL, "test:tester", "testing"), nested},
		"radosgw": {loggedIn(t, "beyond", s.rgw.AuthURL, s.user.SwiftUser, s.user.SwiftKey), byPrefix},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			most := c.in.segments(t.Context())
			if most != 12 {
				t.Fatalf("a manifest takes %d segments, want 12", most)
			}
			for n, form := range map[int]form{12: oneManifest, 13: c.want, 24: c.want, 40: c.want} {
				id := coffer.NewUUID()
				var plain bytes.Buffer
				u := &upload{ctx: t.Context(), in: c.in, backup: id, most: most, size: func(int) int { return 10 }}
				for i := range n {
					fmt.Fprintf(io.MultiWriter(u, &plain), "segment%03d", i)
				}
				sum, err := u.finish(map[string]string{metaLSN: "7"})
				if err != nil {
					t.Fatalf("%d segments: %v", n, err)
				}
				object := objectName(id)
				etag, meta, err := c.in.head(t.Context(), object)
				if err != nil || etag != sum || meta[metaLSN] != "7" || u.form != form {
					t.Errorf("%d segments, form %d, want %d: ETag %s, sum %s, %v, %v", n, u.form, form, etag, sum, meta, err)
				}
				if got := c.in.get(t, object, ""); got != plain.String() {
					t.Errorf("%d segments read %d bytes of %d", n, len(got), plain.Len())
				}
				if got := c.in.get(t, object, "95-134"); got != plain.String()[95:min(135, plain.Len())] {
					t.Errorf("%d segments: a range reads %q", n, got)
				}
				if form == byPrefix || n == 24 {
					err = u.abort(t.Context())
				} else {
					_, err = c.in.do(t.Context(), http.MethodDelete, object, "?multipart-manifest=delete", nil, nil)
				}
				if left := c.in.get(t, "", ""); err != nil || strings.Contains(left, id) {
					t.Errorf("%d segments: %v; left:\n%s", n, err, left)
				}
			}
		})
	}
}

// TestTooLarge: what the store could not read back is refused before the first byte of
// the database is read, and said; what fits asks nothing of the store.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.RawQuery != "" || r.Header.Get("X-Object-Manifest") != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	defer s.Close()
	in := container{http: s.Client(), account: s.URL + "/v1/AUTH_p", name: "c", patient: retry.Policy{Tries: 1}}
	up := func() *upload {
		return &upload{ctx: t.Context(), in: in, backup: backupID, most: usualSegments, size: partSize}
	}
	if err := up().prepare(t.Context(), 40<<30); err != nil || asked != 0 {
		t.Errorf("40 GiB: %v, asked %d times", err, asked)
	}
	err := up().prepare(t.Context(), 60<<30)
	if !coffer.IsKind(err, coffer.KindUnsupported) || !strings.Contains(coffer.HintOf(err), "own control plane") {
		t.Errorf("60 GiB: %v (%s), hint %q", err, coffer.KindOf(err), coffer.HintOf(err))
	}
	for f, gib := range map[form]int64{nested: 62_000, byPrefix: 600} {
		u := up()
		if holds := u.holds(f.segments(u.most)) >> 30; holds < gib || holds > gib+1000 {
			t.Errorf("form %d holds %d GiB, want about %d", f, holds, gib)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := up().prepare(ctx, 60<<30); !coffer.IsKind(err, coffer.KindCanceled) {
		t.Errorf("canceled: %v", err)
	}
}
