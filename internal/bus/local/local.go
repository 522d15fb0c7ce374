// Package local is the bus inside one process: what coffer server uses when all
// its roles live together. It keeps to the contract of package bus to the letter,
// so that nothing works here that would fail on a broker: bodies and answers
// travel as JSON, queues are bounded, messages that nobody serves are refused,
// and what waits in a queue when its last server leaves is lost.
//
// Every target has a queue. A Serve with a server's name reads that server's
// queue and its topic's; a Serve without one reads the topic's alone. A full
// queue answers KindUnavailable at once: the sender's row stays due, so nothing
// is gained by making it wait.
package local

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// Depth bounds each queue, in messages.
const Depth = 1024

// CallTimeout bounds a Call whose context has no deadline of its own.
const CallTimeout = 60 * time.Second

// Bus is the in-process bus. Make one with New.
type Bus struct {
	log    *slog.Logger
	mu     sync.Mutex
	queues map[bus.Target]*queue
}

var _ bus.Bus = (*Bus)(nil)

// queue holds what waits for one target; it exists while somebody serves it.
type queue struct {
	waiting chan *delivery
	servers int
}

// delivery is one message under way; answer is nil for a cast and has room for
// the one answer of a call, so that a server never waits for a caller.
type delivery struct {
	msg    bus.Message
	answer chan answer
}

// answer is what crosses back: JSON, or an error's kind, text and hint.
type answer struct {
	body json.RawMessage
	err  *coffer.Error
}

// Option changes a new Bus.
type Option func(*Bus)

// WithLog sets where errors of casts are logged; the default is slog.Default.
func WithLog(log *slog.Logger) Option { return func(b *Bus) { b.log = log } }

// New makes a bus that nobody serves yet.
func New(opts ...Option) *Bus {
	b := &Bus{log: slog.Default(), queues: map[bus.Target]*queue{}}
	for _, o := range opts {
		o(b)
	}
	return b
}

// Cast puts a message into the target's queue and returns.
func (b *Bus) Cast(ctx context.Context, to bus.Target, method string, body any) error {
	if err := ctx.Err(); err != nil {
		return coffer.Wrap("cast "+method, err)
	}
	d, err := newDelivery(method, body)
	if err != nil {
		return err
	}
	return b.enqueue(to, d)
}

// Call puts a message into the target's queue and waits for the answer.
func (b *Bus) Call(ctx context.Context, to bus.Target, method string, body, reply any) error {
	d, err := newDelivery(method, body)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, CallTimeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return coffer.Wrap("call "+method, err)
	}
	d.answer = make(chan answer, 1)
	if err := b.enqueue(to, d); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return coffer.Wrap("call "+method+" on "+to.Topic, ctx.Err())
	case a := <-d.answer:
		return a.into(method, reply)
	}
}

// Serve handles the target's messages one at a time until ctx ends.
func (b *Bus) Serve(ctx context.Context, at bus.Target, h bus.Handler, ready func()) error {
	topic := b.join(bus.Target{Topic: at.Topic})
	defer b.leave(bus.Target{Topic: at.Topic})
	var own chan *delivery
	if at.Server != "" {
		own = b.join(at)
		defer b.leave(at)
	}
	if ready != nil {
		ready()
	}
	for {
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case d := <-topic:
			b.handle(ctx, at, h, d)
		case d := <-own:
			b.handle(ctx, at, h, d)
		}
	}
}

// Pending is how many messages lie in the target's queue. The one that a handler
// is working on is no longer among them.
func (b *Bus) Pending(at bus.Target) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, ok := b.queues[at]
	if !ok {
		return 0
	}
	return len(q.waiting)
}

func (b *Bus) enqueue(to bus.Target, d *delivery) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, ok := b.queues[to]
	if !ok {
		return unavailable(to, d.msg.Method, "nobody serves it")
	}
	select {
	case q.waiting <- d:
		return nil
	default:
		return unavailable(to, d.msg.Method, "its queue is full")
	}
}

// join raises the number of a target's servers and gives its queue.
func (b *Bus) join(at bus.Target) chan *delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, ok := b.queues[at]
	if !ok {
		q = &queue{waiting: make(chan *delivery, Depth)}
		b.queues[at] = q
	}
	q.servers++
	return q.waiting
}

// leave takes one server away. With the last one the queue goes, and calls that
// wait in it are told so.
func (b *Bus) leave(at bus.Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[at]
	if q.servers--; q.servers > 0 {
		return
	}
	delete(b.queues, at)
	for {
		select {
		case d := <-q.waiting:
			d.reply(answer{err: unavailable(at, d.msg.Method, "its server stopped")})
		default:
			return
		}
	}
}

func (b *Bus) handle(ctx context.Context, at bus.Target, h bus.Handler, d *delivery) {
	a := run(ctx, h, d.msg)
	if d.answer != nil {
		d.reply(a)
		return
	}
	if a.err != nil {
		b.log.WarnContext(ctx, "a message's handler failed", "topic", at.Topic, "method", d.msg.Method, "kind", a.err.Kind, "err", a.err)
	}
}

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
		return answer{err: &coffer.Error{Kind: coffer.KindOf(err), Err: errors.New(err.Error()), Hint: coffer.HintOf(err)}}
	}
	body, err := json.Marshal(v)
	if err != nil {
		return answer{err: coffer.E(coffer.KindInternal, "write the answer to "+m.Method, "%w", err)}
	}
	return answer{body: body}
}

func newDelivery(method string, body any) (*delivery, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, "write the message "+method, "%w", err)
	}
	return &delivery{msg: bus.Message{Method: method, Body: b}}, nil
}

func (d *delivery) reply(a answer) {
	if d.answer != nil {
		d.answer <- a
	}
}

// into decodes an answer for the caller.
func (a answer) into(method string, reply any) error {
	if a.err != nil {
		return a.err
	}
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, reply); err != nil {
		return coffer.E(coffer.KindInternal, "read the answer to "+method, "%w", err)
	}
	return nil
}

func unavailable(to bus.Target, method, why string) *coffer.Error {
	name := to.Topic
	if to.Server != "" {
		name += "." + to.Server
	}
	return coffer.E(coffer.KindUnavailable, "send "+method, "topic %s: %s", name, why)
}
