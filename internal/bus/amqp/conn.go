package amqp

import (
	"context"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// patience is how long a Cast or Call waits for a try to connect that is under way.
const patience = 2 * time.Second

// steady is how long a connection must have lived for the next back-off to begin
// anew.
const steady = 5 * time.Second

// link is one connection that is made again whenever it breaks.
type link struct {
	bus  *Bus
	next int // index of the host to try; run's own

	mu      sync.Mutex
	session *session      // nil while away
	trying  bool          // a try is under way
	err     error         // why it is away
	changed chan struct{} // closed at the next change of the above

	serves int // guarded by the bus's mu
}

// addLink makes a link and starts its loop; the caller holds b.mu or is alone.
func (b *Bus) addLink() *link {
	l := &link{bus: b, trying: true, changed: make(chan struct{})}
	b.links = append(b.links, l)
	b.wg.Go(l.run)
	return l
}

// reserve finds a link with room for one more Serve.
func (b *Bus) reserve() (l *link, release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l = range b.links {
		if l.serves < b.o.PerLink {
			break
		}
		l = nil
	}
	if l == nil {
		l = b.addLink()
	}
	l.serves++
	return l, func() {
		b.mu.Lock()
		l.serves--
		b.mu.Unlock()
	}
}

// run is the one loop: connect, hand out, wait for the end, back off, again.
func (l *link) run() {
	ctx, log := l.bus.ctx, l.bus.o.Log
	said := ""
	for try := 1; ; try++ {
		l.set(nil, true, nil)
		s, err := l.connect(ctx)
		if err == nil {
			if said != "" {
				log.Info("connected to the broker again")
			}
			said = ""
			began := time.Now()
			l.set(s, false, nil)
			select {
			case <-s.lost:
			case <-ctx.Done():
			}
			err = s.why()
			if time.Since(began) > steady {
				try = 1
			}
			l.set(nil, false, err)
			s.close()
		} else {
			l.set(nil, false, err)
		}
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != said {
			said = text
			log.Warn("the broker is away; will try again", "err", err, "hint", coffer.HintOf(err))
		}
		if retry.Sleep(ctx, l.bus.o.Backoff.Wait(try)) != nil {
			return
		}
	}
}

func (l *link) set(s *session, trying bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.trying = s, trying
	if !trying {
		l.err = err
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) look() (s *session, trying bool, changed chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session, l.trying, l.changed, l.err
}

// now is the session for a message that has to leave now. Only a try to connect
// that is under way is waited for, and not for long.
func (l *link) now(ctx context.Context) (*session, error) {
	short, stop := context.WithTimeout(ctx, patience)
	defer stop()
	s, err := l.outcome(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return nil, coffer.E(coffer.KindUnavailable, "wait for the broker", "it does not answer")
	}
	return s, err
}

// outcome is the session, or why there is none; it waits for a try to connect that
// is under way.
func (l *link) outcome(ctx context.Context) (*session, error) {
	for {
		s, trying, changed, err := l.look()
		switch {
		case l.bus.ctx.Err() != nil:
			return nil, errClosed()
		case s != nil:
			return s, nil
		case !trying:
			return nil, err
		}
		select {
		case <-changed:
		case <-l.bus.ctx.Done():
		case <-ctx.Done():
			return nil, coffer.Wrap("wait for the broker", ctx.Err())
		}
	}
}

// wait is the next session, however long it takes.
func (l *link) wait(ctx context.Context) (*session, error) {
	for {
		s, _, changed, _ := l.look()
		switch {
		case l.bus.ctx.Err() != nil:
			return nil, errClosed()
		case s != nil:
			return s, nil
		}
		select {
		case <-changed:
		case <-l.bus.ctx.Done():
		case <-ctx.Done():
			return nil, coffer.Wrap("wait for the broker", ctx.Err())
		}
	}
}

func errClosed() error { return coffer.E(coffer.KindUnavailable, "use the bus", "it is closed") }
