package amqp

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/cofferdb/coffer"
)

// fault is a failed call's error as oslo writes it, itself JSON text in the answer.
// Ours say kind, text and hint beside it, so that an error crosses whole between
// two of us; a Python caller sees class and message of a RemoteError.
type fault struct {
	Class     string         `json:"class"`
	Module    string         `json:"module"`
	Message   string         `json:"message"`
	Traceback []string       `json:"tb"`
	Args      []any          `json:"args"`
	KWArgs    map[string]any `json:"kwargs"`
}

// ours is what KWArgs holds under "coffer".
type ours struct {
	Kind coffer.Kind `json:"kind"`
	Text string      `json:"text"`
	Hint string      `json:"hint,omitempty"`
}

// The classes that a Python dispatcher raises, and its callers know.
const (
	dispatcher         = "oslo_messaging.rpc.dispatcher"
	noSuchMethod       = "NoSuchMethod"
	unsupportedVersion = "UnsupportedVersion"
)

// encodeFault writes an error. The module is our own, since a Python caller would
// otherwise build the named class from our arguments.
func encodeFault(e *coffer.Error, class string) string {
	text := e.Error()
	if e.Kind == "" {
		e = &coffer.Error{Kind: coffer.KindInternal, Err: e}
	}
	f := fault{
		Class: class, Module: dispatcher, Message: text, Traceback: []string{}, Args: []any{text},
		KWArgs: map[string]any{"coffer": ours{Kind: e.Kind, Text: text, Hint: e.Hint}},
	}
	switch {
	case class == "" && e.Kind == coffer.KindUnsupported:
		f.Class = noSuchMethod
	case class == "":
		f.Class, f.Module = "Coffer"+strings.ToUpper(string(e.Kind[:1]))+string(e.Kind[1:]), "coffer"
	}
	return string(mustJSON(f))
}

// decodeFault reads an error, ours or a Python exception.
func decodeFault(text string) *coffer.Error {
	var f struct {
		fault
		KWArgs struct {
			Coffer *ours `json:"coffer"`
		} `json:"kwargs"`
	}
	if err := json.Unmarshal([]byte(text), &f); err != nil && f.Class == "" {
		return &coffer.Error{Kind: coffer.KindInternal, Err: fmt.Errorf("the other side failed, and its error cannot be read: %w", err)}
	}
	if o := f.KWArgs.Coffer; o != nil && o.Kind != "" {
		return &coffer.Error{Kind: o.Kind, Err: errors.New(o.Text), Hint: o.Hint}
	}
	return &coffer.Error{Kind: kindOfClass(f.Class), Err: fmt.Errorf("%s: %s", f.Class, f.Message)}
}

// kindOfClass is the sense of a Python exception by the name of its class.
func kindOfClass(class string) coffer.Kind {
	class = strings.TrimSuffix(class, "_Remote")
	switch class {
	case noSuchMethod, unsupportedVersion, "UnsupportedRpcVersion", "RPCVersionCapError", "NotImplementedError", "DatastoreOperationNotSupported":
		return coffer.KindUnsupported
	case "Forbidden", "TroveOperationAuthError", "PolicyNotAuthorized":
		return coffer.KindForbidden
	case "BadRequest", "ValueError", "TypeError", "KeyError", "InvalidModelError", "JSONDecodeError":
		return coffer.KindInvalid
	case "UnprocessableEntity", "GuestError":
		return coffer.KindUnprocessable
	case "QuotaExceeded", "OverLimit":
		return coffer.KindQuota
	case "GuestTimeout", "MessagingTimeout", "TimeoutError", "PollTimeOut", "MessageDeliveryFailure":
		return coffer.KindUnavailable
	case "BackupCreationError", "ProcessExecutionError", "RestoreError":
		return coffer.KindTool
	}
	switch {
	case strings.HasSuffix(class, "NotFound") || strings.HasSuffix(class, "NotFoundError"):
		return coffer.KindNotFound
	case strings.HasSuffix(class, "Exists") || strings.HasSuffix(class, "ExistsError"):
		return coffer.KindExists
	}
	return coffer.KindInternal
}
