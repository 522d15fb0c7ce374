// Package amqp carries a bus over RabbitMQ, on the wire of oslo.messaging 2.0 as
// Trove speaks it: a real Trove can drive our agent, and we can drive a real guest.
//
// # What lies on the broker
//
// One topic exchange (Options.Exchange). A Serve of a topic reads the queue named
// as the topic, bound under its own name. A Serve with a server's name, its own or
// Options.HostName, is a whole oslo server: it reads <topic>.<server> and a fanout
// queue as well. Answers come to one queue a process, reply_<hex>. No queue and no
// exchange is durable, and each flag is as Trove declares it, because the broker
// refuses a declaration that differs (406). So everything here dies with the
// broker: rows are the work and send again.
//
// # The way of a message
//
// Cast and Call make the inner message (envelope.go): the body's keys become
// "args", the caller's context becomes "_context_…" (context.go), a signature may
// join it (sign.go), args and context may be encrypted (aes.go). It is published
// with mandatory and a publisher confirm (publish.go): returned means that nobody
// serves the target, acknowledged means that it lies in a queue. Serve (serve.go)
// takes one message at a time, opens it (open.go), runs the handler, answers a call
// (call.go, fault.go) and acknowledges only then: what waits in the queue is what
// nobody has accepted. A message that cannot be read is acknowledged and logged: it
// must not come again.
//
// # The one loop
//
// conn.go holds the only loop that makes connections: dial, hand out the session,
// wait for its end, back off, again. Everything that lives on a connection belongs
// to its session and ends with it; Serve waits for the next session and declares
// its queues again; Cast and Call do not wait, they answer KindUnavailable. The
// library's own recovery stays off, because what to do with a message half way is
// decided here.
package amqp
