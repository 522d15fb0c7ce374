package xbstream

import (
	"strings"

	"github.com/cofferdb/coffer"
)

// maxOpen is how many files may be unfinished at one time. The tool has one for
// each copying thread and one for the redo log.
const maxOpen = 256

// Order checks that chunks follow each other as a stream's must: a file's data
// without gap or overlap, no order upon a file that is not finished, not too many
// unfinished files, and none at the end. Its memory is bounded by the unfinished
// files. The zero Order is ready.
type Order struct {
	open map[string]int64 // size so far
}

// Add takes the next chunk's header or says why it cannot come now.
func (o *Order) Add(c Chunk) error {
	if o.open == nil {
		o.open = make(map[string]int64)
	}
	size, open := o.open[c.Path]
	switch c.Type {
	case Data, Seek:
		if !open && len(o.open) >= maxOpen {
			return c.bad("more than %d unfinished files", maxOpen)
		}
		if c.Type == Data && c.Offset != size || c.Offset < size {
			return c.bad("data for offset %d where %d is next", c.Offset, size)
		}
		o.open[c.Path] = c.Offset + c.Len
	case End:
		delete(o.open, c.Path)
	case Rename, Remove:
		_, to := o.open[c.To]
		if open || to || c.Type == Remove && o.beneath(c.Path) {
			return c.bad("an order for a file that is not finished")
		}
	}
	return nil
}

// beneath reports whether an unfinished file is in a folder.
func (o *Order) beneath(folder string) bool {
	for path := range o.open {
		if strings.HasPrefix(path, folder+"/") {
			return true
		}
	}
	return false
}

// End says whether the stream may end here.
func (o *Order) End() error {
	for path := range o.open {
		return coffer.E(coffer.KindCorrupt, opRead, "the stream ends inside file %q", path)
	}
	return nil
}
