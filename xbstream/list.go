package xbstream

import (
	"io"
	"iter"
)

// Item is one line of a stream's listing: a file at its end, or an order.
type Item struct {
	Type  Type // End, Rename or Remove
	Flags byte
	Path  string
	To    string // Rename
	Size  int64  // End: bytes of the file
}

// List yields what r holds, in stream order, each file at its end. Every sum is
// checked. An error is the last thing it yields.
func List(r io.Reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		x, sizes := NewReader(r), make(map[string]int64)
		for {
			c, err := x.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Item{}, err)
				return
			}
			if c.Type == Data || c.Type == Seek {
				sizes[c.Path] = c.Offset + c.Len
				continue
			}
			it := Item{Type: c.Type, Flags: c.Flags, Path: c.Path, To: c.To, Size: sizes[c.Path]}
			delete(sizes, c.Path)
			if !yield(it, nil) {
				return
			}
		}
	}
}
