package amqp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/retry"
)

// answerPatience is how long a finished call waits for a broker to take its answer.
const answerPatience = 5 * time.Second

// handle does one delivery to its end: nothing about it is left when it returns,
// so that it can be acknowledged whatever it was.
func (s *server) handle(ctx context.Context, d amqp091.Delivery) {
	r, err := decode(d)
	if err != nil {
		s.drop(d, "", err)
		return
	}
	if s.seen.repeat(r.UniqueID) {
		return
	}
	key, class, err := s.admit(ctx, r)
	if err != nil {
		if r.MsgID == "" {
			s.drop(d, r.Method, err)
			return
		}
		s.bus.quiet.warn(s.at.Topic+" "+d.UserId+" refused", 1, "refused a call", "topic", s.at.Topic, "from", d.UserId, "err", err)
		s.answer(ctx, r, answer{err: asError(err), class: class})
		return
	}
	a := s.runHandler(ctx, r, bus.Message{Method: r.Method, Body: bodyOf(r.Args), From: d.UserId})
	a.key = key
	if r.MsgID != "" {
		s.answer(ctx, r, a)
	} else if a.err != nil {
		s.bus.quiet.warn(s.at.Topic+" "+d.UserId+" "+string(a.err.Kind), loud(a.err), "a message's handler failed",
			"topic", s.at.Topic, "method", r.Method, "from", d.UserId, "kind", a.err.Kind, "err", a.err)
	}
}

// loud is how many lines a minute tell of a cast's failure. One that a peer can cause
// at will has one: its handler knows more of it.
func loud(err *coffer.Error) int {
	if coffer.IsKind(err, coffer.KindForbidden, coffer.KindInvalid, coffer.KindUnsupported) {
		return 1
	}
	return 20
}

// decode reads a delivery. A call must be answerable: to a queue that is one for
// answers, since the answer goes out under our name.
func decode(d amqp091.Delivery) (*request, error) {
	if len(d.Body) == 0 {
		return nil, fmt.Errorf("it is empty, or longer than what is taken")
	}
	r, err := decodeRequest(d.Body)
	if err != nil {
		return nil, err
	}
	if r.MsgID != "" && !strings.HasPrefix(r.ReplyQ, "reply_") {
		return nil, fmt.Errorf("its answer is to go to %.60q, which is no queue for answers", r.ReplyQ)
	}
	return r, nil
}

// admit decrypts a request and refuses what must not reach the handler. class is
// the Python exception that says the same.
func (s *server) admit(ctx context.Context, r *request) (key, class string, err error) {
	const op = "take a message"
	if key, err = s.bus.unseal(ctx, s.at.Topic, r); err != nil {
		return "", "", err
	}
	switch {
	case strings.HasPrefix(r.Method, "_") || r.Namespace != "":
		return key, noSuchMethod, coffer.E(coffer.KindUnsupported, op, "no method %.60q", r.Method)
	case !accepts(s.bus.o.Version, r.Version):
		return key, unsupportedVersion, coffer.E(coffer.KindUnsupported, op, "version %.20q of %.60q is not served, only %s", r.Version, r.Method, s.bus.o.Version)
	}
	return key, "", s.bus.verify(s.at, r)
}

// drop says once that a message was thrown away.
func (s *server) drop(d amqp091.Delivery, method string, err error) {
	s.bus.quiet.warn(s.at.Topic+" "+d.UserId+" dropped", 1, "dropped a message",
		"topic", s.at.Topic, "method", fmt.Sprintf("%.60s", method), "from", d.UserId, "bytes", len(d.Body), "err", err)
}

// runHandler calls the handler, with heartbeats to a caller who wants them.
func (s *server) runHandler(ctx context.Context, r *request, m bus.Message) answer {
	var beats sync.WaitGroup
	done := make(chan struct{})
	if r.MsgID != "" && r.Timeout != nil && *r.Timeout > 0 {
		every := max(time.Second, time.Duration(*r.Timeout*float64(time.Second)/2))
		beats.Go(func() { s.beat(ctx, r, every, done) })
	}
	a := run(context.WithValue(ctx, contextKey{}, r.Context), s.h, m)
	close(done)
	beats.Wait()
	return a
}

// beat tells the caller again and again that its call is still being worked on.
func (s *server) beat(ctx context.Context, r *request, every time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			s.write(ctx, r.ReplyQ, reply{MsgID: r.MsgID})
		}
	}
}

// answer is what a handler said: a result as JSON, or an error.
type answer struct {
	result []byte
	err    *coffer.Error
	class  string // the error's Python class; "" is ours
	key    string // under which the result is encrypted; "" is plain
}

// answer sends a call's answer. A caller who cannot be reached asks again.
func (s *server) answer(ctx context.Context, r *request, a answer) {
	out := reply{MsgID: r.MsgID, Ending: true}
	if a.err != nil {
		text := encodeFault(a.err, a.class)
		out.Failure = &text
	} else {
		out.Result = sealResult(a.key, a.result)
	}
	s.write(ctx, r.ReplyQ, out)
}

// write publishes an answer through the default exchange, which finds every queue
// by its name. Serve's end does not cut it short, and a broken connection is waited
// for: a caller on another one may still be there.
func (s *server) write(ctx context.Context, queue string, r reply) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), answerPatience)
	defer stop()
	r.UniqueID = coffer.NewNonce()
	body, err := wrap(r)
	if err == nil {
		err = s.deliver(ctx, letter{key: queue, id: r.UniqueID, body: body, expires: CallTimeout})
	}
	if coffer.IsKind(err, coffer.KindInvalid) && r.Failure == nil { // too long: the caller has to know
		s.answer(ctx, &request{MsgID: r.MsgID, ReplyQ: queue}, answer{err: asError(err)})
	}
	if err != nil {
		s.bus.quiet.warn(s.at.Topic+" answer", 1, "could not answer a call", "topic", s.at.Topic, "err", err)
	}
}

// deliver publishes until the broker has the letter, or says that it goes nowhere.
func (s *server) deliver(ctx context.Context, l letter) error {
	for try := 1; ; try++ {
		session, err := s.bus.main.wait(ctx)
		if err == nil {
			err = session.publish(ctx, l)
		}
		if !coffer.IsKind(err, coffer.KindUnavailable) || errors.Is(err, errReturned) || s.bus.ctx.Err() != nil {
			return err
		}
		if retry.Sleep(ctx, s.bus.o.Backoff.Wait(try)) != nil {
			return err
		}
	}
}
