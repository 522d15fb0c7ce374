package trovelink

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/bustest"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/retry"
)

const (
	guestID  = "44b277eb-39be-4921-be31-3d61b43651d7"
	backupID = "a9832168-7541-4536-b8d9-a8a9b79cf1b4"
)

// shelf is as much of Swift as a guest meets: objects by path, checked as Swift does.
type shelf struct {
	mu      sync.Mutex
	objects map[string][]byte
	meta    map[string]http.Header
	refuse  func(*http.Request) int // a status, or 0
	*httptest.Server
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{objects: map[string][]byte{}, meta: map[string]http.Header{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("X-Auth-Token") != "secret-token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if s.refuse != nil {
		if status := s.refuse(r); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	name := strings.TrimPrefix(r.URL.Path, "/v1/AUTH_p/")
	switch r.Method {
	case http.MethodPut:
		s.objects[name], s.meta[name] = body, r.Header
		w.WriteHeader(http.StatusCreated)
	case http.MethodHead:
		if s.objects[name] == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		for k, v := range s.meta[name] {
			if strings.HasPrefix(k, metaPrefix) || k == "Etag" {
				w.Header()[k] = v
			}
		}
	case http.MethodDelete:
		delete(s.objects, name)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *shelf) names() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.objects {
		if strings.Contains(name, "/") {
			out = append(out, name)
		}
	}
	return out
}

// desk is a guest with a fake engine, under a conductor that keeps what it hears.
type desk struct {
	t     *testing.T
	shelf *shelf
	fake  *enginetest.Fake
	bus   *local.Bus
	dir   string
	clock time.Time
	wait  time.Duration // of a stop, for the backup that runs

	mu    sync.Mutex
	heard []bus.Message
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, shelf: newShelf(t), fake: &enginetest.Fake{Bytes: 1 << 20}, bus: local.New(), dir: t.TempDir(), clock: time.Unix(1700000000, 0)}
	bustest.Serve(t, d.bus, toConductor, func(_ context.Context, m bus.Message) (any, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if m.Method != heartbeat.Name {
			d.heard = append(d.heard, m)
		}
		return nil, nil
	})
	return d
}

// start runs a guest; the second one is the next life of the first.
func (d *desk) start() (stop func()) {
	g := &Guest{
		Instance: guestID, Bus: d.bus, Engine: d.fake, Dir: d.dir, HTTP: d.shelf.Client(), Now: func() time.Time { return d.clock },
		ContextOf: func(context.Context) map[string]json.RawMessage { return d.context() },
		StopWait:  d.wait,
		Log:       slog.New(slog.DiscardHandler), patient: retry.Policy{Tries: 1},
	}
	ctx, cancel := context.WithCancel(d.t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- g.Run(ctx, func() { close(ready) }) }()
	<-ready
	return func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Error(err)
		}
	}
}

// context is a request's, as Trove 18 sends it.
func (d *desk) context() map[string]json.RawMessage {
	text := `{"user":"u1","project_id":"p","tenant":"p","auth_token":"secret-token","is_admin":false,"roles":["member"],"request_id":"req-1",
	"service_catalog":[{"type":"object-store","name":"swift","endpoints":[{"region":"RegionOne","publicURL":"` + d.shelf.URL + `/v1/AUTH_p"}]}],
	"limit":null,"marker":null,"trove_notification":{"notification_classname":"trove.common.notification.DBaaSBackupCreate","request_id":"req-1",
	"server_type":"guest","client_ip":"10.0.0.1","server_ip":"10.0.0.2","tenant_id":"p","name":"nightly","instance_id":"` + guestID + `",
	"description":null,"parent_id":null,"backup_id":"` + backupID + `"}}`
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		d.t.Fatal(err)
	}
	return m
}

// order sends Trove's order of a backup, as it stands on the wire.
func (d *desk) order(parent string) {
	d.t.Helper()
	body := json.RawMessage(`{"backup_info":{"id":"` + backupID + `","name":"nightly","description":null,"instance_id":"` + guestID + `",
	"backup_type":"full","checksum":null,"parent":` + parent + `,"datastore":"mariadb","datastore_version":"10.11","swift_container":null}}`)
	to := message.GuestAgent(guestID)
	to.Server = guestID
	if err := d.bus.Cast(d.t.Context(), to, "create_backup", body); err != nil {
		d.t.Fatal(err)
	}
}

// hears waits for n messages at the conductor.
func (d *desk) hears(n int) []map[string]any {
	d.t.Helper()
	until(d.t, 10*time.Second, "the conductor's messages", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return len(d.heard) >= n })
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []map[string]any
	for _, m := range d.heard {
		v := map[string]any{"method": m.Method}
		if err := json.Unmarshal(m.Body, &v); err != nil {
			d.t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// What a guest says of a good backup is what Trove's own says, word for word.
func TestGuestSpeaksAsTroveDoes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	stop := d.start()
	d.order("null")
	got := d.hears(3)
	stop()
	size, sum := got[0]["size"], got[1]["checksum"]
	if sent, last := got[0]["sent"].(float64), got[1]["sent"].(float64); sent >= last || sent < 1700000000 {
		t.Errorf("reports of one instant carry the times %v and %v: Trove drops the second", sent, last)
	}
	delete(got[0], "sent")
	delete(got[1], "sent")
	note := map[string]any{}
	if err := json.Unmarshal(d.context()["trove_notification"], &note); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{"method": "update_backup", "instance_id": guestID, "backup_id": backupID, "size": size, "state": "BUILDING", "backup_type": "full"},
		{
			"method": "update_backup", "instance_id": guestID, "backup_id": backupID, "size": size, "state": "COMPLETED", "backup_type": "full",
			"success": true, "checksum": sum, "location": d.shelf.URL + "/v1/AUTH_p/database_backups/" + backupID + ".xbstream.gz",
		},
		{"method": "notify_end", "serialized_notification": note, "notification_args": map[string]any{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	h := d.shelf.meta["database_backups/"+backupID+".xbstream.gz"]
	if h.Get("Etag") != sum || h.Get("X-Object-Meta-Lsn") == "" || h.Get("X-Object-Meta-Datastore-Version") != "10.11" {
		t.Errorf("stored with %v", h)
	}
	if _, err := os.Stat(d.dir + "/backup.json"); !os.IsNotExist(err) {
		t.Errorf("the journal is still there: %v", err)
	}
}

// A backup that fails leaves nothing, and says why: also when the store refuses, and
// when the agent does not know the parent.
func TestGuestFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil  func(*desk)
		parent string
		heard  int
		why    string
	}{
		"tool":   {func(d *desk) { d.fake.FailErr, d.fake.FailAt = errors.New("disk on fire"), 1<<19 }, "null", 3, "disk on fire"},
		"parent": {func(*desk) {}, `{"location":"http://x/v1/AUTH_p/c/11111111-2222-4333-8444-555555555555.xbstream.gz","checksum":"c"}`, 2, "take a full backup"},
		"store": {func(d *desk) {
			d.shelf.refuse = func(r *http.Request) int {
				if strings.HasSuffix(r.URL.Path, ".gz") && r.Method == http.MethodPut {
					return http.StatusForbidden
				}
				return 0
			}
		}, "null", 3, "403"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			c.spoil(d)
			defer d.start()()
			d.order(c.parent)
			got := d.hears(c.heard)
			last := got[len(got)-2]
			if last["state"] != "FAILED" || last["success"] != false || last["location"] != nil || last["checksum"] != nil {
				t.Errorf("the last report: %v", last)
			}
			said := got[len(got)-1]
			if text, _ := said["message"].(string); said["method"] != "notify_exc_info" || !strings.Contains(text, c.why) || strings.Contains(text, "\n") {
				t.Errorf("the reason: %v", said)
			}
			if note := said["serialized_notification"].(map[string]any); note["instance_id"] != guestID || note["backup_id"] != backupID {
				t.Errorf("the notification: %v", note)
			}
			if names := d.shelf.names(); len(names) > 0 {
				t.Errorf("left behind: %q", names)
			}
		})
	}
}

// An agent that dies in a backup says so in its next life, later than all it has said
// before, whatever the clock says; and its journal never held the caller's token.
func TestGuestTellsAfterARestart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inside := make(chan struct{})
	var once sync.Once
	d.fake.At = func(ctx context.Context, _ int64) error {
		once.Do(func() { close(inside) })
		<-ctx.Done()
		return ctx.Err()
	}
	stop := d.start()
	d.order("null")
	<-inside
	journal, err := os.ReadFile(d.dir + "/backup.json")
	if err != nil || strings.Contains(string(journal), "secret-token") {
		t.Errorf("the journal: %s, %v", journal, err)
	}
	stop() // in order: it says FAILED by itself
	first := d.hears(3)
	if first[1]["state"] != "FAILED" {
		t.Errorf("stopped in a backup: %v", first)
	}
	if err := os.WriteFile(d.dir+"/backup.json", journal, 0o600); err != nil { // as if it had been killed
		t.Fatal(err)
	}
	d.clock = d.clock.Add(-time.Hour)
	defer d.start()()
	again := d.hears(5)[3]
	if again["state"] != "FAILED" || again["sent"].(float64) <= first[1]["sent"].(float64) {
		t.Errorf("after the restart: %v, before it: %v", again, first[1])
	}
	if said := d.hears(5)[4]; !strings.Contains(said["message"].(string), "restarted") {
		t.Errorf("the reason: %v", said)
	}
}

// A stop finishes the backup that runs and begins no other, as long as it may wait.
func TestGuestStopFinishes(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]string{time.Minute: "COMPLETED", time.Millisecond: "FAILED"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.wait = wait
			inside, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			d.fake.At = func(ctx context.Context, _ int64) error {
				once.Do(func() { close(inside) })
				select {
				case <-release:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			stop := d.start()
			d.order("null")
			<-inside
			ended := make(chan struct{})
			go func() { defer close(ended); stop() }()
			to := message.GuestAgent(guestID)
			until(t, 10*time.Second, "the guest to hear nobody", func() bool {
				return d.bus.Cast(t.Context(), to, "rpc_ping", json.RawMessage("{}")) != nil
			})
			if want == "COMPLETED" {
				close(release)
			}
			<-ended
			if got := d.hears(3); got[1]["state"] != want {
				t.Errorf("it says %v", got[1])
			}
		})
	}
}

// A large backup is segments and a manifest, as Trove lays them out.
func TestUpload(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	in := container{http: s.Client(), account: s.URL + "/v1/AUTH_p", name: "c", token: "secret-token", patient: retry.Policy{Tries: 1}}
	u := &upload{ctx: t.Context(), in: in, backup: backupID, most: usualSegments, size: partSize}
	if _, err := u.Write(make([]byte, 40<<20)); err != nil {
		t.Fatal(err)
	}
	// MD5 of 16 MiB and of 8 MiB of zeros.
	const sum16, sum8 = "2c7ab85a893283e98c931e9511add182", "96995b58d4cbf6aaa9041b4f00c7f6ae"
	_, err := u.finish(map[string]string{"lsn": "7"})
	if !coffer.IsKind(err, coffer.KindCorrupt) { // this shelf makes no ETag of a manifest
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(s.objects["c/"+backupID+".xbstream.gz"], &got); err != nil {
		t.Fatal(err)
	}
	line := func(i, sum string, size float64) map[string]any {
		return map[string]any{"path": "/c/" + backupID + "_0000000" + i, "etag": sum, "size_bytes": size}
	}
	want := []map[string]any{line("0", sum16, 16<<20), line("1", sum16, 16<<20), line("2", sum8, 8<<20)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := u.abort(t.Context()); err != nil || len(s.names()) > 0 {
		t.Errorf("after the abort: %q, %v", s.names(), err)
	}
}
