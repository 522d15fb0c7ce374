package testenv

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// FaultProxy is an HTTP proxy in front of one server, with which a test spoils
// chosen requests and answers. What [Proxy] does to a network, this does to what is
// said over it.
type FaultProxy struct {
	URL string // in place of the server's

	life context.Context // ends what still crawls when the test ends

	mu    sync.Mutex
	rules []*faultRule
	note  func(r *http.Request, status int)
}

// Fault is what becomes of one request: next passes it on to the server. An error
// breaks the client's connection.
type Fault func(next http.RoundTripper, r *http.Request) (*http.Response, error)

type faultRule struct {
	match        func(*http.Request) bool
	first, times int
	seen, hits   int
	fault        Fault
}

// NewFaultProxy forwards to the server at the URL to, until the test ends.
func NewFaultProxy(t testing.TB, to string) *FaultProxy {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(context.Background())
	p := &FaultProxy{life: life}
	server := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32}
	s := httptest.NewServer(&httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host, r.Out.Close = r.In.Host, r.In.Close // the host is signed
		},
		Transport:     roundTrip(func(r *http.Request) (*http.Response, error) { return p.pass(server, r) }),
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	p.URL = s.URL
	t.Cleanup(func() {
		end()
		s.Close()
		server.CloseIdleConnections()
	})
	return p
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Spoil has the requests that match, from the first (counted from 1) on, as many as
// times (less than 0: all), meet the fault.
func (p *FaultProxy) Spoil(match func(*http.Request) bool, first, times int, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &faultRule{match: match, first: first, times: times, fault: f})
}

// Heal ends every fault.
func (p *FaultProxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

// Note has f told of every request that ended, with its status, 0 where it broke.
// f is called by one request at a time.
func (p *FaultProxy) Note(f func(r *http.Request, status int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = f
}

// VerifyAllHit is red for each fault that no request has met.
func (p *FaultProxy) VerifyAllHit(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range p.rules {
		if r.hits == 0 {
			t.Errorf("fault %d was not hit: %d requests matched", i, r.seen)
		}
	}
}

func (p *FaultProxy) pass(server http.RoundTripper, r *http.Request) (*http.Response, error) {
	trip := server.RoundTrip
	if f := p.meet(r); f != nil {
		ctx, cancel := context.WithCancel(r.Context())
		context.AfterFunc(p.life, cancel)
		r = r.WithContext(ctx)
		trip = func(r *http.Request) (*http.Response, error) { return f(server, r) }
	}
	resp, err := trip(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.note != nil {
		status := 0
		if err == nil {
			status = resp.StatusCode
		}
		p.note(r, status)
	}
	return resp, err
}

// meet counts the request for every fault, and gives the first that it meets.
func (p *FaultProxy) meet(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	var f Fault
	for _, rule := range p.rules {
		if !rule.match(r) {
			continue
		}
		rule.seen++
		if rule.seen < rule.first || rule.times >= 0 && rule.seen >= rule.first+rule.times || f != nil {
			continue
		}
		rule.hits++
		f = rule.fault
	}
	return f
}

var errSpoilt = errors.New("spoilt by the test")

// FaultStatus answers in place of the server, after the request was read. header
// holds names and values in turn.
func FaultStatus(status int, text string, header ...string) Fault {
	return func(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		h := http.Header{}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{
			StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		}, nil
	}
}

// FaultReset breaks the connection after k bytes of the request's body, at both ends.
func FaultReset(k int64) Fault {
	return func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		if k == 0 || r.Body == nil {
			return nil, errSpoilt
		}
		r.Body = &brokenBody{ReadCloser: r.Body, left: k}
		resp, err := next.RoundTrip(r)
		if err == nil {
			resp.Body.Close()
		}
		return nil, errSpoilt
	}
}

// FaultLost lets the server do what it was asked and loses its answer.
func FaultLost() Fault {
	return func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return nil, errSpoilt
	}
}

// FaultAnswer changes the server's answer before the client gets it.
func FaultAnswer(change func(*http.Response)) Fault {
	return func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err == nil {
			change(resp)
		}
		return resp, err
	}
}

// FaultETag answers with an ETag of other bytes.
func FaultETag() Fault {
	return FaultAnswer(func(r *http.Response) { r.Header.Set("Etag", `"00000000000000000000000000000000"`) })
}

// FaultCut ends the answer after k bytes of its body.
func FaultCut(k int64) Fault {
	return FaultAnswer(func(r *http.Response) { r.Body = &brokenBody{ReadCloser: r.Body, left: k} })
}

// FaultFlip flips one bit of byte k of the answer's body.
func FaultFlip(k int64) Fault {
	return FaultAnswer(func(r *http.Response) { r.Body = &flippedBody{ReadCloser: r.Body, at: k} })
}

// FaultCrawl takes the request's body, or gives the answer's, at one byte a second;
// where neither has one, the answer does not come.
func FaultCrawl() Fault {
	return func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		done := r.Context().Done()
		if r.Body != nil && r.ContentLength > 0 {
			r.Body = &crawlingBody{ReadCloser: r.Body, done: done}
		}
		resp, err := next.RoundTrip(r)
		if err == nil && resp.ContentLength == 0 {
			resp.Body.Close()
			<-done
			return nil, errSpoilt
		}
		if err == nil {
			resp.Body = &crawlingBody{ReadCloser: resp.Body, done: done}
		}
		return resp, err
	}
}

// brokenBody ends with an error after left bytes.
type brokenBody struct {
	io.ReadCloser
	left int64
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errSpoilt
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// flippedBody changes one bit.
type flippedBody struct {
	io.ReadCloser
	at int64
}

func (b *flippedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.at >= 0 && b.at < int64(n) {
		p[b.at] ^= 1
	}
	b.at -= int64(n)
	return n, err
}

// crawlingBody gives one byte a second until the request ends.
type crawlingBody struct {
	io.ReadCloser
	done <-chan struct{}
}

func (b *crawlingBody) Read(p []byte) (int, error) {
	select {
	case <-b.done:
		return 0, errSpoilt
	case <-time.After(time.Second):
	}
	return b.ReadCloser.Read(p[:min(len(p), 1)])
}
