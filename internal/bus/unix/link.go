package unix

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// link is one connection of a client.
type link struct {
	wire   *wire
	log    *slog.Logger
	broken chan struct{}

	mu    sync.Mutex
	last  uint64
	asked map[uint64]*asking
}

// asking is one question under way, or one served topic.
type asking struct {
	id      uint64
	answer  chan frame
	ready   func()
	deliver chan frame // of a served topic: one message at a time
}

func (l *link) alive() bool {
	select {
	case <-l.broken:
		return false
	default:
		return true
	}
}

func (l *link) put(f frame, a *asking) (*asking, error) {
	if a == nil {
		a = &asking{}
	}
	a.answer = make(chan frame, 1)
	l.mu.Lock()
	l.last++
	a.id = l.last
	l.asked[a.id] = a
	l.mu.Unlock()
	f.ID = a.id
	if err := l.wire.send(f); err != nil {
		l.drop(a.id)
		if coffer.IsKind(err, coffer.KindInvalid) {
			return nil, err
		}
		return nil, coffer.E(coffer.KindUnavailable, "send the message", "%w", err)
	}
	return a, nil
}

func (l *link) drop(id uint64) {
	l.mu.Lock()
	delete(l.asked, id)
	l.mu.Unlock()
}

// run reads until the connection breaks.
func (l *link) run() {
	defer close(l.broken)
	defer l.wire.conn.Close()
	for {
		f, err := l.wire.receive()
		if err != nil {
			l.log.Debug("the connection to the server's bus broke", "err", err)
			return
		}
		id := f.ID
		if f.Op == opDeliver {
			id = f.For
		}
		l.mu.Lock()
		a := l.asked[id]
		l.mu.Unlock()
		if a == nil {
			continue
		}
		switch f.Op {
		case opReady:
			a.ready()
		case opDeliver:
			a.deliver <- f // the server sends one at a time: there is room
		default:
			a.answer <- f
		}
	}
}

// serve handles a topic's messages until ctx ends or the connection breaks; it
// returns when the running handler has returned.
func (l *link) serve(ctx context.Context, at bus.Target, h bus.Handler, ready func()) error {
	a, err := l.put(frame{Op: opServe, To: &at}, &asking{ready: ready, deliver: make(chan frame, 1)})
	if err != nil {
		return err
	}
	defer l.drop(a.id)
	// The wish to stop overtakes a running handler: the server must not take the
	// next message. It answers the serve when it has stopped.
	defer context.AfterFunc(ctx, func() {
		if err := l.wire.send(frame{Op: opStop, For: a.id}); err != nil {
			l.wire.conn.Close()
		}
	})()
	for {
		select {
		case <-l.broken:
			return coffer.E(coffer.KindUnavailable, "serve "+at.Topic, "the connection to the server broke")
		case f := <-a.answer:
			return f.Err.unpack()
		case f := <-a.deliver:
			if err := l.wire.send(handle(ctx, h, f)); err != nil {
				return coffer.E(coffer.KindUnavailable, "answer "+f.Method, "%w", err)
			}
		}
	}
}

// handle runs the handler; a panic is an internal error.
func handle(ctx context.Context, h bus.Handler, f frame) (out frame) {
	out = frame{ID: f.ID, Op: opAnswer}
	defer func() {
		if r := recover(); r != nil {
			out.Err = pack(coffer.E(coffer.KindInternal, "handle "+f.Method, "panic: %s", fmt.Sprint(r)))
		}
	}()
	if ctx.Err() != nil {
		out.Err = pack(coffer.E(coffer.KindUnavailable, "handle "+f.Method, "its server stopped"))
		return out
	}
	v, err := h(ctx, bus.Message{Method: f.Method, Body: f.Body})
	if err != nil {
		out.Err = pack(err)
		return out
	}
	raw, err := json.Marshal(v)
	if err != nil {
		out.Err = pack(coffer.E(coffer.KindInternal, "write the answer to "+f.Method, "%w", err))
		return out
	}
	out.Body = raw
	return out
}
