package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	tr := &http.Transport{}
	t.Cleanup(func() { tr.CloseIdleConnections(); srv.Close() })
	c, err := client.New(client.Config{URL: srv.URL + "/", Token: "token", Project: "p", HTTP: &http.Client{Transport: tr}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every shape of fault becomes an error with a kind and a text.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status     int
		body       string
		kind       coffer.Kind
		text, hint string
	}{
		"Trove":       {404, `{"itemNotFound": {"code": 404, "message": "Resource x cannot be found."}}`, coffer.KindNotFound, "show the backup: Resource x cannot be found.", ""},
		"ours":        {409, `{"conflict": {"code": 409, "message": "m", "kind": "needfull", "hint": "take a full"}}`, coffer.KindNeedFull, "show the backup: m", "take a full"},
		"pipeline":    {403, `{"message": "Access denied.<br /><br />\nmore", "code": "403 Forbidden", "title": "Forbidden"}`, coffer.KindForbidden, "show the backup: Access denied.", ""},
		"token":       {401, `{"error": {"code": 401, "title": "Unauthorized", "message": "no token"}}`, coffer.KindUnauthorized, "show the backup: no token", "the token is not known to this server; is it the right token file?"},
		"no body":     {503, ``, coffer.KindUnavailable, "show the backup: the server answered 503 Service Unavailable", ""},
		"not JSON":    {502, `<html>`, coffer.KindUnavailable, "show the backup: the server answered 502 Bad Gateway", ""},
		"not ours":    {200, `<html>`, coffer.KindInternal, "", ""},
		"quota":       {413, `{"overLimit": {"code": 413, "message": "q"}}`, coffer.KindQuota, "show the backup: q", ""},
		"unsupported": {501, `{}`, coffer.KindUnsupported, "", ""},
	} {
		cl := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		})
		_, err := cl.Backup(t.Context(), "b")
		if coffer.KindOf(err) != c.kind || c.text != "" && err.Error() != c.text || c.hint != "" && coffer.HintOf(err) != c.hint {
			t.Errorf("%s: %q %v, hint %q", name, coffer.KindOf(err), err, coffer.HintOf(err))
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	var got *http.Request
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		fmt.Fprint(w, `{"backups": [{"id": "x"}], "links": [{"rel": "next", "href": "https://h/v1.0/p/backups?limit=1&marker=8"}]}`)
	})
	page, next, err := c.Backups(t.Context(), client.BackupQuery{Instance: "i", Offset: 7, Limit: 1})
	if err != nil || len(page) != 1 || next != 8 {
		t.Errorf("page %v, next %d, %v", page, next, err)
	}
	if got.URL.String() != "/v1.0/p/backups?instance_id=i&limit=1&marker=7" || got.Header.Get("X-Auth-Token") != "token" {
		t.Errorf("request %s %v", got.URL, got.Header)
	}
	if _, err := c.Backup(t.Context(), "../../x"); err != nil || got.URL.EscapedPath() != "/v1.0/p/backups/..%2F..%2Fx" {
		t.Errorf("an id left its place: %s, %v", got.URL.EscapedPath(), err)
	}
	if _, err := c.CreateBackup(t.Context(), trove.BackupCreate{Name: "n"}, ""); err != nil || !coffer.IsUUID(got.Header.Get("Idempotency-Key")) {
		t.Errorf("no key of its own: %q, %v", got.Header.Get("Idempotency-Key"), err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	c, err := client.New(client.Config{URL: "http://127.0.0.1:1", Project: "p"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Backup(t.Context(), "b")
	if !coffer.IsKind(err, coffer.KindUnavailable) || coffer.HintOf(err) == "" {
		t.Errorf("%v, hint %q", err, coffer.HintOf(err))
	}
	for _, bad := range []client.Config{{URL: "127.0.0.1:1", Project: "p"}, {URL: "http://h", Project: "../p"}, {Project: "p"}} {
		if _, err := client.New(bad); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A server that is away in the middle of a wait is asked again, and no event is
// seen twice.
func TestWaitOutlivesARestart(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			fmt.Fprint(w, `{"events": [{"id": 4, "code": "a"}], "job": {"id": "j", "state": "BUILDING"}}`)
		case 2, 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 4:
			if r.URL.Query().Get("after") != "4" {
				t.Errorf("asked after %s, want 4", r.URL.Query().Get("after"))
			}
			fmt.Fprint(w, `{"events": [{"id": 5, "code": "b"}], "job": {"id": "j", "state": "COMPLETED"}}`)
		default:
			fmt.Fprint(w, `{"events": [], "job": {"id": "j", "state": "COMPLETED"}}`)
		}
	})
	var codes []string
	j, err := c.Wait(t.Context(), "j", 0, func(e rest.Events) {
		for _, x := range e.Events {
			codes = append(codes, x.Code)
		}
	})
	if err != nil || j.State != coffer.Completed || fmt.Sprint(codes) != "[a b]" {
		t.Errorf("%v %s %v", err, j.State, codes)
	}
}

// The end of a waiter's context ends the waiting, and asks for nothing else.
func TestWaitCancelsNothing(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("sent %s %s", r.Method, r.URL)
		}
		stop()
		fmt.Fprint(w, `{"events": [], "job": {"id": "j", "state": "BUILDING"}}`)
	})
	_, err := c.Wait(ctx, "j", time.Hour, nil)
	if !coffer.IsKind(err, coffer.KindCanceled) {
		t.Errorf("kind %q: %v", coffer.KindOf(err), err)
	}
}
