package layers_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"

	"github.com/cofferdb/coffer"
)

// described is a layer of one table so wide that its stream is only made up where a
// check reads it: pages of descriptors by which every page is in use.
type described struct {
	*fake
	pages   []uint32
	without uint32
	reads   int
}

func (d *described) Position() coffer.Position { return coffer.Position{RedoStart: 1500} }
func (d *described) PlainBytes() int64         { return 1 << 40 }

func (d *described) Range(context.Context, int64, int64) (io.ReadCloser, error) {
	d.reads++
	b := make([]byte, ps)
	binary.BigEndian.PutUint64(b[16:], 1400)
	binary.BigEndian.PutUint16(b[24:], 9)
	for i := range 256 {
		binary.BigEndian.PutUint32(b[150+40*i+20:], 3)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
