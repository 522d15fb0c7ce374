package file

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// hidden is a file that is not published yet: one below [Hidden], or one without
// any name, which the kernel forgets when its writer ends.
type hidden struct {
	root *os.Root
	path string   // "" for one without a name
	f    *os.File // nil when nobody holds it open
}

// unnamed opens a file without a name in the hidden folder. An error means that
// this file system cannot, or that the folder is missing.
func (s *Store) unnamed() (*os.File, error) {
	s.tidy.Do(s.sweep)
	dir, err := s.root.Open(Hidden)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.mkdir(Hidden); err == nil || errors.Is(err, fs.ErrExist) {
			if err = s.syncFolders(Hidden); err == nil {
				dir, err = s.root.Open(Hidden)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(fileMode))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(fdPath(fd)); err != nil { // without /proc it could not be published
		return nil, errors.Join(err, unix.Close(fd))
	}
	return s.share(os.NewFile(uintptr(fd), "unnamed"), nil)
}

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// link publishes the file; a name that is taken is fs.ErrExist.
func (h hidden) link(name string) error {
	if h.path != "" {
		return h.root.Link(h.path, name)
	}
	dir, err := h.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Linkat(unix.AT_FDCWD, fdPath(int(h.f.Fd())), int(dir.Fd()), path.Base(name), unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "linkat", New: name, Err: err}
	}
	return nil
}

// gone reports whether somebody has removed the hidden file.
func (h hidden) gone() bool {
	if h.path == "" {
		return false
	}
	_, err := h.root.Lstat(h.path)
	return err != nil
}

// drop lets the hidden file go; what was published stays.
func (h hidden) drop() {
	if h.f != nil {
		_ = h.f.Close() // it was synced
	}
	if h.path != "" {
		_ = h.root.Remove(h.path)
	}
}
