package archive

import (
	"os"

	"github.com/cofferdb/coffer"
)

// spoolFile makes a file without a name: whatever happens to the process, nothing
// of it stays.
func spoolFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "coffer-index-")
	if err != nil {
		return nil, coffer.E(coffer.KindNoSpace, "make a spool file", "%w", err).
			WithHint("give a spool folder that can be written to")
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, coffer.E(coffer.KindInternal, "unlink a spool file", "%w", err)
	}
	return f, nil
}
