package amqp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/bus/bustest"
)

// python runs testdata/peer.py with the system's Python, whose packages it needs.
func python(t *testing.T, mode, url, topic string) (out *bufio.Scanner, end func()) {
	t.Helper()
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("COFFER_HEAVY is not set: needs python3-oslo.messaging")
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/peer.py", mode, "rabbit"+strings.TrimPrefix(url, "amqp"), topic)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return bufio.NewScanner(pipe), func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the Python peer: %v", err)
		}
	}
}

// line is the peer's next word.
func line(t *testing.T, out *bufio.Scanner) (m dict) {
	t.Helper()
	if !out.Scan() {
		t.Fatalf("the Python peer has nothing more to say: %v", out.Err())
	}
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatalf("%s: %v", out.Bytes(), err)
	}
	return m
}

// Our calls and casts to a server of the real oslo.messaging.
func TestHeavyOsloServer(t *testing.T) {
	t.Parallel()
	b, at := broker(t), bus.Target{Topic: topic()}
	out, end := python(t, "serve", b.URL(), at.Topic)
	defer end()
	line(t, out)
	o := options(b.Addr())
	o.Stamp = func(_ context.Context, _ bus.Target, method string, _ json.RawMessage) amqp.Stamp {
		s := amqp.Stamp{Context: map[string]any{"tenant": "p"}}
		if method == "newer" {
			s.Version = "1.9"
		}
		return s
	}
	ours := dial(t, o)
	var got any
	if err := ours.Call(t.Context(), at, "echo", dict{"a": 1, "b": nil}, &got); err != nil {
		t.Error(err)
	}
	want := dict{"args": dict{"a": 1.0, "b": nil}, "tenant": "p", "project_id": "p"}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("echo (-want +got):\n%s", diff)
	}
	for method, kind := range map[string]coffer.Kind{"fail": coffer.KindInvalid, "nosuch": coffer.KindUnsupported, "newer": coffer.KindUnsupported} {
		if err := ours.Call(t.Context(), at, method, nil, nil); !coffer.IsKind(err, kind) {
			t.Errorf("%s: %s, %v", method, coffer.KindOf(err), err)
		}
	}
	if err := ours.Cast(t.Context(), bus.Target{Topic: at.Topic, Server: "python"}, "note", dict{"a": 7}); err != nil {
		t.Error(err)
	}
	if m := line(t, out); !cmp.Equal(m, dict{"noted": dict{"a": 7.0}}) {
		t.Errorf("the cast came as %v", m)
	}
}

// Calls and casts of the real oslo.messaging to our server.
func TestHeavyOsloCaller(t *testing.T) {
	t.Parallel()
	b, at := broker(t), bus.Target{Topic: topic()}
	o := options(b.Addr())
	o.HostName, o.Version = "host-1", "1.2"
	noted := make(chan string, 2)
	mux := bus.Mux{
		"echo": func(_ context.Context, m bus.Message) (any, error) { return m.Body, nil },
		"note": func(_ context.Context, m bus.Message) (any, error) { noted <- string(m.Body); return nil, nil },
		"conflict": func(context.Context, bus.Message) (any, error) {
			return nil, coffer.E(coffer.KindConflict, "do it", "not now, 100%% sure")
		},
		"slow": func(context.Context, bus.Message) (any, error) {
			<-time.After(2500 * time.Millisecond)
			return "done", nil
		},
	}
	bustest.Serve(t, dial(t, o), at, mux.Serve)
	out, end := python(t, "call", b.URL(), at.Topic)
	got := line(t, out)
	end()
	want := dict{
		"echo": dict{"a": 1.0, "b": nil}, "slow": "done", "named": dict{"a": 2.0},
		"conflict": dict{"type": "CofferConflict", "text": "do it: not now, 100% sure"},
		"nosuch":   dict{"type": "NoSuchMethod", "text": `handle a message: no method "nosuch"`},
		"newer":    dict{"type": "UnsupportedVersion", "text": `take a message: version "1.9" of "echo" is not served, only 1.2`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, want := range []string{`{"a":1}`, `{"a":3}`} {
		if body := wait(t, noted, "a cast"); !cmp.Equal(compact(body), want) {
			t.Errorf("cast %s, want %s", body, want)
		}
	}
}

func compact(s string) string {
	var v any
	_ = json.Unmarshal([]byte(s), &v)
	b, _ := json.Marshal(v)
	return string(b)
}
