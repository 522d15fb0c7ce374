package amqp

import (
	"context"
	"slices"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/retry"
)

// server is one Serve. It outlives sessions: its own queue's name and the messages
// it has seen stay the same.
type server struct {
	bus    *Bus
	at     bus.Target
	h      bus.Handler
	ready  func()
	queues queues
	seen   recent
	served bool // since the last failure
}

// remembered is how many unique ids a server keeps, as oslo does: one that comes
// again within that many is a repeat.
const remembered = 16

// recent is the last unique ids.
type recent struct {
	ids  [remembered]string
	next int
}

// repeat says whether an id is among the last, and remembers it.
func (r *recent) repeat(id string) bool {
	if id == "" {
		return false
	}
	if slices.Contains(r.ids[:], id) {
		return true
	}
	r.ids[r.next] = id
	r.next = (r.next + 1) % remembered
	return false
}

// Serve implements bus.Bus. While the broker is away it waits for it; it returns
// an error when the broker refuses what it needs, or the bus is closed. When it ends
// while the broker is away its queues stay there: casts then wait until they expire.
func (b *Bus) Serve(ctx context.Context, at bus.Target, h bus.Handler, ready func()) error {
	op := "serve " + at.Topic
	l, release := b.reserve()
	defer release()
	s := &server{bus: b, at: at, h: h, ready: ready, queues: b.queuesOf(at)}
	for try := 1; ctx.Err() == nil; try++ {
		session, err := l.wait(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = s.run(ctx, session)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case b.ctx.Err() != nil:
			return coffer.Wrap(op, errClosed())
		case coffer.IsKind(err, coffer.KindForbidden, coffer.KindConflict):
			return coffer.Wrap(op, err)
		}
		if err := retry.Sleep(ctx, b.o.Backoff.Wait(try)); err != nil {
			return nil
		}
		if s.served { // what ended it is new
			try, s.served = 0, false
		}
	}
	return nil
}

// reading is a channel on which a server's queues are consumed.
type reading struct {
	ch  *amqp091.Channel
	in  [3]<-chan amqp091.Delivery // a nil one never delivers
	err error
}

// open declares the queues and begins to read them.
func (s *server) open(session *session) (r reading) {
	const op = "read the queues"
	ch, err := session.conn.Channel()
	if err != nil {
		return reading{err: refused(op, err)}
	}
	r.ch = ch
	all := s.queues.all()
	// Of the whole channel, not of each queue: else a busy server would keep
	// messages that another one could take.
	if err = ch.Qos(s.bus.o.Prefetch, 0, len(all) > 1); err == nil {
		err = s.bus.declare(ch, s.at, s.queues)
	}
	for i, name := range all {
		if err == nil {
			r.in[i], err = ch.Consume(name, "", false, false, false, false, nil)
		}
	}
	if err != nil {
		r.err = refused(op, err)
	}
	return r
}

// run serves on one session until that, the channel or ctx ends.
func (s *server) run(ctx context.Context, session *session) error {
	opened := make(chan reading, 1)
	if !session.begin(func() { opened <- s.open(session) }) {
		return session.why()
	}
	var r reading
	select {
	case r = <-opened:
	case <-ctx.Done(): // a network that stands still must not keep us
		session.begin(func() { s.leave(true, session, <-opened) })
		return nil
	}
	defer func() {
		left := make(chan struct{})
		if session.begin(func() { defer close(left); s.leave(ctx.Err() != nil, session, r) }) {
			select {
			case <-left:
			case <-time.After(leavePatience):
			}
		}
	}()
	if r.err != nil {
		return r.err
	}
	s.served = true
	if s.ready != nil {
		s.ready()
		s.ready = nil
	}
	return s.take(ctx, r)
}

// take handles one message after another.
func (s *server) take(ctx context.Context, r reading) error {
	for ctx.Err() == nil {
		var d amqp091.Delivery
		var ok bool
		select {
		case <-ctx.Done():
			return nil
		case d, ok = <-r.in[0]:
		case d, ok = <-r.in[1]:
		case d, ok = <-r.in[2]:
		}
		if !ok {
			return coffer.E(coffer.KindUnavailable, "read the queues", "the broker ended it")
		}
		s.handle(ctx, d)
		_ = d.Ack(false) // on a channel that has ended it comes again, and is a repeat
	}
	return nil
}

// leavePatience is how long the end of Serve waits for the broker to give the
// queues up; what hangs longer ends with the connection.
const leavePatience = 3 * time.Second

// leave closes the channel, which gives back what was not handled. At the end of
// Serve the queue that is ours alone goes, and unless they are to be kept the
// others as well, if nobody else reads them.
func (s *server) leave(forGood bool, session *session, r reading) {
	if r.ch == nil {
		return
	}
	_ = r.ch.Close()
	if !forGood {
		return
	}
	if s.queues.fanout != "" {
		session.deleteUnused(s.queues.fanout)
	}
	if !s.bus.o.KeepQueues {
		session.deleteUnused(s.queues.shared...)
	}
}
