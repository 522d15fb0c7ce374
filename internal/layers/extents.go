package layers

import "encoding/binary"

// Extents is what one page of extent descriptors says: which of the pages that it
// describes are in use, and at which LSN it was last changed.
type Extents struct {
	LSN  uint64
	Used Pages
}

// DescribesExtents reports whether a page is one of extent descriptors, in a
// tablespace with pages of ps bytes: it describes itself and those up to the next.
func DescribesExtents(page int64, ps int) bool { return page%int64(ps) == 0 }

const (
	typeFirst   = 8 // a tablespace's first page
	typeExtents = 9

	extentsAt   = 150 // where the descriptors begin
	extentSize  = 40  // bytes of one
	extentPages = 64
)

// ReadExtents reads the page of extent descriptors whose number is at; false says
// that b is none, or not written yet.
func ReadExtents(b []byte, at int64) (Extents, bool) {
	if t := binary.BigEndian.Uint16(b[24:]); t != typeFirst && t != typeExtents {
		return Extents{}, false
	}
	e := Extents{LSN: binary.BigEndian.Uint64(b[16:])}
	for i := range len(b) / extentPages {
		d := b[extentsAt+i*extentSize:][:extentSize]
		if state := binary.BigEndian.Uint32(d[20:]); state < 2 || state > 4 { // not made, or free
			continue
		}
		from := at + int64(i)*extentPages
		for p := range int64(extentPages) {
			if d[24+p/4]>>(p%4*2)&1 == 0 { // the bit says that it is free
				e.Used.Add(from+p, from+p+1)
			}
		}
	}
	return e, true
}
