package testenv

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy is a TCP proxy in front of one server, with which a test spoils the
// network between the two.
type Proxy struct {
	listener net.Listener
	to       string
	wg       sync.WaitGroup

	mu      sync.Mutex
	resumed chan struct{} // closed while bytes flow
	refuse  bool
	drop    bool
	closed  bool
	pairs   map[*pair]bool
}

// pair is one connection: the client's half and the server's.
type pair struct {
	client, server net.Conn
	done           chan struct{} // closed when it is cut
	once           sync.Once
}

// NewProxy forwards a free port of 127.0.0.1 to the address to, until the test
// ends.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start a proxy: %v", err)
	}
	p := &Proxy{listener: l, to: to, resumed: make(chan struct{}), pairs: map[*pair]bool{}}
	close(p.resumed)
	p.wg.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Addr is where clients connect, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Connections is how many connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs)
}

// Cut breaks every connection; new ones are forwarded as before.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAll()
}

// Drop breaks every connection, and each new one at once, until Resume.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = true
	p.cutAll()
}

// Pause lets connections stand and new ones open, but forwards nothing until
// Resume: what is sent meanwhile is late, not lost.
func (p *Proxy) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.resumed:
		p.resumed = make(chan struct{})
	default:
	}
}

// Swallow lets connections stand and throws away what either side sends, until
// Resume, which cuts what was spoilt by it.
func (p *Proxy) Swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop = true
}

// Resume ends Drop, Pause and Swallow.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resume()
}

func (p *Proxy) resume() {
	if p.drop {
		p.cutAll()
	}
	p.refuse, p.drop = false, false
	select {
	case <-p.resumed:
	default:
		close(p.resumed)
	}
}

// Close ends the proxy and every connection.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.listener.Close()
	p.cutAll()
	p.resume()
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) cutAll() {
	for c := range p.pairs {
		c.cut()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.forward(client) })
	}
}

func (p *Proxy) forward(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	refuse := p.refuse || p.closed
	p.mu.Unlock()
	if refuse {
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	c := &pair{client: client, server: server, done: make(chan struct{})}
	defer c.cut()
	p.mu.Lock()
	if p.refuse || p.closed {
		p.mu.Unlock()
		return
	}
	p.pairs[c] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.pairs, c)
		p.mu.Unlock()
	}()
	var both sync.WaitGroup
	both.Go(func() { p.copy(c, client, server) })
	both.Go(func() { p.copy(c, server, client) })
	both.Wait()
}

// copy forwards one direction until it ends, and then ends the other.
func (p *Proxy) copy(c *pair, from, to net.Conn) {
	defer c.cut()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.pass(c, to, buf[:n]) || err != nil {
			return
		}
	}
}

// pass writes what was read, when it may; false ends the connection.
func (p *Proxy) pass(c *pair, to io.Writer, b []byte) bool {
	for {
		p.mu.Lock()
		drop, resumed := p.drop, p.resumed
		p.mu.Unlock()
		if drop {
			return true
		}
		select {
		case <-resumed:
			_, err := to.Write(b)
			return err == nil
		default:
		}
		select {
		case <-resumed:
		case <-c.done:
			return false
		}
	}
}

func (c *pair) cut() {
	c.once.Do(func() {
		close(c.done)
		c.client.Close()
		c.server.Close()
	})
}
