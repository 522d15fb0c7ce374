package xbstream

import (
	"encoding/binary"

	"github.com/cofferdb/coffer"
)

// Type is the letter that says what a chunk is.
type Type byte

// The types of chunks.
const (
	Data   Type = 'P'
	End    Type = 'E'
	Rename Type = 'R'
	Remove Type = 'D'
	Seek   Type = 'S'
)

// The flags of a chunk.
const (
	Ignorable byte = 1 // a reader that does not know the type may skip it; none is sent today
	Rewrite   byte = 2 // the file replaces an earlier one of the same path
)

// Bounds of what a stream may ask of its reader.
const (
	MaxPath  = 512      // bytes of a path; the tool's own bound
	MaxChunk = 64 << 20 // bytes of data in one chunk; the tool sends 10 MiB
)

// MaxHeader is the longest header of a chunk, its data not counted.
const MaxHeader = 14 + MaxPath + 4 + MaxPath

const (
	magic   = "XBSTCK01"
	fixed   = len(magic) + 1 + 1 + 4 // up to the path
	dataLen = 8 + 8 + 4              // length, offset, sum
)

// Chunk is one chunk's header.
type Chunk struct {
	Type   Type
	Flags  byte
	Path   string
	To     string // Rename: the new path
	Offset int64  // Data, Seek: where in the file
	Len    int64  // Data: bytes that follow the header
	Sum    uint32 // Data: CRC-32 IEEE of those bytes
}

const opRead = "read the xbstream"

// ParseHeader reads a chunk's header from the start of b. It returns how many
// bytes it took; if that is more than len(b), b is too short, the chunk is not
// filled, and at least so many bytes are needed. Paths, type and lengths are
// checked.
func ParseHeader(b []byte) (Chunk, int, error) {
	if len(b) < fixed {
		if n := min(len(b), len(magic)); string(b[:n]) != magic[:n] {
			return Chunk{}, 0, notMagic()
		}
		return Chunk{}, fixed, nil
	}
	if string(b[:len(magic)]) != magic {
		return Chunk{}, 0, notMagic()
	}
	c := Chunk{Flags: b[len(magic)], Type: Type(b[len(magic)+1])}
	if !c.known() {
		return Chunk{}, 0, coffer.E(coffer.KindCorrupt, opRead, "unknown chunk type %q", byte(c.Type)).
			WithHint("the stream is damaged, or was made by a tool that this version does not know")
	}
	path, n, err := parsePath(b, fixed-4)
	if err != nil || n > len(b) {
		return Chunk{}, n, err
	}
	c.Path = path
	return c.parseRest(b, n)
}

func (c Chunk) known() bool {
	switch c.Type {
	case Data, End, Rename, Remove, Seek:
		return true
	}
	return false
}

// parseRest reads what the chunk's type adds behind the path, which ends at n.
func (c Chunk) parseRest(b []byte, n int) (Chunk, int, error) {
	var err error
	at := n
	switch c.Type {
	case Data:
		if n += dataLen; n > len(b) {
			return Chunk{}, n, nil
		}
		length, offset := binary.LittleEndian.Uint64(b[at:]), binary.LittleEndian.Uint64(b[at+8:])
		c.Sum = binary.LittleEndian.Uint32(b[at+16:])
		if length > MaxChunk {
			return Chunk{}, 0, c.bad("a chunk of %d bytes, more than %d", length, MaxChunk)
		}
		c.Len = int64(length)
		err = c.setOffset(offset)
	case Seek:
		if n += 8; n > len(b) {
			return Chunk{}, n, nil
		}
		err = c.setOffset(binary.LittleEndian.Uint64(b[at:]))
	case Rename:
		if len(b) < at+4 {
			return Chunk{}, at + 4, nil
		}
		if c.To, n, err = parsePath(b, at); n > len(b) {
			return Chunk{}, n, err
		}
	}
	if err != nil {
		return Chunk{}, 0, err
	}
	return c, n, nil
}

// setOffset takes an offset that leaves room for the longest chunk.
func (c *Chunk) setOffset(offset uint64) error {
	if offset > 1<<62 {
		return c.bad("offset %d is out of range", offset)
	}
	c.Offset = int64(offset)
	return nil
}

func (c Chunk) bad(format string, args ...any) error {
	return coffer.Wrap(opRead, coffer.E(coffer.KindCorrupt, "file "+c.Path, format, args...))
}

func notMagic() error {
	return coffer.E(coffer.KindCorrupt, opRead, "no chunk begins where one should")
}

// parsePath reads the length at b[at:], which is there, and the path behind it.
func parsePath(b []byte, at int) (string, int, error) {
	n := binary.LittleEndian.Uint32(b[at:])
	if n > MaxPath {
		return "", 0, coffer.E(coffer.KindCorrupt, opRead, "a path of %d bytes, more than %d", n, MaxPath)
	}
	at += 4
	end := at + int(n)
	if end > len(b) {
		return "", end, nil
	}
	path := string(b[at:end])
	if err := CheckPath(path); err != nil {
		return "", 0, coffer.Wrap(opRead, err)
	}
	return path, end, nil
}

// AppendHeader appends the header to b: ParseHeader's inverse. It checks nothing.
func AppendHeader(b []byte, c Chunk) []byte {
	b = append(b, magic...)
	b = append(b, c.Flags, byte(c.Type))
	b = appendPath(b, c.Path)
	switch c.Type {
	case Data:
		b = binary.LittleEndian.AppendUint64(b, uint64(c.Len))
		b = binary.LittleEndian.AppendUint64(b, uint64(c.Offset))
		b = binary.LittleEndian.AppendUint32(b, c.Sum)
	case Seek:
		b = binary.LittleEndian.AppendUint64(b, uint64(c.Offset))
	case Rename:
		b = appendPath(b, c.To)
	}
	return b
}

func appendPath(b []byte, path string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(path)))
	return append(b, path...)
}
