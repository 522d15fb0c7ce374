package coffer

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind classes an error. The set is closed and crosses the wire, so that a
// caller can act on the class of a remote error. One table in package api turns
// kinds into HTTP statuses.
type Kind string

// The kinds. Retry is worth it for KindUnavailable only; KindUnknown means that
// an effect may or may not have happened and must be settled by looking.
const (
	KindInternal      Kind = "internal"      // a defect of ours
	KindInvalid       Kind = "invalid"       // the request can never work as it is
	KindUnauthorized  Kind = "unauthorized"  // no caller, or a bad token
	KindForbidden     Kind = "forbidden"     // the caller may not
	KindNotFound      Kind = "notfound"      // no such thing (or not yours)
	KindExists        Kind = "exists"        // the name is taken: means unknown to a writer
	KindConflict      Kind = "conflict"      // the state does not allow it now
	KindBusy          Kind = "busy"          // another run holds it
	KindQuota         Kind = "quota"         // over a limit that the operator set
	KindUnprocessable Kind = "unprocessable" // the instance cannot be acted on now
	KindUnsupported   Kind = "unsupported"   // this part cannot do it
	KindUnavailable   Kind = "unavailable"   // try again later
	KindUnknown       Kind = "unknown"       // the effect may have happened
	KindCorrupt       Kind = "corrupt"       // stored bytes are not what was written
	KindKept          Kind = "kept"          // the store refuses the delete until a date
	KindNoSpace       Kind = "nospace"       // a disk or a store is full
	KindNeedFull      Kind = "needfull"      // no increment can follow: take a full backup
	KindTool          Kind = "tool"          // a database's tool failed or fell silent
	KindCanceled      Kind = "canceled"      // somebody asked to stop
)

// Error is the one error type: what was being done (Op), its class, the cause,
// and what an operator can do next (Hint). Op reads as a step ("write the
// manifest"), never as a function's name.
type Error struct {
	Kind Kind
	Op   string
	Err  error
	Hint string
}

// E makes an Error of a kind with a formatted cause; %w keeps causes.
func E(kind Kind, op, format string, args ...any) *Error {
	return &Error{Kind: kind, Op: op, Err: fmt.Errorf(format, args...)}
}

// Wrap adds the step that failed and keeps the cause's kind and hint. A nil err
// gives nil, and a step that err begins with already is not said twice.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok && e.Op == op {
		return e
	}
	return &Error{Kind: KindOf(err), Op: op, Err: err, Hint: HintOf(err)}
}

// WithHint sets the operator's hint and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Error is "op: cause". The hint is not part of it: printers show it apart.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		b.WriteString(string(e.Kind))
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the outermost kind in err's chain; context errors are
// KindCanceled (a deadline: KindUnavailable); anything else is KindInternal, and
// nil is "".
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return KindUnavailable
	}
	if errors.Is(err, context.Canceled) {
		return KindCanceled
	}
	return KindInternal
}

// HintOf is the outermost hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// IsKind reports whether err's kind is one of kinds.
func IsKind(err error, kinds ...Kind) bool {
	k := KindOf(err)
	for _, want := range kinds {
		if k == want {
			return true
		}
	}
	return false
}
