// Package file keeps objects as plain files below one folder, so that a backup
// on a disk can be read with nothing but ls and cat. An object's name is its
// path: "p/c/x" is the file x in the folder p/c.
//
// What makes it a store and not a folder:
//
//   - Bytes are written to a hidden file in [Hidden], synced, and published under
//     their name by link(2). A name therefore appears with its whole content or
//     not at all, an existing one is never replaced, and the folders that hold
//     it are synced before the answer.
//   - An upload is one hidden file. A part is written in place at its offset and
//     is on the disk when Part returns; Complete publishes the file without
//     copying it. A lock keeps a late part out of a published object.
//   - Every access goes through os.Root: no name, and no link that somebody put
//     there, leads out of the folder.
//
// The store keeps no sums and no Meta. Names whose first component begins with
// ".coffer" are its own. Because a path cannot be a file and a folder, "a" and
// "a/b" exclude each other, and a component has at most 255 bytes.
package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Hidden is the folder, below the root, of what is not published yet.
const Hidden = ".coffer-tmp"

// reserved begins the first components that name no object.
const reserved = ".coffer"

// Modes of what the store makes: its owner's alone.
const (
	fileMode   = 0o600
	folderMode = 0o700
)

// Options change how a Store is opened. The zero value opens what is there.
type Options struct {
	Create bool // make the root folder when it is missing
}

// Store is a folder as a store. Any number of processes may share the folder.
type Store struct {
	root *os.Root
	tidy sync.Once
}

var _ store.Full = (*Store)(nil)

// New opens the folder root as a store.
func New(root string, opts Options) (*Store, error) {
	op := "open the folder " + root
	if opts.Create {
		if err := os.MkdirAll(root, folderMode); err != nil {
			return nil, fail(op, err)
		}
	}
	r, err := os.OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, coffer.E(coffer.KindNotFound, op, "no such folder").WithHint("make the folder, or mount its disk")
	}
	if err != nil {
		return nil, fail(op, err)
	}
	return &Store{root: r}, nil
}

// Close gives the folder's handle back. The store is not used after it.
func (s *Store) Close() error { return fail("close the folder", s.root.Close()) }

// Stat says what is there.
func (s *Store) Stat(ctx context.Context, name string) (store.Object, error) {
	op := "look at " + name
	if err := begin(ctx, op, name); err != nil {
		return store.Object{}, err
	}
	fi, err := s.lstat(name)
	if err != nil {
		return store.Object{}, fail(op, err)
	}
	return object(name, fi), nil
}

// lstat is the file's facts; all that is no plain file is absent.
func (s *Store) lstat(name string) (fs.FileInfo, error) {
	fi, err := s.root.Lstat(name)
	if err == nil && !fi.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return fi, err
}

func object(name string, fi fs.FileInfo) store.Object {
	return store.Object{Name: name, Size: fi.Size(), Modified: fi.ModTime()}
}

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

// begin checks what every call checks first.
func begin(ctx context.Context, op, name string) error {
	if err := ctx.Err(); err != nil {
		return coffer.Wrap(op, err)
	}
	if err := store.CheckName(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, reserved) {
		return coffer.E(coffer.KindInvalid, op, "names that begin with %q are the store's own", reserved)
	}
	return nil
}

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
