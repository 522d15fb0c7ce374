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
	"strings"
	"sync"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Hidden is the folder, below the root, of what is not published yet.
const Hidden = ".coffer-tmp"

// reserved begins the first components that name no object.
const reserved = ".coffer"

// Options change how a Store is opened. The zero value opens what is there.
type Options struct {
	Create bool // make the root folder when it is missing
}

// Store is a folder as a store. Any number of processes may share the folder.
type Store struct {
	root   *os.Root
	shared bool // with a group
	tidy   sync.Once
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
	shared, err := isShared(r)
	if err != nil {
		return nil, fail(op, errors.Join(err, r.Close()))
	}
	return &Store{root: r, shared: shared}, nil
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
