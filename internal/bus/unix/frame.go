// Package unix carries a bus to other processes of the same machine, over a Unix
// socket that only its owner can open. The server's side ([Serve]) lends an
// in-process bus to whoever connects; the client's side ([Dial]) is a bus.Bus
// that obeys the same law. A connection that breaks fails what is under way as
// KindUnavailable and is made again; topics that were served are served again.
//
// The protocol is JSON, one frame a line. A client asks (cast, call, pending,
// serve, stop) and is answered by the same number; the server delivers messages
// of a served topic and is answered likewise.
package unix

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// MaxFrame bounds one frame, in bytes.
const MaxFrame = 4 << 20

// The operations of a frame.
const (
	opCast    = "cast"
	opCall    = "call"
	opPending = "pending"
	opServe   = "serve"
	opStop    = "stop"
	opAnswer  = "answer"  // to any question
	opReady   = "ready"   // a topic is served now
	opDeliver = "deliver" // a message of a served topic
)

// frame is one line of the protocol.
type frame struct {
	ID     uint64          `json:"id"`
	Op     string          `json:"op"`
	For    uint64          `json:"for,omitempty"` // deliver, stop: the serve's number
	To     *bus.Target     `json:"to,omitempty"`
	Method string          `json:"method,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Millis int64           `json:"millis,omitempty"` // call: how long the caller waits
	N      int             `json:"n,omitempty"`
	Err    *wireError      `json:"err,omitempty"`
}

// wireError is an error's kind, text and hint.
type wireError struct {
	Kind coffer.Kind `json:"kind"`
	Text string      `json:"text"`
	Hint string      `json:"hint,omitempty"`
}

func pack(err error) *wireError {
	if err == nil {
		return nil
	}
	return &wireError{Kind: coffer.KindOf(err), Text: err.Error(), Hint: coffer.HintOf(err)}
}

func (w *wireError) unpack() error {
	if w == nil {
		return nil
	}
	return &coffer.Error{Kind: w.Kind, Err: errors.New(w.Text), Hint: w.Hint}
}

// wire is a connection that carries whole frames.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	mu   sync.Mutex
}

func newWire(c net.Conn) *wire { return &wire{conn: c, in: bufio.NewReaderSize(c, 64<<10)} }

func (w *wire) send(f frame) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if len(b) >= MaxFrame {
		return coffer.E(coffer.KindInvalid, "send a message", "it has %d bytes, more than %d", len(b), MaxFrame)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.conn.Write(append(b, '\n'))
	return err
}

func (w *wire) receive() (frame, error) {
	var line []byte
	for {
		part, err := w.in.ReadSlice('\n')
		if len(line)+len(part) > MaxFrame {
			return frame{}, coffer.E(coffer.KindInvalid, "receive a message", "it is longer than %d bytes", MaxFrame)
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			if err == io.EOF && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return frame{}, err
		}
		var f frame
		return f, json.Unmarshal(line, &f)
	}
}
