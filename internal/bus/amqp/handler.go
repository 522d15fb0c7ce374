package amqp

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// run calls the handler and turns its answer, its error or its panic into what
// crosses the bus.
func run(ctx context.Context, h bus.Handler, m bus.Message) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{err: coffer.E(coffer.KindInternal, "handle "+m.Method, "panic: %v", p)}
		}
	}()
	v, err := h(ctx, m)
	if err != nil {
		return answer{err: asError(err)}
	}
	body, err := json.Marshal(v)
	if err != nil {
		return answer{err: coffer.E(coffer.KindInternal, "write the answer to "+m.Method, "%w", err)}
	}
	return answer{result: body}
}

// asError keeps of an error what crosses: kind, text and hint.
func asError(err error) *coffer.Error {
	return &coffer.Error{Kind: coffer.KindOf(err), Err: errors.New(err.Error()), Hint: coffer.HintOf(err)}
}
