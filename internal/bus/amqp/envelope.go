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
	Method    string          `json:"method"`
	Args      json.RawMessage `json:"args"`
	Version   string          `json:"version"`
	Namespace string          `json:"namespace"`
	UniqueID  string          `json:"_unique_id"`
	MsgID     string          `json:"_msg_id"`
	ReplyQ    string          `json:"_reply_q"`
	Timeout   *float64        `json:"_timeout"` // seconds; set, it asks for heartbeats

	Context map[string]json.RawMessage `json:"-"`
}

// encode writes a request in its envelope.
func (r *request) encode() ([]byte, error) {
	m := map[string]any{"method": r.Method, "args": r.Args, "version": r.Version, "_unique_id": r.UniqueID}
	if r.MsgID != "" {
		m["_msg_id"], m["_reply_q"], m["_timeout"] = r.MsgID, r.ReplyQ, r.Timeout
	}
	for k, v := range r.Context {
		m[contextPrefix+k] = v
	}
	return wrap(m)
}

// decodeRequest reads a request, in an envelope or bare, as oslo does.
func decodeRequest(body []byte) (*request, error) {
	inner, err := unwrap(body)
	if err != nil {
		return nil, err
	}
	r := &request{Context: map[string]json.RawMessage{}}
	if err := json.Unmarshal(inner, r); err != nil {
		return nil, fmt.Errorf("read the inner message: %w", err)
	}
	if r.Method == "" || len(r.Method) > maxMethod {
		return nil, fmt.Errorf("it names no method, or one of more than %d bytes", maxMethod)
	}
	if r.Version == "" {
		r.Version = "1.0"
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(inner, &all); err != nil {
		return nil, fmt.Errorf("read the inner message: %w", err)
	}
	for k, v := range all {
		if name, ok := strings.CutPrefix(k, contextPrefix); ok {
			r.Context[name] = v
		}
	}
	return r, nil
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
	return json.Marshal(envelope{Version: envelopeVersion, Message: string(text)})
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
