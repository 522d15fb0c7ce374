// Package bus is the contract for messages between roles: a Cast that nobody
// answers, a Call that somebody does, and Serve. Messages are doorbells: rows are
// the work, so a lost cast loses nothing, and whoever gets a message reads its
// row again. Package bustest is the law; local is the in-process bus.
//
// A handler makes the work durable on its own side, then returns; Cast returns no
// earlier than delivery to a queue that somebody serves, and a cast to nobody is
// KindUnavailable, so that the sender's intent stays due. Bodies travel as JSON on
// every bus, also the local one, so that what does not survive JSON fails in every
// test.
package bus

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/cofferdb/coffer"
)

// ErrNobody is in the error of what has surely reached nobody, and can be sent again
// without coming twice. Without it a KindUnavailable leaves that open.
var ErrNobody = errors.New("nobody serves the target")

// Target is who is meant: any server of a topic, or one of them.
type Target struct {
	Topic  string // "taskmanager", "trove-conductor", "guestagent.<instance>", "hostagent.<agent>"
	Server string // "" is whoever comes first
}

// Message is one request as a handler sees it.
type Message struct {
	Method string
	Body   json.RawMessage
	// From is the sender as the bus vouches for it; "" where it cannot.
	From string
}

// Handler does one request. For a cast the answer is thrown away and an error is
// logged by the bus, once. Errors cross the wire with kind, text and hint.
type Handler func(ctx context.Context, m Message) (any, error)

// Bus carries messages.
type Bus interface {
	// Cast delivers to one server of the target and does not wait for the
	// handler. KindUnavailable if nobody serves it.
	Cast(ctx context.Context, to Target, method string, body any) error
	// Call delivers and waits for the answer, which it decodes into reply (a
	// pointer, or nil). KindUnavailable if nobody serves it or ctx's deadline
	// passes: then the effect is unknown to the caller, who asks again.
	Call(ctx context.Context, to Target, method string, body, reply any) error
	// Serve handles what comes for at until ctx ends, one message at a time per
	// Serve; it returns when the running handler has returned. ready (may be
	// nil) is called once messages can arrive.
	Serve(ctx context.Context, at Target, h Handler, ready func()) error
	// Pending is how many messages wait for at and are not yet handled; below 0 it
	// is unknown, since the broker or the queue cannot be reached: that is not empty.
	Pending(at Target) int
}

// Method ties a name on the wire to its Go types. Callers and servers share the
// value.
type Method[A, R any] struct{ Name string }

// Cast sends a without waiting.
func (m Method[A, R]) Cast(ctx context.Context, b Bus, to Target, a A) error {
	return b.Cast(ctx, to, m.Name, a)
}

// Call sends a and waits for the answer.
func (m Method[A, R]) Call(ctx context.Context, b Bus, to Target, a A) (R, error) {
	var r R
	err := b.Call(ctx, to, m.Name, a, &r)
	return r, err
}

// Signer vouches for a verb that goes out; what it answers travels beside the body.
type Signer interface {
	// Sign is over the topic, the method and the body as compact JSON with sorted
	// keys.
	Sign(to Target, method string, body json.RawMessage) (string, error)
}

// Verifier refuses verbs that no trusted Signer has vouched for. KindForbidden.
type Verifier interface {
	// Verify gets the topic that was served, and the body as Sign got it.
	Verify(at Target, method string, body json.RawMessage, signature string) error
}

type senderKey struct{}

// Sender is who sent the message that is being handled, as the bus vouches for it
// (Message.From); "" where it cannot. Handlers that were added by Handle see it.
func Sender(ctx context.Context) string {
	from, _ := ctx.Value(senderKey{}).(string)
	return from
}

// Mux sends messages to handlers by method name. Unknown methods are
// KindUnsupported.
type Mux map[string]Handler

// Handle adds a typed handler.
func Handle[A, R any](mux Mux, m Method[A, R], f func(context.Context, A) (R, error)) {
	mux[m.Name] = func(ctx context.Context, msg Message) (any, error) {
		var a A
		if err := json.Unmarshal(msg.Body, &a); err != nil {
			return nil, coffer.E(coffer.KindInvalid, "read the message "+m.Name, "%w", err)
		}
		return f(context.WithValue(ctx, senderKey{}, msg.From), a)
	}
}

// Serve is the mux as a Handler.
func (mux Mux) Serve(ctx context.Context, m Message) (any, error) {
	h, ok := mux[m.Method]
	if !ok {
		return nil, coffer.E(coffer.KindUnsupported, "handle a message", "no method %q", m.Method)
	}
	return h(ctx, m)
}
