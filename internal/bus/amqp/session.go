package amqp

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
)

// publishers is how many channels of a session carry casts at most, and busy how
// many are under way on one before the next is used. A quiet agent has one; where
// much is sent, a channel that the broker closes takes only a part of it along.
const (
	publishers = 4
	busy       = 32
)

// session is one life of a connection, and owner of all that lives on it.
type session struct {
	bus  *Bus
	conn *amqp091.Connection
	raw  net.Conn
	lost chan struct{} // closed when the connection has ended
	wg   sync.WaitGroup

	alarm   alarm
	turn    atomic.Uint32
	pool    [publishers]lazy[*publisher]
	replies lazy[*replyBox]

	mu    sync.Mutex
	err   *amqp091.Error
	ended bool // nothing more begins

	looking sync.Mutex
	inspect *amqp091.Channel // for passive declarations; nil until used
}

func newSession(b *Bus, c *amqp091.Connection, raw net.Conn) *session {
	s := &session{bus: b, conn: c, raw: raw, lost: make(chan struct{})}
	closed := c.NotifyClose(make(chan *amqp091.Error, 1))
	blocked := c.NotifyBlocked(make(chan amqp091.Blocking, 1))
	s.alarm.set(false)
	s.wg.Go(func() {
		for e := range blocked {
			s.alarm.set(e.Active)
		}
	})
	s.wg.Go(func() {
		e := <-closed
		s.mu.Lock()
		s.err = e
		s.mu.Unlock()
		close(s.lost)
	})
	return s
}

// why is the reason of a session's end.
func (s *session) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return coffer.E(coffer.KindUnavailable, "use the broker's connection", "it was closed")
	}
	return coffer.E(coffer.KindUnavailable, "use the broker's connection", "it broke: %w", s.err)
}

// close ends the connection, politely for a second, and waits for what used it.
func (s *session) close() {
	// A stalled peer cannot answer, and a write to it is cut off by the close below.
	hurry := time.AfterFunc(closePolite, func() { s.raw.Close() })
	_ = s.conn.CloseDeadline(time.Now().Add(closePolite))
	hurry.Stop()
	s.raw.Close()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.wg.Wait()
}

// begin runs f in the session's time; false says that there is none left.
func (s *session) begin(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.wg.Go(f)
	}
	return !s.ended
}

// publisher is a live channel for casts and answers: the first that is not busy.
func (s *session) publisher(ctx context.Context) (*publisher, error) {
	for i := range s.pool {
		p, ok := s.pool[i].peek()
		if !ok || !p.alive() {
			return s.pool[i].get(ctx, s, (*publisher).alive, s.openPublisher)
		}
		if p.underWay() < busy {
			return p, nil
		}
	}
	slot := &s.pool[s.turn.Add(1)%publishers]
	return slot.get(ctx, s, (*publisher).alive, s.openPublisher)
}

// waiting is how many messages are ready in a queue; -1 for one that is not there:
// after a broker's restart it will be.
func (s *session) waiting(queue string) int {
	s.looking.Lock()
	defer s.looking.Unlock()
	if s.inspect == nil || s.inspect.IsClosed() {
		ch, err := s.conn.Channel()
		if err != nil {
			return -1
		}
		s.inspect = ch
	}
	// For a queue that is not there the broker closes the channel.
	q, err := s.inspect.QueueDeclarePassive(queue, false, false, false, false, nil)
	if err != nil {
		return -1
	}
	return q.Messages
}

// deleteUnused deletes queues that nobody reads any more. One that another server
// reads stays, and so do its messages.
func (s *session) deleteUnused(queues ...string) {
	for _, q := range queues {
		ch, err := s.conn.Channel()
		if err != nil {
			return
		}
		_, _ = ch.QueueDelete(q, true, false, false) // in use: the broker closes the channel instead
		ch.Close()
	}
}

// refused turns what the broker said into an error; its text is the broker's own.
func refused(op string, err error) error {
	var e *amqp091.Error
	if !errors.As(err, &e) {
		return coffer.E(coffer.KindUnavailable, op, "%w", err)
	}
	switch e.Code {
	case amqp091.AccessRefused:
		return coffer.E(coffer.KindForbidden, op, "%w", err).WithHint("the broker's permissions of this account do not allow it")
	case amqp091.PreconditionFailed:
		if isUserID(e) {
			return coffer.E(coffer.KindForbidden, op, "%w", err)
		}
		return coffer.E(coffer.KindConflict, op, "%w", err).
			WithHint("the broker has it with other flags: was it declared by a Trove with durable or quorum queues?")
	}
	return coffer.E(coffer.KindUnavailable, op, "%w", err)
}
