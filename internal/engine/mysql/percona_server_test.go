package mysql

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// playedServer speaks as much of MySQL's protocol as an engine needs to ask: it greets,
// takes whoever comes, and answers each query by the first of its answers whose words
// are in the query. There is no MySQL to test with.
type playedServer struct {
	socket string

	mu      sync.Mutex
	answers []playedAnswer
	asked   []string
}

// playedAnswer is rows for the queries that have the words; no rows is an empty set.
type playedAnswer struct {
	words   string
	columns int
	rows    [][]string
}

func playServer(t *testing.T, answers ...playedAnswer) *playedServer {
	t.Helper()
	s := &playedServer{socket: filepath.Join(t.TempDir(), "s"), answers: answers}
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return s
}

// set changes the rows of an answer.
func (s *playedServer) set(words string, rows ...[]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, a := range s.answers {
		if a.words == words {
			s.answers[i].rows = rows
		}
	}
}

func (s *playedServer) serve(c net.Conn) {
	defer c.Close()
	p := &playedConn{r: bufio.NewReader(c), w: c}
	greeting := append([]byte("\x0a8.0.36\x00\x01\x00\x00\x00saltsalt\x00"), 0xff, 0xa2, 0x2d, 2, 0, 0x08, 0, 21)
	greeting = append(greeting, make([]byte, 10)...)
	p.send(append(greeting, "saltsaltsalt\x00mysql_native_password\x00"...))
	if _, err := p.receive(); err != nil {
		return
	}
	p.ok()
	for {
		b, err := p.receive()
		if err != nil || len(b) == 0 || b[0] == 1 { // COM_QUIT
			return
		}
		if b[0] == 3 { // COM_QUERY
			p.result(s.answer(string(b[1:])))
			continue
		}
		p.ok()
	}
}

func (s *playedServer) answer(query string) playedAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, query)
	for _, a := range s.answers {
		if strings.Contains(query, a.words) {
			return a
		}
	}
	return playedAnswer{columns: 1}
}

// playedConn sends and receives packets.
type playedConn struct {
	r   *bufio.Reader
	w   io.Writer
	seq byte
}

func (p *playedConn) send(b []byte) {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(b)))
	head[3] = p.seq
	p.seq++
	_, _ = p.w.Write(append(head, b...)) // who went away shows at the next receive
}

func (p *playedConn) receive() ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(p.r, head); err != nil {
		return nil, err
	}
	p.seq = head[3] + 1
	head[3] = 0
	b := make([]byte, binary.LittleEndian.Uint32(head))
	_, err := io.ReadFull(p.r, b)
	return b, err
}

func (p *playedConn) ok() { p.send([]byte{0, 0, 0, 2, 0, 0, 0}) }

func (p *playedConn) result(a playedAnswer) {
	end := []byte{0xfe, 0, 0, 2, 0}
	p.send([]byte{byte(a.columns)})
	for range a.columns {
		def := append([]byte("\x03def\x00\x00\x00\x01c\x00\x0c"), 33, 0, 0, 1, 0, 0, 253, 0, 0, 0, 0, 0)
		p.send(def)
	}
	p.send(end)
	for _, row := range a.rows {
		var b []byte
		for _, v := range row {
			b = append(b, 0xfc, byte(len(v)), byte(len(v)>>8))
			b = append(b, v...)
		}
		p.send(b)
	}
	p.send(end)
}
