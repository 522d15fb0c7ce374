package amqp

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
)

const (
	vectorKey  = "emYjgHFqfXNB1NGehAFIUeoyw4V4XwWHEaKP"
	instanceID = "44b277eb-0000-4000-8000-000000000001"
)

// recorded is testdata/oslo.json: what oslo.messaging 14.0.3 put on a RabbitMQ, and
// two messages in Trove's encryption written by other code than ours.
func recorded(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/oslo.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct{ Name, Body string }
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Name == name {
			return []byte(r.Body)
		}
	}
	t.Fatalf("no recorded message %q", name)
	return nil
}

func TestRecordedRequests(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]request{
		"cast":           {Method: "create_backup", Args: json.RawMessage(`{"backup_info": {"id": "b1", "parent": null}}`)},
		"call":           {Method: "get_filesystem_stats", Args: json.RawMessage(`{"fs_path": null}`)},
		"call-monitored": {Method: "slow", Args: json.RawMessage(`{}`)},
	} {
		r, err := decodeRequest(recorded(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Method != want.Method || string(r.Args) != string(want.Args) || r.Version != "1.0" || len(r.UniqueID) != 32 {
			t.Errorf("%s: got %+v", name, r)
		}
		if call := name != "cast"; (r.MsgID != "") != call || (r.ReplyQ != "") != call {
			t.Errorf("%s: msg id %q, reply queue %q", name, r.MsgID, r.ReplyQ)
		}
		if monitored := name == "call-monitored"; (r.Timeout != nil) != monitored || monitored && *r.Timeout != 2 {
			t.Errorf("%s: timeout %v", name, r.Timeout)
		}
	}
	r, _ := decodeRequest(recorded(t, "cast"))
	if string(r.Context["tenant"]) != `"p"` || string(r.Context["project_id"]) != `"p"` {
		t.Errorf("context %s", mustJSON(r.Context))
	}
}

func TestRecordedReplies(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]coffer.Kind{
		"failure": coffer.KindInvalid, "failure-version": coffer.KindUnsupported, "failure-method": coffer.KindUnsupported,
		"answer": "", "answer-after-heartbeats": "", "heartbeat": "",
	} {
		r, err := decodeReply(recorded(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.MsgID == "" || r.Ending != (name != "heartbeat") || r.empty() != (name == "heartbeat") || (r.Failure != nil) != (kind != "") {
			t.Errorf("%s: %+v", name, r)
		}
		if r.Failure != nil {
			if got := decodeFault(*r.Failure); got.Kind != kind || got.Error() == "" {
				t.Errorf("%s: %s: %v", name, got.Kind, got)
			}
		}
	}
}

// Our messages have the same keys as oslo's, and values of the same kinds.
func TestSameShapeAsRecorded(t *testing.T) {
	t.Parallel()
	ours := func(r *request) []byte {
		r.Context = map[string]json.RawMessage{"tenant": json.RawMessage(`"p"`), "project_id": json.RawMessage(`"p"`)}
		b, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	two := 2.0
	text := encodeFault(coffer.E(coffer.KindInvalid, "x", "y"), "")
	answered, _ := wrap(reply{Failure: &text, Ending: true, MsgID: "m", UniqueID: "u"})
	info := json.RawMessage(`{"backup_info":{"id":"b1","parent":null}}`)
	for name, got := range map[string][]byte{
		"cast": ours(&request{Method: "m", Args: info, Version: "1.0", UniqueID: "u"}),
		"call": ours(&request{Method: "m", Args: json.RawMessage(`{"fs_path":null}`), Version: "1.0", UniqueID: "u", MsgID: "m", ReplyQ: "r"}),
		"call-monitored": ours(&request{
			Method: "m", Args: json.RawMessage(`{}`), Version: "1.0", UniqueID: "u", MsgID: "m", ReplyQ: "r", Timeout: &two,
		}),
		"failure": answered,
	} {
		if diff := cmp.Diff(shapeOf(t, recorded(t, name)), shapeOf(t, got)); diff != "" {
			t.Errorf("%s (-oslo +ours):\n%s", name, diff)
		}
	}
}

// shapeOf is an envelope's inner message with each value replaced by its kind,
// without its context.
func shapeOf(t *testing.T, body []byte) any {
	t.Helper()
	inner, err := unwrap(body)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(inner, &m); err != nil {
		t.Fatal(err)
	}
	for k := range m {
		if len(k) > len(contextPrefix) && k[:len(contextPrefix)] == contextPrefix {
			delete(m, k)
		}
	}
	if f, ok := m["failure"].(string); ok {
		var inner map[string]any
		if err := json.Unmarshal([]byte(f), &inner); err != nil {
			t.Fatal(err)
		}
		delete(inner["kwargs"].(map[string]any), "coffer")
		inner["tb"] = []any{}
		m["failure"] = inner
	}
	return kinds(m)
}

func kinds(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = kinds(e)
		}
		return out
	case []any:
		return len(v)
	case string:
		return "text"
	case float64:
		return "number"
	}
	return v
}

func TestCipherVector(t *testing.T) {
	t.Parallel()
	const want = "AAECAwQFBgcICQoLDA0OD6eKgSJe2uLAgww1eYCu5fg="
	iv := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	if got := encryptWith(vectorKey, iv, []byte(`{"id": "b1"}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := decrypt(vectorKey, want); err != nil || string(got) != `{"id": "b1"}` {
		t.Errorf("got %q, %v", got, err)
	}
	for _, s := range []string{"", "full", want[:20], "AAECAwQFBgcICQoLDA0ODw=="} {
		if _, err := decrypt(vectorKey, s); err == nil {
			t.Errorf("%q was decrypted", s)
		}
	}
	if _, err := decrypt("other", want); err == nil {
		t.Error("another key decrypts")
	}
}

// keyring has one instance's key, and for the topics what it is told.
type keyring map[string]string

func (k keyring) To(_ context.Context, topic string) (string, error) { return k[topic], nil }

func (k keyring) Of(_ context.Context, id string) (string, error) {
	if id != instanceID {
		return "", coffer.E(coffer.KindNotFound, "find a key", "no instance %s", id)
	}
	return vectorKey, nil
}

func TestRecordedEncryption(t *testing.T) {
	t.Parallel()
	const guest = "guestagent." + instanceID
	agent := &Bus{o: Options{Keys: keyring{guest: vectorKey, "trove-conductor": vectorKey}, SelfID: instanceID}}
	control := &Bus{o: Options{Keys: keyring{guest: vectorKey}}}

	r, _ := decodeRequest(recorded(t, "encrypted-to-guest"))
	key, err := agent.unseal(t.Context(), guest, r)
	if err != nil || key != vectorKey || string(r.Args) != `{"backup_info":{"id":"b1","parent":null}}` || string(r.Context["tenant"]) != `"p"` {
		t.Errorf("to the guest: %q, %v, %s, %s", key, err, r.Args, mustJSON(r.Context))
	}
	r, _ = decodeRequest(recorded(t, "encrypted-to-conductor"))
	key, err = control.unseal(t.Context(), "trove-conductor", r)
	want := `{"backup_id":"b1","backup_type":null,"instance_id":"` + instanceID + `","sent":1795435756.78,"size":1.5,"state":"BUILDING"}`
	if err != nil || key != vectorKey || string(r.Args) != want {
		t.Errorf("to the conductor: %q, %v, %s", key, err, r.Args)
	}

	// Ours have the same shape, and come through.
	for name, c := range map[string]struct {
		from, to *Bus
		topic    string
		args     string
	}{
		"encrypted-to-guest":     {control, agent, guest, `{"backup_info":{"id":"b1","parent":null}}`},
		"encrypted-to-conductor": {agent, control, "trove-conductor", want},
	} {
		r := &request{Method: "m", Version: "1.0", UniqueID: "u", Args: json.RawMessage(c.args), Context: map[string]json.RawMessage{"tenant": json.RawMessage(`"p"`)}}
		if _, err := c.from.seal(t.Context(), c.topic, r); err != nil {
			t.Fatal(err)
		}
		body, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(allKinds(t, recorded(t, name)), allKinds(t, body)); diff != "" {
			t.Errorf("%s (-trove +ours):\n%s", name, diff)
		}
		back, _ := decodeRequest(body)
		if _, err := c.to.unseal(t.Context(), c.topic, back); err != nil || string(back.Args) != c.args || string(back.Context["tenant"]) != `"p"` {
			t.Errorf("%s: %v, %s", name, err, back.Args)
		}
	}
}

// allKinds is shapeOf with the context, and looks into sealed arguments.
func allKinds(t *testing.T, body []byte) any {
	inner, err := unwrap(body)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(inner, &m); err != nil {
		t.Fatal(err)
	}
	args := m["args"].(map[string]any)
	for k, v := range args {
		var s map[string]any
		if json.Unmarshal([]byte(v.(string)), &s) == nil {
			args[k] = s
		}
	}
	return kinds(m)
}

func TestEncryptionRefuses(t *testing.T) {
	t.Parallel()
	const guest = "guestagent." + instanceID
	agent := &Bus{o: Options{Keys: keyring{guest: vectorKey}, SelfID: instanceID}}
	control := &Bus{o: Options{Keys: keyring{}}}
	plain := func() *request {
		r, _ := decodeRequest(recorded(t, "cast"))
		return r
	}
	if _, err := agent.unseal(t.Context(), guest, plain()); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("a plain message to an agent with a key: %v", err)
	}
	if key, err := control.unseal(t.Context(), "trove-conductor", plain()); err != nil || key != "" {
		t.Errorf("a plain message to the conductor: %q, %v", key, err)
	}
	r, _ := decodeRequest(recorded(t, "encrypted-to-conductor"))
	r.Context[selfKey] = json.RawMessage(`"another"`)
	if _, err := control.unseal(t.Context(), "trove-conductor", r); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("an unknown instance: %v", err)
	}
	other := &Bus{o: Options{Keys: keyring{guest: "other"}}}
	r, _ = decodeRequest(recorded(t, "encrypted-to-guest"))
	if _, err := other.unseal(t.Context(), guest, r); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("another key: %v", err)
	}
	r, _ = decodeRequest(recorded(t, "encrypted-to-conductor"))
	var args map[string]string
	_ = json.Unmarshal(r.Args, &args)
	args["state"] = string(mustJSON(sealed{Entity: "AAECAwQFBgcICQoLDA0OD6eKgSJe2uLAgww1eYCu5fg=", Self: "another"}))
	r.Args = mustJSON(args)
	if _, err := control.unseal(t.Context(), "trove-conductor", r); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("an argument of another instance: %v", err)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"a":1}`: `{"a":1}`, `null`: `{}`, `"s"`: `"s"`, `[1]`: `[1]`, `7`: `7`, `true`: `true`, `{"coffer_value":1,"x":2}`: `{"coffer_value":1,"x":2}`,
	} {
		args := argsOf(json.RawMessage(body))
		if !json.Valid(args) || args[0] != '{' {
			t.Errorf("%s becomes arguments %s", body, args)
		}
		if got := string(bodyOf(args)); got != want {
			t.Errorf("%s came as %s, want %s", body, got, want)
		}
	}
	if got := string(bodyOf(nil)); got != "{}" {
		t.Errorf("no args: %s", got)
	}
}

func TestEnvelopeVersions(t *testing.T) {
	t.Parallel()
	for body, good := range map[string]bool{
		`{"oslo.version":"2.0","oslo.message":"{\"method\":\"m\"}"}`: true,
		`{"method":"m"}`: true,
		`{"oslo.version":"9.0","oslo.message":"{\"method\":\"m\"}"}`: false,
		`{"oslo.version":"2.1","oslo.message":"{\"method\":\"m\"}"}`: false,
		`{"oslo.version":"2.0","oslo.message":"nonsense"}`:           false,
		`{"oslo.version":"2.0"}`:                                     false,
		`{}`:                                                         false, `[]`: false, `null`: false, `"`: false, ``: false,
	} {
		if _, err := decodeRequest([]byte(body)); (err == nil) != good {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	for want, ok := range map[string]bool{"1.0": true, "1.3": true, "1": true, "1.4": false, "2.0": false, "0.9": false, "": false, "x": false, "1.x": false} {
		if accepts("1.3", want) != ok {
			t.Errorf("a server of 1.3 and a request of %q", want)
		}
	}
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	var r recent
	for i := range 17 {
		if r.repeat(string(rune('a' + i))) {
			t.Errorf("%c is no repeat", 'a'+i)
		}
	}
	if !r.repeat("q") || !r.repeat("b") || r.repeat("a") || r.repeat("") || r.repeat("") {
		t.Error("the last 16 are remembered, and no more")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	in := &coffer.Error{Kind: coffer.KindNeedFull, Err: errors.New("carry it: 100% too heavy"), Hint: "put it down"}
	out := decodeFault(encodeFault(in, ""))
	if out.Kind != in.Kind || out.Error() != in.Error() || out.Hint != in.Hint {
		t.Errorf("got %s %q %q", out.Kind, out, out.Hint)
	}
	for class, want := range map[string]coffer.Kind{
		"BackupNotFound": coffer.KindNotFound, "ModelNotFoundError": coffer.KindNotFound, "Forbidden_Remote": coffer.KindForbidden,
		"GuestTimeout": coffer.KindUnavailable, "AttributeError": coffer.KindInternal, "DatabaseAlreadyExists": coffer.KindExists,
	} {
		if got := decodeFault(`{"class":"` + class + `","message":"m"}`); got.Kind != want || got.Error() != class+": m" {
			t.Errorf("%s: %s %q", class, got.Kind, got)
		}
	}
	if got := decodeFault("nonsense"); got.Kind != coffer.KindInternal {
		t.Errorf("nonsense: %v", got)
	}
	if got := decodeFault(encodeFault(&coffer.Error{}, "")); got.Kind != coffer.KindInternal {
		t.Errorf("no kind: %v", got)
	}
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	q, now := &quiet{seen: map[string]hush{}}, time.Now()
	said, last := 0, 0
	for range 100 {
		if _, ok := q.count("a", 3, now); ok {
			said++
		}
	}
	if last, _ = q.count("a", 3, now.Add(2*time.Minute)); said != 3 || last != 97 {
		t.Errorf("%d lines of 100, and %d left out; want 3 and 97", said, last)
	}
	for i := range 5 * quietKinds {
		q.count(strconv.Itoa(i), 1, now)
	}
	if len(q.seen) > quietKinds {
		t.Errorf("%d causes are remembered", len(q.seen))
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`{"b":1.50,"a":{"y":"<ü>","x":9223372036854775808}}`, "{ \"a\" : {\"x\":9223372036854775808,\"y\":\"\\u003c\\u00fc>\"},\n\"b\":1.50 }"} {
		got, err := canonical(json.RawMessage(in))
		if want := `{"a":{"x":9223372036854775808,"y":"<ü>"},"b":1.50}`; err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

func TestContextNamesBothProjects(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tenant", "project_id"} {
		c, err := contextOf(map[string]any{name: "p", "trove_notification": map[string]any{"server_type": "guest"}})
		if err != nil || string(c["tenant"]) != `"p"` || string(c["project_id"]) != `"p"` || string(c["trove_notification"]) != `{"server_type":"guest"}` {
			t.Errorf("%s: %v, %s", name, err, mustJSON(c))
		}
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	o, err := ParseURL("rabbit://trove:p%40ss@h1:5673,trove:p%40ss@h2/some%2Fvhost?ssl=1")
	if err != nil || o.TLS == nil || o.VHost != "some/vhost" || o.User != "trove" || o.Password != "p@ss" {
		t.Fatalf("%+v, %v", o, err)
	}
	if diff := cmp.Diff([]string{"h1:5673", "h2:5671"}, o.Hosts); diff != "" {
		t.Error(diff)
	}
	if o, err := ParseURL("amqp://a:b@[::1]/"); err != nil || o.Hosts[0] != "[::1]:5672" || o.TLS != nil || o.withDefaults().VHost != "/" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, s := range []string{"", "http://a", "rabbit://", "rabbit://a:secret@h,b:secret@h2", "amqp://a:secret@ h"} {
		if _, err := ParseURL(s); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%q: %v", s, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q shows its password: %v", s, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"oslo.version":"2.0","oslo.message":"{\"method\":\"m\",\"args\":{\"coffer_value\":1}}"}`))
	f.Add([]byte(`{"method":"m","_timeout":1e9,"_context_a":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRequest(b); err == nil {
			if back, err := r.encode(); err == nil {
				if _, err := decodeRequest(back); err != nil {
					t.Errorf("ours cannot be read again: %v", err)
				}
			}
			bodyOf(r.Args)
		}
		_, _ = decodeReply(b)
		decodeFault(string(b))
	})
}
