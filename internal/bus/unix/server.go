package unix

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/retry"
)

// Listen opens the socket, mode 0600. A socket that a dead server left is
// replaced; the caller holds a lock that makes a live one impossible.
func Listen(path string) (net.Listener, error) {
	const op = "open the bus's socket"
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	// Others may pass through the folder: the socket is its owner's from the first.
	before := unix.Umask(0o177)
	ln, err := net.Listen("unix", path)
	unix.Umask(before)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%w", err).
			WithHint("a socket's path has at most 107 bytes: choose a shorter state folder")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	return ln, nil
}

// acceptPause is the time between two tries to accept.
const acceptPause = 100 * time.Millisecond

// Serve lends b to whoever connects to ln, until ctx ends and every connection
// has been closed.
func Serve(ctx context.Context, ln net.Listener, b bus.Bus, log *slog.Logger) error {
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return coffer.E(coffer.KindInternal, "accept an agent", "%w", err)
		}
		if err != nil { // as when descriptors run out: those who are connected are served on
			log.Warn("could not accept an agent; will try again", "err", err)
			_ = retry.Sleep(ctx, acceptPause) // its end is seen by the next Accept
			continue
		}
		wg.Go(func() {
			p := &peer{bus: b, wire: newWire(c), log: log, serves: map[uint64]context.CancelFunc{}, asked: map[uint64]chan frame{}}
			p.run(ctx)
		})
	}
}

// peer is one connected process.
type peer struct {
	bus  bus.Bus
	wire *wire
	log  *slog.Logger

	mu     sync.Mutex
	last   uint64
	serves map[uint64]context.CancelFunc
	asked  map[uint64]chan frame // deliveries that wait for their answer
	wg     sync.WaitGroup
}

func (p *peer) run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer p.wg.Wait()
	defer stop()
	defer context.AfterFunc(ctx, func() { p.wire.conn.Close() })()
	for {
		f, err := p.wire.receive()
		if err != nil {
			p.log.Debug("a process left the bus", "err", err)
			return
		}
		p.handle(ctx, f)
	}
}

func (p *peer) handle(ctx context.Context, f frame) {
	switch f.Op {
	case opAnswer:
		p.mu.Lock()
		if c := p.asked[f.ID]; c != nil {
			c <- f
			delete(p.asked, f.ID)
		}
		p.mu.Unlock()
	case opStop:
		p.mu.Lock()
		if end := p.serves[f.For]; end != nil {
			end()
		}
		p.mu.Unlock()
	case opServe:
		sctx, end := context.WithCancel(ctx)
		p.mu.Lock()
		p.serves[f.ID] = end
		p.mu.Unlock()
		p.wg.Go(func() { p.serve(sctx, ctx, f) })
	default:
		p.wg.Go(func() { p.tell(p.ask(ctx, f)) })
	}
}

// ask does one question of the client on the bus.
func (p *peer) ask(ctx context.Context, f frame) frame {
	out := frame{ID: f.ID, Op: opAnswer}
	if f.To == nil {
		out.Err = pack(coffer.E(coffer.KindInvalid, "read a message", "it names no target"))
		return out
	}
	switch f.Op {
	case opCast:
		out.Err = pack(p.bus.Cast(ctx, *f.To, f.Method, f.Body))
	case opPending:
		out.N = p.bus.Pending(*f.To)
	case opCall:
		if f.Millis > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, time.Duration(f.Millis)*time.Millisecond)
			defer stop()
		}
		out.Err = pack(p.bus.Call(ctx, *f.To, f.Method, f.Body, &out.Body))
	default:
		out.Err = pack(coffer.E(coffer.KindUnsupported, "read a message", "no operation %q", f.Op))
	}
	return out
}

// serve serves a topic on the client's behalf. life is the connection's: a
// handler goes on after the client has asked to stop, until it is answered.
func (p *peer) serve(ctx, life context.Context, f frame) {
	out := frame{ID: f.ID, Op: opAnswer}
	if f.To == nil {
		out.Err = pack(coffer.E(coffer.KindInvalid, "serve a topic", "none is named"))
	} else {
		out.Err = pack(p.bus.Serve(ctx, *f.To, func(_ context.Context, m bus.Message) (any, error) {
			return p.deliver(life, f.ID, m)
		}, func() { p.tell(frame{ID: f.ID, Op: opReady}) }))
	}
	p.mu.Lock()
	delete(p.serves, f.ID)
	p.mu.Unlock()
	p.tell(out)
}

func (p *peer) deliver(ctx context.Context, serve uint64, m bus.Message) (any, error) {
	c := make(chan frame, 1)
	p.mu.Lock()
	p.last++
	id := p.last
	p.asked[id] = c
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.asked, id)
		p.mu.Unlock()
	}()
	if err := p.wire.send(frame{ID: id, Op: opDeliver, For: serve, Method: m.Method, Body: m.Body}); err != nil {
		return nil, coffer.E(coffer.KindUnavailable, "deliver "+m.Method, "%w", err)
	}
	select {
	case <-ctx.Done():
		return nil, coffer.E(coffer.KindUnavailable, "deliver "+m.Method, "the process that serves it has left")
	case f := <-c:
		if err := f.Err.unpack(); err != nil {
			return nil, err
		}
		return json.RawMessage(f.Body), nil
	}
}

// tell sends what nobody can answer; a broken connection ends in receive.
func (p *peer) tell(f frame) {
	if err := p.wire.send(f); err != nil {
		p.log.Debug("could not answer a process on the bus", "err", err)
		if coffer.IsKind(err, coffer.KindInvalid) {
			p.tell(frame{ID: f.ID, Op: f.Op, Err: pack(err)})
		}
	}
}
