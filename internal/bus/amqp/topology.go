package amqp

import (
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// transient is how long a queue that belongs to one process outlives its last
// reader, in milliseconds: oslo's rabbit_transient_queues_ttl.
const transient = 1_800_000

// declareExchange makes the topic exchange, with oslo's flags, or looks for it: who
// may declare an exchange may also delete it.
func (b *Bus) declareExchange(ch *amqp091.Channel) error {
	if b.o.Exists {
		return ch.ExchangeDeclarePassive(b.o.Exchange, amqp091.ExchangeTopic, b.o.Durable, false, false, false, nil)
	}
	return ch.ExchangeDeclare(b.o.Exchange, amqp091.ExchangeTopic, b.o.Durable, false, false, false, nil)
}

// queues are what one Serve reads: the names that others know, and one of its own.
type queues struct {
	shared []string // <topic>, and <topic>.<server> of a named server
	fanout string   // "" for a server without a name
}

func (b *Bus) queuesOf(at bus.Target) queues {
	server := at.Server
	if server == "" {
		server = b.o.HostName
	}
	if server == "" {
		return queues{shared: []string{at.Topic}}
	}
	return queues{
		shared: []string{at.Topic, at.Topic + "." + server},
		fanout: at.Topic + "_fanout_" + coffer.NewNonce(),
	}
}

func (q queues) all() []string {
	if q.fanout == "" {
		return q.shared
	}
	return append(q.shared[:len(q.shared):len(q.shared)], q.fanout)
}

// declare makes a server's queues and binds them.
func (b *Bus) declare(ch *amqp091.Channel, at bus.Target, q queues) error {
	if err := b.declareExchange(ch); err != nil {
		return err
	}
	for _, name := range q.shared {
		if err := declareBound(ch, name, b.o.Exchange, b.o.Durable, nil); err != nil {
			return err
		}
	}
	if q.fanout == "" {
		return nil
	}
	fanout := at.Topic + "_fanout"
	if err := ch.ExchangeDeclare(fanout, amqp091.ExchangeFanout, false, true, false, false, nil); err != nil {
		return err
	}
	return declareBound(ch, q.fanout, fanout, false, amqp091.Table{"x-expires": int32(transient)})
}

// declareReplies makes this process's reply queue. Answers of today come through
// the default exchange; a server of Newton's days wants an exchange named as the
// queue.
func declareReplies(ch *amqp091.Channel, name string) error {
	if err := ch.ExchangeDeclare(name, amqp091.ExchangeDirect, false, true, false, false, nil); err != nil {
		return err
	}
	return declareBound(ch, name, name, false, amqp091.Table{"x-expires": int32(transient)})
}

func declareBound(ch *amqp091.Channel, queue, exchange string, durable bool, args amqp091.Table) error {
	if _, err := ch.QueueDeclare(queue, durable, false, false, false, args); err != nil {
		return err
	}
	return ch.QueueBind(queue, queue, exchange, false, nil)
}
