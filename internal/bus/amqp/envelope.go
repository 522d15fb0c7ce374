package amqp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// envelopeVersion is the envelope's own version; a receiver takes what has the
// same major and no greater minor.
const envelopeVersion = "2.0"

// contextPrefix begins every key of the inner message that holds a context value.
const contextPrefix = "_context_"

// valueKey is the one argument under which a body travels that is no object.
const valueKey = "coffer_value"

// maxMethod bounds a method's name, which is logged.
const maxMethod = 255

// envelope is the outer message; Message is JSON text.
type envelope struct {
	Version string `json:"oslo.version"`
	Message string `json:"oslo.message"`
}

// request is the inner message of a cast or, with MsgID and ReplyQ, of a call.
type request struct {
	Method    string          // method
	Args      json.RawMessage // args
	Version   string          // version
	Namespace string          // namespace
	UniqueID  string          // _unique_id
	MsgID     string          // _msg_id
	ReplyQ    string          // _reply_q
	Timeout   *float64        // _timeout, in seconds; set, it asks for heartbeats

	Context map[string]json.RawMessage // _context_*
}

// encode writes a request in its envelope. What it holds as JSON is JSON already, and
// is not read again.
func (r *request) encode() ([]byte, error) {
	b := make([]byte, 0, 1024+len(r.Args))
	b = append(b, `{"method":`...)
	b = appendText(b, r.Method)
	b = append(b, `,"args":`...)
	b = appendRaw(b, r.Args)
	b = append(b, `,"version":`...)
	b = appendText(b, r.Version)
	b = append(b, `,"_unique_id":`...)
	b = appendText(b, r.UniqueID)
	if r.MsgID != "" {
		b = append(b, `,"_msg_id":`...)
		b = appendText(b, r.MsgID)
		b = append(b, `,"_reply_q":`...)
		b = appendText(b, r.ReplyQ)
		b = append(b, `,"_timeout":`...)
		b = append(b, mustJSON(r.Timeout)...)
	}
	for k, v := range r.Context {
		b = append(b, ',')
		b = appendText(b, contextPrefix+k)
		b = append(b, ':')
		b = appendRaw(b, v)
	}
	return inEnvelope(append(b, '}'))
}

// appendText writes a JSON string.
func appendText(b []byte, s string) []byte {
	if !plain(s) {
		return append(b, mustJSON(s)...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendRaw(b []byte, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return append(b, "null"...)
	}
	return append(b, raw...)
}

// plain says that a text is the same within quotes of JSON.
func plain[T ~string | ~[]byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// decodeRequest reads a request, in an envelope or bare, as oslo does.
func decodeRequest(body []byte) (*request, error) {
	inner, err := unwrap(body)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(inner, &all); err != nil {
		return nil, fmt.Errorf("read the inner message: %w", err)
	}
	r := &request{Context: make(map[string]json.RawMessage, len(all)), Args: all["args"]}
	for k, v := range all {
		if name, ok := strings.CutPrefix(k, contextPrefix); ok {
			r.Context[name] = v
		} else if err := r.read(k, v); err != nil {
			return nil, fmt.Errorf("read the inner message: %w", err)
		}
	}
	if r.Method == "" || len(r.Method) > maxMethod {
		return nil, fmt.Errorf("it names no method, or one of more than %d bytes", maxMethod)
	}
	if r.Version == "" {
		r.Version = "1.0"
	}
	return r, nil
}

// read takes the value of one key.
func (r *request) read(key string, v json.RawMessage) error {
	switch key {
	case "method":
		return readText(v, &r.Method)
	case "version":
		return readText(v, &r.Version)
	case "namespace":
		return readText(v, &r.Namespace)
	case "_unique_id":
		return readText(v, &r.UniqueID)
	case "_msg_id":
		return readText(v, &r.MsgID)
	case "_reply_q":
		return readText(v, &r.ReplyQ)
	case "_timeout":
		return json.Unmarshal(v, &r.Timeout)
	}
	return nil
}

// readText reads a JSON string; null is no text.
func readText(v json.RawMessage, s *string) error {
	if n := len(v); n >= 2 && v[0] == '"' && plain(v[1:n-1]) {
		*s = string(v[1 : n-1])
		return nil
	}
	return json.Unmarshal(v, s)
}

// reply is the inner message of an answer. One that is not Ending is a heartbeat,
// or, from a very old server, the answer itself before an empty end.
type reply struct {
	Result   json.RawMessage `json:"result"`
	Failure  *string         `json:"failure"` // JSON text; see fault
	Ending   bool            `json:"ending"`
	MsgID    string          `json:"_msg_id"`
	UniqueID string          `json:"_unique_id"`
}

// empty says that an answer holds neither a result nor a failure.
func (r *reply) empty() bool { return r.Failure == nil && isNull(r.Result) }

func decodeReply(body []byte) (*reply, error) {
	inner, err := unwrap(body)
	if err != nil {
		return nil, err
	}
	r := &reply{}
	if err := json.Unmarshal(inner, r); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return r, nil
}

func wrap(inner any) ([]byte, error) {
	text, err := json.Marshal(inner)
	if err != nil {
		return nil, err
	}
	return inEnvelope(text)
}

func inEnvelope(inner []byte) ([]byte, error) {
	return json.Marshal(envelope{Version: envelopeVersion, Message: string(inner)})
}

func unwrap(body []byte) ([]byte, error) {
	var e struct {
		Version *string `json:"oslo.version"`
		Message string  `json:"oslo.message"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("read the envelope: %w", err)
	}
	if e.Version == nil {
		return body, nil
	}
	if !accepts(envelopeVersion, *e.Version) {
		return nil, fmt.Errorf("its envelope has version %.20q, not %s", *e.Version, envelopeVersion)
	}
	return []byte(e.Message), nil
}

// argsOf turns a body into keyword arguments: an object is its own, null is none,
// anything else is the one argument valueKey.
func argsOf(body json.RawMessage) json.RawMessage {
	switch b := bytes.TrimSpace(body); {
	case isNull(b):
		return json.RawMessage("{}")
	case b[0] == '{':
		return b
	default:
		return json.RawMessage(`{"` + valueKey + `":` + string(b) + `}`)
	}
}

// bodyOf turns keyword arguments back into the body.
func bodyOf(args json.RawMessage) json.RawMessage {
	if isNull(args) {
		return json.RawMessage("{}")
	}
	if !bytes.Contains(args, []byte(valueKey)) {
		return args
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(args, &m) == nil && len(m) == 1 && m[valueKey] != nil {
		return m[valueKey]
	}
	return args
}

func isNull(b json.RawMessage) bool { return len(b) == 0 || string(b) == "null" }
