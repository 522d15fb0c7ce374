package file

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/cofferdb/coffer"
)

// class is what one errno means to a caller of a store.
type class struct {
	kind coffer.Kind
	hint string
}

// classify turns a system's error into a kind and what an operator can do.
func classify(err error) class {
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case is(syscall.ENOSPC, syscall.EDQUOT):
		return class{coffer.KindNoSpace, "free space on the store's disk, or raise its quota; nothing half-written is left"}
	case is(fs.ErrNotExist, syscall.ENOTDIR, syscall.EISDIR):
		return class{coffer.KindNotFound, ""}
	case is(fs.ErrExist):
		return class{coffer.KindExists, ""}
	case is(syscall.EROFS):
		return class{coffer.KindForbidden, "the store's disk is mounted read-only: mount it for writing"}
	case is(syscall.EPERM, syscall.EXDEV, syscall.EOPNOTSUPP, syscall.EMLINK):
		return class{coffer.KindForbidden, "the store needs hard links, on one filesystem: choose a folder where ln works"}
	case is(fs.ErrPermission):
		return class{coffer.KindForbidden, "give this process's user the right to read and write the store's folder"}
	case is(syscall.ENAMETOOLONG):
		return class{coffer.KindInvalid, "a folder store takes at most 255 bytes between two slashes"}
	case is(syscall.EIO, syscall.ESTALE, syscall.EAGAIN, syscall.EINTR, syscall.EMFILE, syscall.ENFILE,
		syscall.ENOMEM, syscall.ETIMEDOUT, syscall.EBUSY, context.DeadlineExceeded):
		return class{coffer.KindUnavailable, "look at the store's disk or mount"}
	}
	return class{kind: coffer.KindOf(err)}
}

// fail puts the step around a system's error; an error of ours keeps its kind. A
// nil err gives nil.
func fail(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*coffer.Error](err); ours {
		return coffer.Wrap(op, err)
	}
	c := classify(err)
	return coffer.E(c.kind, op, "%w", err).WithHint("%s", c.hint)
}

// absent reports whether err says that there is no such object.
func absent(err error) bool {
	return err != nil && classify(err).kind == coffer.KindNotFound
}
