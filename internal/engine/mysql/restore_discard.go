package mysql

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// Discard empties a folder whose restore counts as failed, and removes what was
// beside it. It takes what is provably the restore's and nothing else: a folder
// that bears the mark of an unfinished restore, or one that was whole at sealed
// and of which nothing was changed since. One in which somebody has been since is
// KindConflict and stays as it is; without the mark and with a zero sealed nothing
// is touched.
func (e *Engine) Discard(dir string, sealed time.Time) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return coffer.Wrap(opDiscard, err)
	}
	defer root.Close()
	_, err = root.Lstat(incompleteMarker)
	switch {
	case errors.Is(err, fs.ErrNotExist) && sealed.IsZero():
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := unchanged(root, sealed); err != nil {
			return coffer.Wrap(opDiscard, err)
		}
		if err := mark(root); err != nil { // if we are cut short, the next try goes on
			return coffer.Wrap(opDiscard, err)
		}
	case err != nil:
		return coffer.Wrap(opDiscard, err)
	}
	r := &restorer{target: engine.Target{Dir: filepath.Clean(dir)}, root: root}
	if err := r.clearScratch(); err != nil {
		return coffer.Wrap(opDiscard, err)
	}
	return coffer.Wrap(opDiscard, empty(root))
}

// tellSealed tells that all is in place, and when: the mark is touched, so that the
// time is of the same clock as those of the files.
func (r *restorer) tellSealed() error {
	if r.target.Sealed == nil {
		return nil
	}
	if err := r.root.Chmod(incompleteMarker, 0o600); err != nil {
		return err
	}
	fi, err := r.root.Lstat(incompleteMarker)
	if err != nil {
		return err
	}
	at, ok := changed(fi)
	if !ok {
		return coffer.E(coffer.KindUnsupported, "look at the mark", "this system does not say when files were changed")
	}
	return r.target.Sealed(at)
}

// changed is when a file was last written, renamed or given to somebody.
func changed(fi fs.FileInfo) (time.Time, bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(st.Ctim.Unix()), true
}

const opDiscard = "discard a failed restore's files"

// unchanged wants that nothing below root was written, renamed or given to somebody
// after a time. The root itself does not count: it has lost the mark.
func unchanged(root *os.Root, since time.Time) error {
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if at, ok := changed(fi); !ok || at.After(since) {
			return coffer.E(coffer.KindConflict, "file "+name, "was changed since").
				WithHint("the files are whole although their restore counts as failed; remove them yourself if nobody uses them")
		}
		return nil
	})
}
