package testenv_test

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
)

// echoServer answers every line with itself.
func echoServer(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					c.Write([]byte(line))
				}
			}()
		}
	}()
	return l.Addr().String()
}

// ask sends one line and says whether it came back within d.
func ask(c net.Conn, d time.Duration) bool {
	c.SetDeadline(time.Now().Add(d))
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && line == "hello\n"
}

func TestProxy(t *testing.T) {
	t.Parallel()
	p := testenv.NewProxy(t, echoServer(t))
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	const short, long = 50 * time.Millisecond, 5 * time.Second
	c := dial()
	if !ask(c, long) {
		t.Fatal("it forwards nothing")
	}
	p.Pause()
	if ask(c, short) {
		t.Error("it forwards while paused")
	}
	p.Resume()
	c.SetDeadline(time.Now().Add(long))
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("what was sent in the pause is lost: %q, %v", line, err)
	}
	p.Cut()
	if ask(c, long) {
		t.Error("a cut connection works")
	}
	if c = dial(); !ask(c, long) {
		t.Error("no new connection after a cut")
	}
	p.Drop()
	if ask(c, long) || ask(dial(), long) {
		t.Error("it forwards although it drops")
	}
	p.Resume()
	if c = dial(); !ask(c, long) {
		t.Error("no new connection after Resume")
	}
	p.Swallow()
	if ask(c, short) {
		t.Error("it forwards what it swallows")
	}
	p.Resume()
	if !ask(dial(), long) {
		t.Error("no new connection after swallowing")
	}
}
