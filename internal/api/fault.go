package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

// fault is an answer that is an error: a status and a body, whose shape depends on
// which layer of Trove it would have come from.
type fault struct {
	status int
	body   any
	cause  error // what to log; nil is nothing
}

func (f *fault) Error() string { return fmt.Sprintf("answer %d", f.status) }

func (f *fault) Unwrap() error { return f.cause }

func refusal(status int, name, message string) *fault {
	return &fault{status: status, body: trove.Faults{name: {Code: status, Message: message}}}
}

func pipeline(status int, message string) *fault {
	title := http.StatusText(status)
	return &fault{status: status, body: trove.PipelineFault{Message: message, Code: fmt.Sprintf("%d %s", status, title), Title: title}}
}

func errNoRoute() error {
	return refusal(http.StatusNotFound, trove.ItemNotFound, "The resource could not be found.")
}

// errNothing is Trove's word for an id that is unknown, or another project's.
func errNothing(id string) error {
	return refusal(http.StatusNotFound, trove.ItemNotFound, "Resource "+id+" cannot be found.")
}

func errPolicy(rule string) error {
	return refusal(http.StatusForbidden, trove.Forbidden, "Policy doesn't allow "+rule+" to be performed.")
}

func errMediaType(media string) error {
	return pipeline(http.StatusUnsupportedMediaType,
		"The request media type "+media+" is not supported by this server.\n<br /><br />\n")
}

func errMalformed() error {
	return pipeline(http.StatusBadRequest, "Malformed request body<br /><br />\n\n\n")
}

func errForeign(project coffer.ProjectID) error {
	return pipeline(http.StatusForbidden, "Access was denied to this resource.<br /><br />\nUser with tenant id "+
		string(project)+" cannot access this resource.\n\n")
}

func errToken() error {
	return &fault{status: http.StatusUnauthorized, body: trove.TokenFault{Error: trove.TokenFaultBody{
		Code: http.StatusUnauthorized, Title: "Unauthorized", Message: "The request you have made requires authentication.",
	}}}
}

// errServer is Trove's answer where its first layers fail.
func errServer() error {
	return refusal(http.StatusInternalServerError, trove.InstanceFault,
		"The server has either erred or is incapable of performing the requested operation.")
}

// errPuzzle is Trove's answer to a request that it cannot even refuse. The client
// is at fault, so nothing is logged, but old clients expect this status.
func errPuzzle() error {
	return refusal(http.StatusInternalServerError, trove.InstanceFault,
		"Internal Server Error. Please keep this ID to help us figure out what went wrong: ("+coffer.NewUUID()+").")
}

// class is how a kind of error is answered.
type class struct {
	status int
	name   string
}

// classOf is the one table from kinds to statuses.
func classOf(k coffer.Kind) class {
	switch k {
	case coffer.KindInvalid:
		return class{http.StatusBadRequest, trove.BadRequest}
	case coffer.KindUnauthorized:
		return class{http.StatusUnauthorized, trove.Unauthorized}
	case coffer.KindForbidden:
		return class{http.StatusForbidden, trove.Forbidden}
	case coffer.KindNotFound:
		return class{http.StatusNotFound, trove.ItemNotFound}
	case coffer.KindExists, coffer.KindConflict, coffer.KindBusy, coffer.KindKept, coffer.KindNeedFull:
		return class{http.StatusConflict, trove.Conflict}
	case coffer.KindQuota:
		return class{http.StatusRequestEntityTooLarge, trove.OverLimit}
	case coffer.KindUnprocessable, coffer.KindCorrupt, coffer.KindTool:
		return class{http.StatusUnprocessableEntity, trove.UnprocessableEntity}
	case coffer.KindUnsupported:
		return class{http.StatusNotImplemented, trove.NotImplemented}
	case coffer.KindUnavailable, coffer.KindUnknown, coffer.KindNoSpace, coffer.KindCanceled:
		return class{http.StatusServiceUnavailable, trove.ServiceUnavailable}
	case coffer.KindInternal:
		return class{http.StatusInternalServerError, trove.InstanceFault}
	}
	return class{http.StatusInternalServerError, trove.InstanceFault}
}

// troveFault turns any error into an answer in Trove's words. What is a defect of
// ours is logged and never shown.
func troveFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	c := classOf(coffer.KindOf(err))
	if c.status == http.StatusInternalServerError {
		var p *fault
		errors.As(errPuzzle(), &p)
		p.cause = err
		return p
	}
	message := err.Error()
	if hint := coffer.HintOf(err); hint != "" {
		message += " (" + hint + ")"
	}
	return refusal(c.status, c.name, message)
}

// ownFault is the same for Coffer's own resources, with kind and hint as fields.
func ownFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	kind := coffer.KindOf(err)
	c := classOf(kind)
	body := rest.FaultBody{Code: c.status, Message: err.Error(), Kind: kind, Hint: coffer.HintOf(err)}
	out := &fault{status: c.status}
	if c.status == http.StatusInternalServerError {
		id := coffer.NewUUID()
		out.cause = coffer.Wrap("answer request fault "+id, err)
		body.Kind, body.Message, body.Hint = coffer.KindInternal, "internal error; the server's log has it under "+id, ""
	}
	out.body = rest.Fault{c.name: body}
	return out
}
