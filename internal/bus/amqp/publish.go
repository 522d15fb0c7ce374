package amqp

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// confirmPatience is how long the broker may take to say that it has a message.
const confirmPatience = 15 * time.Second

// letter is one message on its way to the broker.
type letter struct {
	exchange, key string
	id            string // unique; the message_id by which a returned message is known
	body          []byte
	expires       time.Duration
}

// publisher is one channel in confirm mode. Many letters are under way on it at
// once: publishing takes turns, waiting for confirms does not.
//
// The broker returns a message before it confirms it. One goroutine takes both
// from unbuffered channels, so it knows of the return when it sees the confirm.
type publisher struct {
	ch   *amqp091.Channel
	turn chan struct{} // held while publishing

	mu    sync.Mutex
	dead  error // set once: nothing more will be confirmed
	byTag map[uint64]*receipt
	byID  map[string]*receipt
}

// receipt waits for one letter's confirm.
type receipt struct {
	tag      uint64
	id       string
	returned string // why it came back; "" did not
	done     chan error
}

func (s *session) openPublisher() (*publisher, error) {
	const op = "open a channel to publish"
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, refused(op, err)
	}
	returns := ch.NotifyReturn(make(chan amqp091.Return))
	confirms := ch.NotifyPublish(make(chan amqp091.Confirmation))
	closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
	p := &publisher{ch: ch, turn: make(chan struct{}, 1), byTag: map[uint64]*receipt{}, byID: map[string]*receipt{}}
	s.wg.Go(func() { p.run(returns, confirms, closed) })
	if err = ch.Confirm(false); err == nil {
		err = s.bus.declareExchange(ch)
	}
	if err != nil {
		ch.Close()
		return nil, refused(op, err)
	}
	return p, nil
}

func (p *publisher) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead == nil
}

// underWay is how many letters wait for their confirm.
func (p *publisher) underWay() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.byTag)
}

// run answers receipts until the channel has ended, then fails the rest.
func (p *publisher) run(returns chan amqp091.Return, confirms chan amqp091.Confirmation, closed chan *amqp091.Error) {
	for returns != nil || confirms != nil {
		select {
		case r, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			p.returned(r)
		case c, ok := <-confirms:
			if !ok {
				confirms = nil
				continue
			}
			p.confirmed(c)
		}
	}
	p.end(<-closed)
}

func (p *publisher) returned(r amqp091.Return) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.byID[r.MessageId]; w != nil {
		w.returned = r.ReplyText
	}
}

func (p *publisher) confirmed(c amqp091.Confirmation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.byTag[c.DeliveryTag]
	if w == nil {
		return
	}
	p.forget(w)
	switch {
	case !c.Ack:
		w.done <- coffer.E(coffer.KindUnavailable, "hand a message to the broker", "it was refused")
	case w.returned != "":
		w.done <- coffer.E(coffer.KindUnavailable, "hand a message to the broker", "%w (%s)", errReturned, w.returned)
	default:
		w.done <- nil
	}
}

// end fails what was not confirmed. A refusal names no message: it is told to the
// only one under way, and to several as "try again", of which the guilty one then
// learns it alone.
func (p *publisher) end(e *amqp091.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = coffer.E(coffer.KindUnavailable, "hand a message to the broker", "the connection ended first: its effect is not known")
	if e != nil {
		p.dead = refused("hand a message to the broker", e)
	}
	err := p.dead
	if len(p.byTag) > 1 && coffer.KindOf(err) != coffer.KindUnavailable {
		err = coffer.E(coffer.KindUnavailable, "hand a message to the broker", "another one beside it was refused")
	}
	for _, w := range p.byTag {
		p.forget(w)
		w.done <- err
	}
}

// forget takes a receipt off both lists; the caller holds mu.
func (p *publisher) forget(w *receipt) {
	delete(p.byTag, w.tag)
	delete(p.byID, w.id)
}

// put publishes a letter; the receipt will be answered. The tag is ours for as
// long as it is our turn.
func (p *publisher) put(ctx context.Context, l letter, m amqp091.Publishing) (*receipt, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w := &receipt{tag: p.ch.GetNextPublishSeqNo(), id: l.id, done: make(chan error, 1)}
	p.mu.Lock()
	if p.dead != nil {
		p.mu.Unlock()
		return nil, errStale
	}
	p.byTag[w.tag], p.byID[w.id] = w, w
	p.mu.Unlock()
	if _, err := p.ch.PublishWithDeferredConfirm(l.exchange, l.key, true, false, m); err != nil {
		p.mu.Lock()
		p.forget(w)
		p.mu.Unlock()
		return nil, coffer.E(coffer.KindUnavailable, "hand a message to the broker", "%w", err)
	}
	return w, nil
}

// errReturned says that no queue takes the message.
var errReturned = bus.ErrNobody

// errStale says that a publisher had ended before anything was published on it.
var errStale = errors.New("the channel has ended")

// publish hands a letter to the broker and waits until it lies in a queue.
func (s *session) publish(ctx context.Context, l letter) error {
	if len(l.body) > s.bus.o.MaxMessage {
		return coffer.E(coffer.KindInvalid, "send a message", "it has %d bytes, more than %d", len(l.body), s.bus.o.MaxMessage)
	}
	alarm := s.alarm.raised()
	select {
	case <-alarm:
		return errAlarm()
	default:
	}
	ctx, stop := context.WithTimeoutCause(ctx, confirmPatience,
		coffer.E(coffer.KindUnavailable, "hand a message to the broker", "no confirm within %s", confirmPatience))
	defer stop()
	w, err := s.put(ctx, l)
	if err != nil {
		return err
	}
	select {
	case err = <-w.done:
		return err
	case <-alarm:
		return errAlarm()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errAlarm is for what the broker takes later or never.
func errAlarm() error {
	return coffer.E(coffer.KindUnavailable, "hand a message to the broker", "it is short of memory or disk and takes nothing").
		WithHint("look at its alarms: rabbitmqctl status")
}

// put publishes on the next channel of the pool, opened again if it has ended.
func (s *session) put(ctx context.Context, l letter) (*receipt, error) {
	m := amqp091.Publishing{
		ContentType: "application/json", ContentEncoding: "utf-8", DeliveryMode: amqp091.Persistent,
		MessageId: l.id, Body: l.body,
	}
	if l.expires > 0 {
		m.Expiration = strconv.FormatInt(max(1, l.expires.Milliseconds()), 10)
	}
	if s.bus.o.UserID {
		m.UserId = s.bus.o.User
	}
	for {
		p, err := s.publisher(ctx)
		if err != nil {
			return nil, err
		}
		w, err := p.put(ctx, l, m)
		if !errors.Is(err, errStale) {
			return w, err
		}
	}
}

func isUserID(e *amqp091.Error) bool { return strings.Contains(e.Reason, "user_id") }
