package layers

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/cofferdb/coffer"
)

// FirstPage is what a tablespace's first page says of it.
type FirstPage struct {
	Size     uint32 // pages of the tablespace (FSP_SIZE)
	PageSize int    // bytes of a page as it is stored
}

// FirstBytes is how much of a first page [ReadFirst] wants.
const FirstBytes = 58

// ReadFirst reads a first page's head.
func ReadFirst(b []byte) FirstPage {
	if len(b) < FirstBytes {
		return FirstPage{}
	}
	flags := binary.BigEndian.Uint32(b[54:])
	f := FirstPage{Size: binary.BigEndian.Uint32(b[46:]), PageSize: 16 << 10}
	if flags&(1<<4) != 0 { // full_crc32: the older form never has this bit
		if n := flags & 15; n != 5 && n > 0 {
			f.PageSize = 512 << n
		}
		return f
	}
	if n := flags >> 1 & 15; n > 0 { // ROW_FORMAT=COMPRESSED
		f.PageSize = 512 << n
	} else if n := flags >> 6 & 15; n > 0 {
		f.PageSize = 512 << n
	}
	return f
}

// checkPage holds a page against the rules by which the server reads it; at is
// its number in the tablespace.
func (o *output) checkPage(b []byte, at int64, delta bool) error {
	if o.system == 1 && at >= 64 && at < 192 {
		return nil // the doublewrite buffer holds pages of others
	}
	op := "file " + o.name
	if b[0] == 0 && zero(b) {
		if delta {
			return coffer.E(coffer.KindCorrupt, op, "page %d is empty, its list promises content", at)
		}
		return nil
	}
	number, id := int64(binary.BigEndian.Uint32(b[4:])), binary.BigEndian.Uint32(b[34:])
	if binary.BigEndian.Uint16(b[24:])&compressed != 0 {
		id = o.id // its place is taken by what was compressed
	}
	if number != at+o.before || id != o.id {
		return coffer.E(coffer.KindCorrupt, op, "page %d of tablespace %d says that it is page %d of tablespace %d", at+o.before, o.id, number, id)
	}
	if !sumOK(b) {
		return coffer.E(coffer.KindCorrupt, op, "page %d does not match its sum", at)
	}
	if size := binary.BigEndian.Uint32(b[46:]); number == 0 && int64(size) != o.limit {
		return coffer.E(coffer.KindCorrupt, op, "page 0 says that there are %d pages, the index %d", size, o.limit)
	}
	return nil
}

func zero(b []byte) bool {
	return bytes.Equal(b[:len(b)-1], b[1:]) && b[0] == 0
}

// The types of pages that were compressed or encrypted before full_crc32: their
// sums are inside.
const (
	typeCompressed = 34354
	typeEncrypted  = 37401
)

// compressed is the bit in the type of a page_compressed page of full_crc32.
const compressed = 0x8000

// sumOK accepts a page by any of the server's rules; each has 32 bits.
func sumOK(b []byte) bool {
	table := crc32.MakeTable(crc32.Castagnoli)
	be, n := binary.BigEndian.Uint32, len(b)
	full := n
	typ := binary.BigEndian.Uint16(b[24:])
	if typ&compressed != 0 { // page_compressed: so many times 256 bytes, the rest is nothing
		if k := int(typ&^compressed) << 8; k > 64 && k < n {
			full = k
		}
	}
	if be(b[full-4:]) == crc32.Checksum(b[:full-4], table) {
		return true
	}
	sum := be(b)
	if sum == crc32.Checksum(b[4:26], table)^crc32.Checksum(b[38:n-8], table) {
		return true
	}
	zip := crc32.Checksum(b[4:16], table) ^ crc32.Checksum(b[24:26], table) ^ crc32.Checksum(b[34:], table)
	return sum == zip || typ == typeCompressed || typ == typeEncrypted || sum == 0xdeadbeef
}
