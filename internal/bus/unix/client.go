package unix

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// callTimeout bounds a Call whose context has no deadline of its own.
const callTimeout = 60 * time.Second

// Bus is the client's side. Its connection is made when first needed and again
// after it broke.
type Bus struct {
	path string
	log  *slog.Logger
	mu   sync.Mutex
	link *link
}

var _ bus.Bus = (*Bus)(nil)

// Dial gives a bus over the socket at path. Nothing is opened yet.
func Dial(path string, log *slog.Logger) *Bus { return &Bus{path: path, log: log} }

// Close breaks the connection, if there is one.
func (b *Bus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link == nil {
		return nil
	}
	return b.link.wire.conn.Close()
}

func (b *Bus) connect(ctx context.Context) (*link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link != nil && b.link.alive() {
		return b.link, nil
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", b.path)
	if err != nil {
		return nil, coffer.E(coffer.KindUnavailable, "reach the server's bus", "%w", err).
			WithHint("is the server running?")
	}
	b.link = &link{wire: newWire(c), log: b.log, asked: map[uint64]*asking{}, broken: make(chan struct{})}
	go b.link.run()
	return b.link, nil
}

// Cast implements bus.Bus.
func (b *Bus) Cast(ctx context.Context, to bus.Target, method string, body any) error {
	_, err := b.ask(ctx, "cast "+method, frame{Op: opCast, To: &to, Method: method}, body)
	return err
}

// Call implements bus.Bus.
func (b *Bus) Call(ctx context.Context, to bus.Target, method string, body, reply any) error {
	op := "call " + method + " on " + to.Topic
	if _, ok := ctx.Deadline(); !ok {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, callTimeout)
		defer stop()
	}
	end, _ := ctx.Deadline()
	f, err := b.ask(ctx, op, frame{Op: opCall, To: &to, Method: method, Millis: max(1, time.Until(end).Milliseconds())}, body)
	if err != nil {
		return err
	}
	if reply == nil || len(f.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(f.Body, reply); err != nil {
		return coffer.E(coffer.KindInternal, op, "read the answer: %w", err)
	}
	return nil
}

// Pending implements bus.Bus; while the server cannot be reached it is unknown.
func (b *Bus) Pending(at bus.Target) int {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	f, err := b.ask(ctx, "count what waits", frame{Op: opPending, To: &at}, nil)
	if err != nil {
		return -1
	}
	return f.N
}

// ask sends one question and waits for its answer. What the other side says is
// given as it is; what fails here gets op around it.
func (b *Bus) ask(ctx context.Context, op string, f frame, body any) (frame, error) {
	if err := ctx.Err(); err != nil {
		return frame{}, coffer.Wrap(op, err)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return frame{}, coffer.E(coffer.KindInvalid, op, "write the message as JSON: %w", err)
	}
	f.Body = raw
	l, err := b.connect(ctx)
	if err != nil {
		return frame{}, coffer.Wrap(op, err)
	}
	a, err := l.put(f, nil)
	if err != nil {
		return frame{}, coffer.Wrap(op, err)
	}
	defer l.drop(a.id)
	select {
	case <-ctx.Done():
		return frame{}, coffer.Wrap(op, ctx.Err())
	case <-l.broken:
		return frame{}, coffer.E(coffer.KindUnavailable, op, "the connection to the server broke")
	case r := <-a.answer:
		return r, r.Err.unpack()
	}
}

// reconnect is the pause between two tries to serve again.
const reconnect = 200 * time.Millisecond

// Serve implements bus.Bus. Over a broken connection it serves again as soon as
// the server can be reached.
func (b *Bus) Serve(ctx context.Context, at bus.Target, h bus.Handler, ready func()) error {
	var once sync.Once
	told := func() {
		if ready != nil {
			once.Do(ready)
		}
	}
	for ctx.Err() == nil {
		l, err := b.connect(ctx)
		if err == nil {
			err = l.serve(ctx, at, h, told)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !coffer.IsKind(err, coffer.KindUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(reconnect):
		}
	}
	return nil
}
