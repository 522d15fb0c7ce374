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

	extentsAt    = 150     // where the descriptors begin
	extentPages  = 64      // of an extent
	extentBytes  = 1 << 20 // of one of smaller pages than usual, which has more of them
	extentBitmap = 24      // where in a descriptor two bits for each page begin
)

// ReadExtents reads the page of extent descriptors whose number is at; false says
// that b is none, or not written yet. serverPage is the server's innodb_page_size, by
// which a compressed tablespace has its extents, too; 0 is the usual.
func ReadExtents(b []byte, at int64, serverPage int) (Extents, bool) {
	if t := binary.BigEndian.Uint16(b[24:]); t != typeFirst && t != typeExtents {
		return Extents{}, false
	}
	e := Extents{LSN: binary.BigEndian.Uint64(b[16:])}
	pages := extentPages
	if serverPage > 0 && serverPage < fullPage {
		pages = extentBytes / serverPage
	}
	size := extentBitmap + pages/4
	for i := range len(b) / pages {
		d := b[extentsAt+i*size:][:size]
		if state := binary.BigEndian.Uint32(d[20:]); state < 2 || state > 4 { // not made, or free
			continue
		}
		from := at + int64(i*pages)
		for p := range int64(pages) {
			if d[extentBitmap+p/4]>>(p%4*2)&1 == 0 { // the bit says that it is free
				e.Used.Add(from+p, from+p+1)
			}
		}
	}
	return e, true
}
