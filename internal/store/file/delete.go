package file

import (
	"context"
	"path"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
)

// Delete removes one object, and the folders that it leaves empty.
func (s *Store) Delete(ctx context.Context, name string) error {
	op := "delete " + name
	if err := begin(ctx, op, name); err != nil {
		return err
	}
	if _, err := s.lstat(name); absent(err) {
		return nil
	} else if err != nil {
		return fail(op, err)
	}
	dir, err := s.root.Open(path.Dir(name))
	if absent(err) {
		return nil
	} else if err != nil {
		return fail(op, err)
	}
	defer dir.Close()
	if err := unix.Unlinkat(int(dir.Fd()), path.Base(name), 0); absent(err) {
		return nil
	} else if err != nil {
		return fail(op, err)
	}
	if err := dir.Sync(); err != nil {
		return coffer.E(coffer.KindUnknown, op, "removed, but the folder could not be synced: %w", err)
	}
	s.prune(path.Dir(name))
	return nil
}

// prune removes dir and the folders above it while they are empty. It asks for
// rmdir by name, so that it can never remove an object that took the place of a
// folder meanwhile; that a folder stays is harmless.
func (s *Store) prune(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		up, err := s.root.Open(path.Dir(dir))
		if err != nil {
			return
		}
		err = unix.Unlinkat(int(up.Fd()), path.Base(dir), unix.AT_REMOVEDIR)
		up.Close()
		if err != nil {
			return
		}
	}
}
