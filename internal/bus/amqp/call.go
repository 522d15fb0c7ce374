package amqp

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// replyBox takes the answers that come to this process during one session. Calls
// that wait when it ends are failed at once: their effect is not known, and who
// called asks again.
type replyBox struct {
	quiet *quiet

	mu      sync.Mutex
	ended   bool
	waiting map[string]*waiter // by _msg_id
}

// waiter is one call; done has room for its one answer.
type waiter struct {
	done  chan *reply // nil is: the session ended
	early *reply      // an answer that came before its end, from a very old server
}

func (s *session) openReplies() (*replyBox, error) {
	const op = "open the queue for answers"
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, refused(op, err)
	}
	name := s.bus.reply
	var in <-chan amqp091.Delivery
	if err = declareReplies(ch, name); err == nil {
		in, err = ch.Consume(name, "", true, false, false, false, nil)
	}
	if err != nil {
		ch.Close()
		return nil, refused(op, err)
	}
	box := &replyBox{quiet: s.bus.quiet, waiting: map[string]*waiter{}}
	s.wg.Go(func() {
		for d := range in {
			box.take(d)
		}
		box.end()
	})
	return box, nil
}

func (x *replyBox) alive() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.ended
}

// expect begins to wait for an answer; nil when the box has ended.
func (x *replyBox) expect(id string) *waiter {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return nil
	}
	w := &waiter{done: make(chan *reply, 1)}
	x.waiting[id] = w
	return w
}

func (x *replyBox) forget(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.waiting, id)
}

// take hands an answer to who waits. One that nobody waits for is late.
func (x *replyBox) take(d amqp091.Delivery) {
	r, err := decodeReply(d.Body)
	if err != nil {
		x.quiet.warn("answer", 1, "dropped an answer that cannot be read", "err", err, "from", d.UserId, "bytes", len(d.Body))
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	w := x.waiting[r.MsgID]
	if w == nil {
		return
	}
	if !r.Ending {
		if !r.empty() {
			w.early = r
		}
		return
	}
	delete(x.waiting, r.MsgID)
	if r.empty() && w.early != nil {
		r = w.early
	}
	w.done <- r
}

func (x *replyBox) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	for id, w := range x.waiting {
		delete(x.waiting, id)
		w.done <- nil
	}
}

// Call implements bus.Bus.
func (b *Bus) Call(ctx context.Context, to bus.Target, method string, body, answer any) error {
	op := "call " + method + " on " + to.Topic
	if _, ok := ctx.Deadline(); !ok {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, CallTimeout)
		defer stop()
	}
	if err := ctx.Err(); err != nil {
		return coffer.Wrap(op, err)
	}
	r, err := b.request(ctx, to, method, body)
	if err != nil {
		return err
	}
	r.MsgID, r.ReplyQ = coffer.NewNonce(), b.reply
	key, err := b.seal(ctx, to.Topic, r)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	a, err := b.ask(ctx, to, r)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if a.Failure != nil {
		return decodeFault(*a.Failure)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(openResult(key, a.Result), answer); err != nil {
		return coffer.E(coffer.KindInternal, "read the answer to "+method, "%w", err)
	}
	return nil
}

// ask sends a call and waits for its answer.
func (b *Bus) ask(ctx context.Context, to bus.Target, r *request) (*reply, error) {
	s, err := b.main.now(ctx)
	if err != nil {
		return nil, err
	}
	box, err := s.replies.get(ctx, s, (*replyBox).alive, s.openReplies)
	if err != nil {
		return nil, err
	}
	w := box.expect(r.MsgID)
	if w == nil {
		return nil, errNoAnswer()
	}
	defer box.forget(r.MsgID)
	end, _ := ctx.Deadline()
	if err := b.send(ctx, s, to, r, max(time.Millisecond, time.Until(end))); err != nil {
		return nil, err
	}
	select {
	case a := <-w.done:
		if a == nil {
			return nil, errNoAnswer()
		}
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func errNoAnswer() error {
	return coffer.E(coffer.KindUnavailable, "wait for the answer", "the connection to the broker ended first: the effect is not known")
}
