package codec

import (
	"runtime"

	"github.com/cofferdb/coffer"
)

// FrameSize is the length of one frame's plain bytes; the last one may be shorter.
const FrameSize = 1 << 20

// MaxFrame bounds the plain bytes of any one frame that is held in memory,
// whoever wrote it. A frame that claims or inflates to more is refused.
const MaxFrame = 64 << 20

// maxStored bounds a frame's stored bytes: what incompressible bytes cost, and
// room for writers that cut small blocks.
const maxStored = MaxFrame + MaxFrame/64

// keepBuffer is the largest buffer that is used again; a foreign archive's huge
// frame must not stay in memory.
const keepBuffer = 4 * FrameSize

// Frame is the two lengths of one frame in bytes.
type Frame struct{ Plain, Stored int64 }

// Compression names the method that frames are compressed with.
type Compression string

// The methods. Gzip is for Trove's sake; Zstd is better in both respects.
const (
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
)

// Ext is the file name's extension, ".zst" or ".gz"; "" for an unknown method.
func (c Compression) Ext() string {
	switch c {
	case Zstd:
		return ".zst"
	case Gzip:
		return ".gz"
	}
	return ""
}

func (c Compression) check() error {
	if c.Ext() == "" {
		return coffer.E(coffer.KindUnsupported, "choose the compression", "unknown method %q", string(c)).
			WithHint("use zstd or gzip")
	}
	return nil
}

// workerCount is n, or one for each usable core.
func workerCount(n int) int {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return n
}

// inFlight is how many frames are held for n workers: one worked on and one
// waiting for each, one being filled and one being handed on.
func inFlight(n int) int { return 2*n + 2 }
