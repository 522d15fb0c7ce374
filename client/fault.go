package client

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/cofferdb/coffer"
)

// faultText is whatever an error's body may hold: Coffer's fields, Trove's, or
// those of the layers before it. A code may be a number or a text.
type faultText struct {
	Message string      `json:"message"`
	Kind    coffer.Kind `json:"kind"`
	Hint    string      `json:"hint"`
}

// fault turns an error's answer into an error. The body is one object in an
// object, or the object itself.
func fault(op string, res *http.Response, body []byte) error {
	f := readFault(body)
	if f.Message == "" {
		f.Message = "the server answered " + res.Status
	}
	if f.Kind == "" {
		f.Kind = kindOf(res.StatusCode)
	}
	err := coffer.E(f.Kind, op, "%s", strings.TrimPrefix(strings.TrimSpace(f.Message), op+": "))
	if f.Hint == "" && res.StatusCode == http.StatusUnauthorized {
		f.Hint = "the token is not known to this server; is it the right token file?"
	}
	if f.Hint != "" {
		err.Hint = f.Hint
	}
	return err
}

func readFault(body []byte) (f faultText) {
	if json.Unmarshal(body, &f) == nil && f.Message != "" {
		f.Message, _, _ = strings.Cut(f.Message, "<br")
		return f
	}
	var wrapped map[string]json.RawMessage
	if json.Unmarshal(body, &wrapped) != nil {
		return faultText{}
	}
	for _, v := range wrapped {
		if json.Unmarshal(v, &f) == nil && f.Message != "" {
			return f
		}
	}
	return f
}

// kindOf is the class that a status alone tells.
func kindOf(status int) coffer.Kind {
	switch status {
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return coffer.KindInvalid
	case http.StatusUnauthorized:
		return coffer.KindUnauthorized
	case http.StatusForbidden:
		return coffer.KindForbidden
	case http.StatusNotFound:
		return coffer.KindNotFound
	case http.StatusConflict:
		return coffer.KindConflict
	case http.StatusRequestEntityTooLarge:
		return coffer.KindQuota
	case http.StatusUnprocessableEntity:
		return coffer.KindUnprocessable
	case http.StatusNotImplemented:
		return coffer.KindUnsupported
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return coffer.KindUnavailable
	}
	return coffer.KindInternal
}
