package amqp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/bus/bustest"
)

// What leaves us, as a Python server would see it.
func TestWire(t *testing.T) {
	t.Parallel()
	b := broker(t)
	o := options(b.Addr())
	o.UserID = true
	o.Stamp = func(_ context.Context, to bus.Target, method string, _ json.RawMessage) amqp.Stamp {
		return amqp.Stamp{Version: "1.2", Context: map[string]any{"tenant": "p", "trove_notification": dict{"server_type": "guest"}}}
	}
	ours := dial(t, o)
	at := topic()
	in := newPeer(t, b.URL()).listen(at, at)
	if err := ours.Cast(t.Context(), bus.Target{Topic: at}, "create_backup", dict{"backup_info": dict{"id": "b1"}}); err != nil {
		t.Fatal(err)
	}
	d := wait(t, in, "the cast")
	if d.ContentType != "application/json" || d.ContentEncoding != "utf-8" || d.DeliveryMode != 2 || d.Expiration != "60000" || d.UserId != o.User {
		t.Errorf("properties %+v", d)
	}
	m := inner(t, d.Body)
	context := dict{}
	for k, v := range m {
		if name, ok := strings.CutPrefix(k, "_context_"); ok {
			context[name] = v
			delete(m, k)
		}
	}
	id := m["_unique_id"]
	want := dict{"method": "create_backup", "version": "1.2", "args": dict{"backup_info": dict{"id": "b1"}}, "_unique_id": id}
	if diff := cmp.Diff(want, m); diff != "" || len(id.(string)) != 32 {
		t.Errorf("cast (-want +got):\n%s", diff)
	}
	if context["tenant"] != "p" || context["project_id"] != "p" || !cmp.Equal(context["trove_notification"], any(dict{"server_type": "guest"})) {
		t.Errorf("context %v", context)
	}
	if id, _ := context["request_id"].(string); !strings.HasPrefix(id, "req-") {
		t.Errorf("request id %q", id)
	}

	ctx, stop := withTimeout(t, 20*time.Second)
	defer stop()
	go ours.Call(ctx, bus.Target{Topic: at}, "rpc_ping", nil, nil)
	d = wait(t, in, "the call")
	m = inner(t, d.Body)
	if q, _ := m["_reply_q"].(string); !strings.HasPrefix(q, "reply_") || m["_timeout"] != nil || len(m["_msg_id"].(string)) != 32 || !cmp.Equal(m["args"], any(dict{})) {
		t.Errorf("call %v", m)
	}
	if d.Expiration < "15000" || len(d.Expiration) != 5 {
		t.Errorf("a call of 20 s expires after %s ms", d.Expiration)
	}
	stop()
}

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// A Python server answers our calls in every way that there was.
func TestPythonServer(t *testing.T) {
	t.Parallel()
	b := broker(t)
	ours, python := dial(t, options(b.Addr())), newPeer(t, b.URL())
	at := topic()
	in := python.listen(at, at)
	answer := func(m dict, replies ...dict) {
		for _, r := range replies {
			full := dict{"result": nil, "failure": nil, "ending": true, "_msg_id": m["_msg_id"], "_unique_id": coffer.NewNonce()}
			for k, v := range r {
				full[k] = v
			}
			exchange := ""
			if m["method"] == "newton" { // its replier publishes to an exchange of the queue's name
				exchange = m["_reply_q"].(string)
			}
			python.send(exchange, m["_reply_q"].(string), enveloped(full))
		}
	}
	failure := `{"class":"BackupNotFound","module":"trove.common.exception","message":"Backup b1 could not be found.","tb":[],"args":[],"kwargs":{}}`
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 6 {
			m := inner(t, (<-in).Body)
			switch m["method"] {
			case "today", "newton":
				answer(m, dict{"result": "yes"})
			case "heartbeats":
				answer(m, dict{"ending": false}, dict{"ending": false}, dict{"result": "yes"})
			case "two messages":
				answer(m, dict{"ending": false, "result": "yes"}, dict{})
			case "stranger first":
				answer(dict{"_msg_id": "unknown", "_reply_q": m["_reply_q"]}, dict{"result": "no"})
				python.send("", m["_reply_q"].(string), []byte("nonsense"))
				answer(m, dict{"result": "yes"})
			case "fail":
				answer(m, dict{"failure": failure})
			}
		}
	}()
	ctx, stop := withTimeout(t, 15*time.Second)
	defer stop()
	for _, method := range []string{"today", "newton", "heartbeats", "two messages", "stranger first"} {
		var got string
		if err := ours.Call(ctx, bus.Target{Topic: at}, method, nil, &got); err != nil || got != "yes" {
			t.Errorf("%s: %q, %v", method, got, err)
		}
	}
	err := ours.Call(ctx, bus.Target{Topic: at}, "fail", nil, nil)
	if !coffer.IsKind(err, coffer.KindNotFound) || err.Error() != "BackupNotFound: Backup b1 could not be found." {
		t.Errorf("a Python exception: %s, %v", coffer.KindOf(err), err)
	}
	<-done
}

// A Python caller gets what it expects from our server.
func TestPythonCaller(t *testing.T) {
	t.Parallel()
	b := broker(t)
	o := options(b.Addr())
	o.HostName, o.Version = "host-1", "1.2"
	ours, python := dial(t, o), newPeer(t, b.URL())
	at, queue := topic(), "reply_"+coffer.NewNonce()
	replies := python.listen(queue, "")
	calls := 0
	bustest.Serve(t, ours, bus.Target{Topic: at}, func(ctx context.Context, m bus.Message) (any, error) {
		calls++
		switch m.Method {
		case "slow":
			<-time.After(1300 * time.Millisecond)
		case "who":
			return string(amqp.ContextOf(ctx)["tenant"]) + " " + m.From, nil
		case "fail":
			return nil, coffer.E(coffer.KindConflict, "do it", "not now")
		}
		return m.Body, nil
	})
	call := func(key string, change dict) dict {
		t.Helper()
		m := dict{
			"method": "echo", "version": "1.0", "args": dict{"n": 7}, "_unique_id": coffer.NewNonce(), "_msg_id": coffer.NewNonce(),
			"_reply_q": queue, "_timeout": nil, "_context_tenant": "p",
		}
		for k, v := range change {
			m[k] = v
		}
		exchange := "trove"
		if key == at+"_fanout" {
			exchange, key = key, ""
		}
		python.send(exchange, key, enveloped(m))
		r := inner(t, wait(t, replies, "the answer").Body)
		if r["_msg_id"] != m["_msg_id"] || len(r["_unique_id"].(string)) != 32 {
			t.Errorf("answer %v", r)
		}
		return r
	}
	for _, key := range []string{at, at + ".host-1", at + "_fanout"} {
		r := call(key, nil)
		if !cmp.Equal(r["result"], any(dict{"n": 7.0})) || r["failure"] != nil || r["ending"] != true {
			t.Errorf("by %s: %v", key, r)
		}
	}
	if r := call(at, dict{"method": "who"}); r["result"] != `"p" ` {
		t.Errorf("context and sender: %v", r)
	}
	if r := call(at, dict{"method": "slow", "_timeout": 2}); r["ending"] != false || r["result"] != nil || r["failure"] != nil {
		t.Errorf("a heartbeat: %v", r)
	}
	r := inner(t, wait(t, replies, "more of the slow call").Body)
	for r["ending"] == false {
		r = inner(t, wait(t, replies, "the slow answer").Body)
	}
	if r["result"] == nil {
		t.Errorf("after heartbeats: %v", r)
	}
	for class, change := range map[string]dict{
		"CofferConflict": {"method": "fail"}, "UnsupportedVersion": {"version": "1.3"}, "NoSuchMethod": {"method": "_private"},
	} {
		r := call(at, change)
		var f dict
		if err := json.Unmarshal([]byte(r["failure"].(string)), &f); err != nil || f["class"] != class || f["message"] == "" || r["result"] != nil {
			t.Errorf("%s: %v", class, r)
		}
	}
	calls = 0
	once := dict{"_unique_id": coffer.NewNonce()}
	call(at, once)
	m := dict{"method": "echo", "version": "1.0", "args": dict{}, "_unique_id": once["_unique_id"]}
	python.send("trove", at, enveloped(m))
	call(at, nil)
	if calls != 2 {
		t.Errorf("%d handlers ran, want 2: one unique id twice, and another", calls)
	}
}

// What cannot be read is thrown away, said once, and never comes again.
func TestPoison(t *testing.T) {
	t.Parallel()
	b := broker(t)
	var logged syncBuffer
	o := options(b.Addr())
	o.Log, o.MaxMessage = slog.New(slog.NewTextHandler(&logged, nil)), 64<<10
	ours, python := dial(t, o), newPeer(t, b.URL())
	at := bus.Target{Topic: topic()}
	got := make(chan string, 1)
	bustest.Serve(t, ours, at, func(_ context.Context, m bus.Message) (any, error) { got <- m.Method; return nil, nil })
	long := enveloped(dict{"method": "long", "version": "1.0", "args": dict{"x": strings.Repeat("x", 6<<20)}})
	victim := python.listen("victim-"+at.Topic, "")
	for _, body := range [][]byte{
		[]byte("nonsense"), {}, []byte(`{"oslo.version":"9.0","oslo.message":"{}"}`), []byte(`[1]`), long,
		enveloped(dict{"method": "call", "version": "1.0", "_msg_id": "m", "_reply_q": "victim-" + at.Topic}),
		[]byte("nonsense"), []byte("nonsense"),
	} {
		python.send("trove", at.Topic, body)
	}
	if err := ours.Cast(t.Context(), at, "good", nil); err != nil {
		t.Fatal(err)
	}
	if m := wait(t, got, "the good one"); m != "good" {
		t.Errorf("handled %q", m)
	}
	until(t, "an empty queue", func() bool { return ours.Pending(at) == 0 })
	if n := strings.Count(logged.String(), "dropped a message"); n != 1 {
		t.Errorf("%d lines about 8 bad messages of one sender, want 1:\n%s", n, logged.String())
	}
	select {
	case d := <-victim:
		t.Errorf("an answer went to a queue that is none for answers: %s", d.Body)
	default:
	}
	if err := ours.Cast(t.Context(), at, "m", strings.Repeat("x", 64<<10)); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a long message of ours: %v", err)
	}
}

// syncBuffer is a buffer that a logger and a test may use at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
