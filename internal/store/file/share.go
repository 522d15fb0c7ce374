package file

import (
	"errors"
	"io/fs"
	"os"
)

// Modes of what the store makes: its owner's alone. In a root folder that is a
// group's, mode 2770, they are the group's too, so that the processes of several
// users can share the store; the kernel hands the group on.
const (
	fileMode   = 0o600
	folderMode = 0o700

	sharedFile   = 0o660
	sharedFolder = 0o770 | fs.ModeSetgid
)

// isShared reports whether the root folder is for a group.
func isShared(root *os.Root) (bool, error) {
	fi, err := root.Stat(".")
	if err != nil {
		return false, err
	}
	return fi.Mode()&fs.ModeSetgid != 0 && fi.Mode().Perm()&0o070 == 0o070, nil
}

// mkdir makes a folder, whatever the umask. One that is there is fs.ErrExist.
func (s *Store) mkdir(name string) error {
	err := s.root.Mkdir(name, folderMode)
	if err == nil && s.shared {
		err = s.root.Chmod(name, sharedFolder)
	}
	return err
}

// share gives a new file to the group.
func (s *Store) share(f *os.File, err error) (*os.File, error) {
	if err != nil || !s.shared {
		return f, err
	}
	if err := f.Chmod(sharedFile); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
