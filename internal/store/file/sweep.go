package file

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"
)

// sweepAge is how long a hidden file that belongs to no upload is left alone.
// Removing it any time is safe: whoever still writes it fails to publish it.
const sweepAge = 24 * time.Hour

// sweep removes, once in a Store's life, what writers that died left hidden and
// no upload names. It does what it can.
func (s *Store) sweep() {
	dir, err := s.root.Open(Hidden)
	if err != nil {
		return
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return
	}
	for _, n := range names {
		p := path.Join(Hidden, n)
		if t, isData := strings.CutSuffix(n, dataExt); isData {
			if _, err := s.root.Lstat(sidecar(t)); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
		} else if !strings.HasPrefix(n, putPrefix) {
			continue
		}
		if fi, err := s.root.Lstat(p); err == nil && time.Since(fi.ModTime()) > sweepAge {
			_ = s.root.Remove(p)
		}
	}
}
