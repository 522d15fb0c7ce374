package amqp

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"
)

// bytesConn is a connection on which a peer has sent everything already.
type bytesConn struct {
	net.Conn
	r io.Reader
}

func (c bytesConn) Read(p []byte) (int, error)      { return c.r.Read(p) }
func (c bytesConn) SetReadDeadline(time.Time) error { return nil }

func frame(kind byte, channel uint16, payload []byte) []byte {
	b := []byte{kind}
	b = binary.BigEndian.AppendUint16(b, channel)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, payload...), 0xce)
}

func header(channel uint16, size uint64, props string) []byte {
	b := binary.BigEndian.AppendUint64([]byte{0, 60, 0, 0}, size)
	return frame(frameHeader, channel, append(b, props...))
}

// A body that is too long is gone, and its header says that it is empty; the same
// channel's next message and the other channel's frames between come through.
func TestLimitThrowsAwayLongBodies(t *testing.T) {
	t.Parallel()
	part := bytes.Repeat([]byte{'x'}, 60)
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	in := cat(
		frame(1, 1, []byte("deliver")), header(1, 50, "p"), frame(frameBody, 1, part[:50]),
		frame(1, 1, []byte("deliver")), header(1, 180, "props"), frame(frameBody, 1, part),
		frame(1, 2, []byte("other")), header(2, 60, ""), frame(frameBody, 2, part),
		frame(frameBody, 1, part), frame(8, 0, nil), frame(frameBody, 1, part),
		header(1, 1, ""), frame(frameBody, 1, part[:1]),
	)
	want := cat(
		frame(1, 1, []byte("deliver")), header(1, 50, "p"), frame(frameBody, 1, part[:50]),
		frame(1, 1, []byte("deliver")), header(1, 0, "props"),
		frame(1, 2, []byte("other")), header(2, 60, ""), frame(frameBody, 2, part),
		frame(8, 0, nil),
		header(1, 1, ""), frame(frameBody, 1, part[:1]),
	)
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(in), "in bytes": iotest.OneByteReader(bytes.NewReader(in))} {
		got, err := io.ReadAll(limitConn(bytesConn{r: r}, 100, time.Second))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\ngot  %x\nwant %x", name, err, got, want)
		}
	}
}
