package swift

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/cofferdb/coffer"
)

// class is what one answer means to a caller of a store.
type class struct {
	kind coffer.Kind
	hint string
}

// statusClass sorts the statuses of Swift and radosgw.
func statusClass(status int) class {
	switch status {
	case http.StatusUnauthorized:
		return class{coffer.KindUnauthorized, "look at the store's credentials"}
	case http.StatusForbidden:
		return class{coffer.KindForbidden, "the user needs a role in the project that may use the object store, usually member"}
	case http.StatusNotFound:
		return class{kind: coffer.KindNotFound}
	case http.StatusConflict:
		return class{kind: coffer.KindConflict}
	case http.StatusPreconditionFailed:
		return class{kind: coffer.KindExists}
	case http.StatusRequestEntityTooLarge:
		return class{coffer.KindInvalid, "the store takes no object of this size: choose smaller parts"}
	case http.StatusUnprocessableEntity:
		return class{coffer.KindUnavailable, "the bytes were changed on their way to the store"}
	case http.StatusInsufficientStorage:
		return class{coffer.KindNoSpace, "free space in the store"}
	case http.StatusTooManyRequests, 498, http.StatusRequestTimeout, 499:
		return class{coffer.KindUnavailable, "the store is busy"}
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return class{kind: coffer.KindUnsupported}
	}
	if status >= 500 {
		return class{coffer.KindUnavailable, "the store is in trouble: look at its own log"}
	}
	return class{kind: coffer.KindInvalid}
}

// refusal is an answer that says no, with what it says. With effect the request
// may have changed something although it failed.
func refusal(op string, resp *http.Response, effect bool) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 2<<10))
	text := plain(string(raw))
	c := statusClass(resp.StatusCode)
	switch {
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return coffer.E(coffer.KindInvalid, op, "%w", beyondError{})
	case strings.Contains(strings.ToLower(text), "quota"):
		c = class{coffer.KindNoSpace, "raise the project's quota in the store, or delete old backups"}
	case effect && resp.StatusCode >= 500 && c.kind == coffer.KindUnavailable:
		c.kind = coffer.KindUnknown
	}
	if text != "" {
		text = ": " + text
	}
	return coffer.E(c.kind, op, "the store answers %s%s", resp.Status, text).WithHint("%s", c.hint)
}

// plain is an answer's text in one line and without its tags.
func plain(text string) string {
	var b strings.Builder
	tag := false
	for _, r := range text {
		switch {
		case r == '<':
			tag = true
		case r == '>':
			tag = false
			b.WriteByte(' ')
		case !tag:
			b.WriteRune(r)
		}
	}
	words := strings.Join(strings.Fields(b.String()), " ")
	return words[:min(len(words), 200)]
}

// beyondError is the answer to a range that holds no byte of the object.
type beyondError struct{}

func (beyondError) Error() string { return "the range lies beyond the object" }

func beyond(err error) bool {
	_, is := errors.AsType[beyondError](err)
	return is
}
