package remote

import (
	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Contiguous is the size of parts that follow one another from 0.
func Contiguous(op string, parts []store.Part) (int64, error) {
	var end int64
	for i, p := range parts {
		if p.Index != i || p.Offset != end || p.Size < 0 {
			return 0, coffer.E(coffer.KindInvalid, op, "part %d at %d does not follow the one before, which ends at %d", p.Index, p.Offset, end)
		}
		end += p.Size
	}
	return end, nil
}

// CheckPart says whether a part can be at that place.
func CheckPart(op string, i int, off int64) error {
	if i < 0 || off < 0 {
		return coffer.E(coffer.KindInvalid, op, "part %d at offset %d", i, off)
	}
	return nil
}
