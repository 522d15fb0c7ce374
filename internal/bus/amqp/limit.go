package amqp

import (
	"bufio"
	"encoding/binary"
	"net"
	"time"
)

// Frames of AMQP 0-9-1: type (1), channel (2), size (4), payload, an end mark (1).
// A content header's payload is class (2), weight (2), body size (8), properties.
const (
	frameHeader     = 2
	frameBody       = 3
	frameHeadLen    = 7
	contentStartLen = 12
)

// limitedConn is a connection on which no body longer than max arrives: the
// client library gathers a whole body in memory before anybody can refuse it. Such
// a body is thrown away frame by frame, and its header is changed to say that the
// body is empty, which no message of ours or of oslo's ever is.
type limitedConn struct {
	net.Conn
	in   *bufio.Reader
	max  uint64
	skip map[uint16]uint64 // per channel: how much of a body is still to be thrown away

	head [frameHeadLen + contentStartLen]byte
	give []byte // of head: still to be handed out
	pass int    // bytes of the present frame still to be handed out from in

	stall time.Duration // how long a write may take, and a read while throwing away
}

func limitConn(c net.Conn, limit int, stall time.Duration) *limitedConn {
	return &limitedConn{Conn: c, in: bufio.NewReaderSize(c, 16<<10), max: uint64(limit), skip: map[uint16]uint64{}, stall: stall}
}

// Read hands out whole frames but for what the limit takes away.
func (l *limitedConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(l.give) == 0 && l.pass == 0 {
		if err := l.next(); err != nil {
			return 0, err
		}
	}
	if len(l.give) > 0 {
		n := copy(p, l.give)
		l.give = l.give[n:]
		return n, nil
	}
	n, err := l.in.Read(p[:min(len(p), l.pass)])
	l.pass -= n
	return n, err
}

// next takes the head of a frame; it leaves nothing to hand out when the frame was
// thrown away.
func (l *limitedConn) next() error {
	head, err := l.in.Peek(frameHeadLen)
	if err != nil {
		return err
	}
	kind, channel := head[0], binary.BigEndian.Uint16(head[1:])
	size := int(binary.BigEndian.Uint32(head[3:]))
	if left := l.skip[channel]; kind == frameBody && left > 0 {
		// While this lasts the library sees no frame and would miss heartbeats.
		if err := l.SetReadDeadline(time.Now().Add(l.stall)); err != nil {
			return err
		}
		if left <= uint64(size) {
			delete(l.skip, channel)
		} else {
			l.skip[channel] = left - uint64(size)
		}
		_, err := l.in.Discard(frameHeadLen + size + 1)
		return err
	}
	n := frameHeadLen
	if kind == frameHeader && size >= contentStartLen {
		n += contentStartLen
	}
	if head, err = l.in.Peek(n); err != nil {
		return err
	}
	copy(l.head[:], head)
	if n > frameHeadLen {
		delete(l.skip, channel)
		body := l.head[n-8 : n]
		if long := binary.BigEndian.Uint64(body); long > l.max {
			l.skip[channel] = long
			clear(body)
		}
	}
	l.give, l.pass = l.head[:n], frameHeadLen+size+1-n
	_, err = l.in.Discard(n)
	return err
}

// Write gives up on a peer that takes nothing.
func (l *limitedConn) Write(p []byte) (int, error) {
	if err := l.SetWriteDeadline(time.Now().Add(l.stall)); err != nil {
		return 0, err
	}
	return l.Conn.Write(p)
}
