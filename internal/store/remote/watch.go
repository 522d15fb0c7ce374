package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
)

// enough is how many bytes in one stretch of patience count as progress.
const enough = 32 << 10

// watcher ends requests whose peer keeps us waiting: time counts while we wait
// for it to take or to give bytes, and starts anew with every 32 KiB moved. Our
// own pauses, such as a rate limit's or a slow consumer's, do not count.
type watcher struct {
	next     http.RoundTripper
	patience time.Duration
}

// CloseIdleConnections lets http.Client end the connections beneath.
func (w *watcher) CloseIdleConnections() {
	if c, ok := w.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip makes one request. When it has failed, or its answer was closed, the
// request's body is not touched any more.
func (w *watcher) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	c := &clock{patience: w.patience, left: w.patience}
	c.timer = time.AfterFunc(w.patience, func() {
		cancel(coffer.E(coffer.KindUnavailable, "wait for "+req.URL.Host, "it has moved next to nothing for %s", w.patience).
			WithHint("look at the store and at the network to it"))
	})
	end := func(cause error) {
		c.stop()
		cancel(cause)
	}
	req = req.WithContext(ctx)
	revoke := func() {}
	if req.Body != nil && req.Body != http.NoBody {
		b := &sending{body: req.Body, clock: c}
		req.Body, req.GetBody, revoke = b, nil, b.revoke
	}
	c.wait()
	resp, err := w.next.RoundTrip(req)
	c.rest(0)
	if err != nil {
		revoke()
		err = told(ctx, err)
		end(nil)
		return nil, err
	}
	c.answered()
	resp.Body = &receiving{ReadCloser: resp.Body, ctx: ctx, clock: c, end: func() {
		revoke()
		end(nil)
	}}
	return resp, nil
}

// told is the reason for which a request was ended, if we ended it.
func told(ctx context.Context, err error) error {
	if cause, ours := errors.AsType[*coffer.Error](context.Cause(ctx)); ours {
		return cause
	}
	return err
}

// clock counts the time a peer keeps us waiting.
type clock struct {
	mu       sync.Mutex
	timer    *time.Timer
	patience time.Duration
	left     time.Duration
	since    time.Time // when the waiting began; zero is resting
	moved    int
	received bool // the answer has begun: what is still sent does not count
}

func (c *clock) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
	c.timer.Reset(c.left)
}

// rest ends the waiting, after which n bytes had come or gone.
func (c *clock) rest(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		return
	}
	c.timer.Stop()
	c.left -= time.Since(c.since)
	c.since = time.Time{}
	if c.moved += n; c.moved >= enough {
		c.moved, c.left = 0, c.patience
	}
}

// answered gives the answer the whole patience.
func (c *clock) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
	c.since, c.moved, c.left, c.received = time.Time{}, 0, c.patience, true
}

func (c *clock) sending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.received
}

func (c *clock) stop() { c.timer.Stop() }

// sending is a request's body. While it waits for its own bytes the peer's time
// rests.
type sending struct {
	mu      sync.Mutex
	body    io.ReadCloser
	clock   *clock
	last    int // bytes given at the last Read, gone when the next is asked for
	revoked bool
}

// Read gives the next bytes to send.
func (s *sending) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked {
		return 0, http.ErrBodyReadAfterClose
	}
	if !s.clock.sending() {
		return s.body.Read(p)
	}
	s.clock.rest(s.last)
	n, err := s.body.Read(p)
	s.last = n
	if s.clock.sending() {
		s.clock.wait()
	}
	return n, err
}

// Close ends the body.
func (s *sending) Close() error {
	s.revoke()
	return s.body.Close()
}

// revoke returns when nobody reads the body any more, nor ever will.
func (s *sending) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = true
}

// receiving is an answer's body. Its life is one request, so it holds the
// context.
type receiving struct {
	io.ReadCloser
	ctx   context.Context
	clock *clock
	end   func()
}

// Read gives the next bytes of the answer.
func (r *receiving) Read(p []byte) (int, error) {
	r.clock.wait()
	n, err := r.ReadCloser.Read(p)
	r.clock.rest(n)
	if err != nil && err != io.EOF {
		err = told(r.ctx, err)
	}
	return n, err
}

// Close ends the request.
func (r *receiving) Close() error {
	err := r.ReadCloser.Close()
	r.end()
	return err
}
