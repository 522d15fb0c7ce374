package guard

import (
	"encoding/json"
	"os"
	"sync/atomic"
	"time"
)

// outbox writes messages to the agent without ever blocking who sends them. Its
// capacity is above all that the rules can make it report, so only plain lines
// and beats are dropped.
type outbox struct {
	queue   chan message
	written chan struct{}
	file    *os.File
	dropped atomic.Int64
}

// linesQueued is how many messages may wait before lines are dropped.
const linesQueued = 256

func newOutbox(f *os.File) *outbox {
	o := &outbox{queue: make(chan message, linesQueued+maxSightings+8), written: make(chan struct{}), file: f}
	go o.write()
	return o
}

func (o *outbox) write() {
	defer close(o.written)
	enc := json.NewEncoder(o.file)
	enc.SetEscapeHTML(false)
	for m := range o.queue {
		if enc.Encode(m) != nil { // the agent is gone; standard input says so too
			o.dropped.Add(1)
		}
	}
}

// send queues what must arrive.
func (o *outbox) send(m message) {
	select {
	case o.queue <- m:
	default:
		o.dropped.Add(1)
	}
}

// sendLine queues what may be lost.
func (o *outbox) sendLine(m message) {
	if len(o.queue) >= linesQueued {
		if m.Line != nil {
			o.dropped.Add(1)
		}
		return
	}
	o.send(m)
}

// close waits a while until all is written. An agent that does not read cannot
// keep the guard for ever.
func (o *outbox) close() {
	close(o.queue)
	select {
	case <-o.written:
	case <-time.After(10 * time.Second):
	}
}
