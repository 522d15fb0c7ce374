package amqp

import (
	"context"
	"slices"

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
// an error when the broker refuses what it needs, or the bus is closed.
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

// run serves on one session until that, the channel or ctx ends. The next session
// begins at once; a channel alone that ended is an error of ours or the broker's.
func (s *server) run(ctx context.Context, session *session) error {
	const op = "read the queues"
	ch, err := session.conn.Channel()
	if err != nil {
		return refused(op, err)
	}
	defer s.leave(ctx, session, ch)
	// Of the whole channel, not of each queue: else a busy server would keep
	// messages that another one could take.
	all := s.queues.all()
	if err := ch.Qos(s.bus.o.Prefetch, 0, len(all) > 1); err != nil {
		return refused(op, err)
	}
	if err := s.bus.declare(ch, s.at, s.queues); err != nil {
		return refused(op, err)
	}
	var in [3]<-chan amqp091.Delivery // a nil one never delivers
	for i, name := range all {
		if in[i], err = ch.Consume(name, "", false, false, false, false, nil); err != nil {
			return refused(op, err)
		}
	}
	s.served = true
	if s.ready != nil {
		s.ready()
		s.ready = nil
	}
	for ctx.Err() == nil {
		var d amqp091.Delivery
		var ok bool
		select {
		case <-ctx.Done():
			return nil
		case d, ok = <-in[0]:
		case d, ok = <-in[1]:
		case d, ok = <-in[2]:
		}
		if !ok {
			return coffer.E(coffer.KindUnavailable, op, "the broker ended it")
		}
		s.handle(ctx, d)
		_ = d.Ack(false) // on a channel that has ended it comes again, and is a repeat
	}
	return nil
}

// leave closes the channel, which gives back what was not handled. At the end of
// Serve the queue that is ours alone goes, and unless they are to be kept the
// others as well, if nobody else reads them.
func (s *server) leave(ctx context.Context, session *session, ch *amqp091.Channel) {
	_ = ch.Close()
	if ctx.Err() == nil {
		return
	}
	if s.queues.fanout != "" {
		session.deleteUnused(s.queues.fanout)
	}
	if !s.bus.o.KeepQueues {
		session.deleteUnused(s.queues.shared...)
	}
}
