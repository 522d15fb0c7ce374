package swift_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// The habits of radosgw 16 that this package works round: each test shows the habit
// on the real server with nothing of ours between, and then that we stand it. When a
// server has lost a habit, the first half says so.

// habit is a container of its own on the radosgw with one name space.
func habit(t *testing.T, container string) (swift.Options, *swift.Store, raw) {
	t.Helper()
	f := servers.For(t)
	o := swift.Options{Auth: password(t, f, "alice", "farm-a", "rgw"), Container: container, Create: true}
	s := open(t, o)
	if _, _, err := s.Where(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o, s, rawOf(t, f, o)
}

func sumOf(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func wantStatus(t *testing.T, what string, resp *http.Response, want int) {
	t.Helper()
	if resp.StatusCode != want {
		t.Errorf("%s: %d, want %d", what, resp.StatusCode, want)
	}
}

// It takes a static manifest whose sums of the segments are wrong. We compare the
// segments with what was sent before we write one.
func TestRadosgwChecksNoSegment(t *testing.T) {
	t.Parallel()
	_, s, r := habit(t, "habit-sums")
	r.must(http.MethodPut, "/seg", nil, "text")
	manifest := fmt.Sprintf(`[{"path":"/habit-sums/seg","etag":%q,"size_bytes":4}]`, sumOf("else"))
	wantStatus(t, "a manifest with a wrong sum", r.call(http.MethodPut, "/m?multipart-manifest=put", nil, manifest), http.StatusCreated)
	u, parts, _ := started(t, s, "b.zst", 2)
	parts[1].MD5 = sumOf("else")
	if _, err := s.Complete(t.Context(), u, parts); !coffer.IsKind(err, coffer.KindInvalid, coffer.KindConflict) {
		t.Errorf("published over a segment with another sum: %v", err)
	}
}

// It serves a segment that was replaced by as many other bytes, and says nothing. An
// archive's own sums say it, where it is checked and where it is read.
func TestRadosgwServesReplacedSegment(t *testing.T) {
	t.Parallel()
	_, s, r := habit(t, "habit-replaced")
	plain := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{3}).Read(plain)
	p := archive.Place{Store: s}
	w, sealed := written(t, p, kept, plain)
	if out, err := w.Commit(t.Context()); out != archive.Done || err != nil {
		t.Fatalf("commit: %v, %v", out, err)
	}
	segment := ""
	for _, k := range r.keys(string(kept) + "_0") {
		segment = k
		break
	}
	old := r.must(http.MethodGet, "/"+segment, nil, "")
	text, err := io.ReadAll(old.Body)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	r.must(http.MethodPut, "/"+segment, nil, string(text))
	resp := r.call(http.MethodGet, "/"+string(kept)+".xbstream.zst", nil, "")
	whole, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(whole, text) {
		t.Errorf("the replaced segment is served with %d, %v, there=%v", resp.StatusCode, err, bytes.Contains(whole, text))
	}
	a, err := archive.Open(t.Context(), p, kept, archive.Want{ManifestSHA256: sealed.SHA256, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	stream, err := a.Stream(t.Context())
	if err == nil {
		_, err = io.Copy(io.Discard, stream)
		err = errors.Join(err, stream.Close())
	}
	if !coffer.IsKind(err, coffer.KindCorrupt) {
		t.Errorf("read without a word: %v (%s)", err, coffer.KindOf(err))
	}
}

// It announces a whole object of which a segment is missing, and keeps the connection
// open for the rest, for ever. A reading of ours ends after its patience.
func TestRadosgwHangsOnMissingSegment(t *testing.T) {
	t.Parallel()
	o, s, r := habit(t, "habit-hangs")
	finished(t, s, "b.zst", 3)
	r.must(http.MethodDelete, "/b_00000001", nil, "")
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/b.zst", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", r.token)
	client := &http.Client{Transport: &http.Transport{}} // which asks for the connection to stay
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing hangs: %v", err)
	}
	o.Remote = remote.Options{Patience: 300 * time.Millisecond}
	from := time.Now()
	body, err := open(t, o).Open(t.Context(), "b.zst", 0, -1)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		_ = body.Close()
	}
	if !coffer.IsKind(err, coffer.KindUnavailable) || time.Since(from) > 5*time.Second {
		t.Errorf("after %v: %v (%s)", time.Since(from), err, coffer.KindOf(err))
	}
}

// It answers 422 to a manifest with the ETag that it gives it itself. We send none.
func TestRadosgwRefusesManifestETag(t *testing.T) {
	t.Parallel()
	_, s, r := habit(t, "habit-etag")
	r.must(http.MethodPut, "/seg", nil, "text")
	manifest := fmt.Sprintf(`[{"path":"/habit-etag/seg","etag":%q,"size_bytes":4}]`, sumOf("text"))
	whole := sumOf(sumOf("text"))
	wantStatus(t, "a manifest with the right ETag", r.call(http.MethodPut, "/m?multipart-manifest=put", map[string]string{"ETag": whole}, manifest), http.StatusUnprocessableEntity)
	resp := r.must(http.MethodPut, "/m?multipart-manifest=put", nil, manifest)
	if got := strings.Trim(resp.Header.Get("Etag"), `"`); got != whole {
		t.Errorf("its own ETag is %s, want %s", got, whole)
	}
	wantText(t, s, "b.zst", finished(t, s, "b.zst", 2))
}

// It overwrites what "If-None-Match: *" is to keep. We look before we write.
func TestRadosgwIgnoresIfNoneMatch(t *testing.T) {
	t.Parallel()
	_, s, r := habit(t, "habit-overwrite")
	if _, err := s.Put(t.Context(), "x", store.Bytes([]byte("first")), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "x", store.Bytes([]byte("second")), nil); !coffer.IsKind(err, coffer.KindExists) {
		t.Errorf("written twice: %v", err)
	}
	wantText(t, s, "x", "first")
	wantStatus(t, "an overwrite", r.call(http.MethodPut, "/x", map[string]string{"If-None-Match": "*"}, "third"), http.StatusCreated)
	wantText(t, s, "x", "third")
}

// It answers 403 to who makes a container without a token, where Swift answers 401, and
// where names are one space for all 404 to who asks for an object: it does not look for
// it. A wrong token is 401 everywhere. So a 403 is no reason to log in again, a 401 is.
func TestRadosgwWithoutToken(t *testing.T) {
	t.Parallel()
	f := servers.For(t)
	for region, c := range map[string]struct {
		user, project string
		look          int
	}{
		"rgw": {"alice", "farm-a", http.StatusNotFound}, "tenants": {"carol", "farm-c", http.StatusUnauthorized}, "RegionOne": {"alice", "farm-a", http.StatusUnauthorized},
	} {
		o := swift.Options{Auth: password(t, f, c.user, c.project, region), Container: "habit-token", Create: true}
		if _, err := open(t, o).Put(t.Context(), "x", store.Bytes([]byte("text")), nil); err != nil {
			t.Fatal(err)
		}
		none := rawOf(t, f, o)
		none.token = ""
		put := http.StatusForbidden
		if region == "RegionOne" {
			put = http.StatusUnauthorized
		}
		wantStatus(t, region+": a container is made without a token", none.call(http.MethodPut, "", nil, ""), put)
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
			wantStatus(t, region+": "+method+" without a token", none.call(method, "/x", nil, ""), c.look)
		}
		none.token = "none"
		wantStatus(t, region+": a wrong token", none.call(http.MethodGet, "/x", nil, ""), http.StatusUnauthorized)
		account, _, _ := strings.Cut(none.url, "/habit-token")
		o.Auth = swift.Auth{Token: "none", StorageURL: account}
		if _, err := open(t, o).Stat(t.Context(), "x"); !coffer.IsKind(err, coffer.KindUnauthorized) {
			t.Errorf("%s: a wrong token: %v (%s)", region, err, coffer.KindOf(err))
		}
	}
}
