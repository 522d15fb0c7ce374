package file

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
)

// How an upload's data is locked: by many parts, or by one Complete.
const (
	shared    = unix.LOCK_SH
	exclusive = unix.LOCK_EX
)

// lockPoll is how often a held lock is tried again.
const lockPoll = 2 * time.Millisecond

// lock opens and locks the data of u. It returns only a file that is the
// upload's still: a writer that slept through the Complete of another process
// cannot touch the published object, which is the same file. Closing the file
// unlocks it.
func (s *Store) lock(ctx context.Context, op string, u store.Upload, how int) (*os.File, error) {
	if err := begin(ctx, op, u.Name); err != nil {
		return nil, err
	}
	if !token(u.Token) {
		return nil, coffer.E(coffer.KindNotFound, op, "no such upload: the token is not one of this store")
	}
	f, err := s.openData(op, u)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, f, how); err != nil {
		f.Close()
		return nil, fail(op, err)
	}
	if err := s.current(op, u, f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// current is an error unless f is still the hidden file of u and nothing else:
// when it has the object's name as well, a Complete died between publishing and
// forgetting.
func (s *Store) current(op string, u store.Upload, f *os.File) error {
	mine, err := f.Stat()
	if err != nil {
		return fail(op, err)
	}
	now, err := s.root.Lstat(data(u.Token))
	if absent(err) || err == nil && !os.SameFile(mine, now) {
		return s.ended(op, u)
	}
	if err != nil {
		return fail(op, err)
	}
	if o, err := s.lstat(u.Name); err == nil && os.SameFile(mine, o) {
		return coffer.E(coffer.KindExists, op, "the upload is published already")
	}
	return nil
}

// flock waits for the lock until ctx ends. The lock is the open file's own, so
// it keeps goroutines of one process apart as well.
func flock(ctx context.Context, f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return err
		default:
			if cause := retry.Sleep(ctx, lockPoll); cause != nil {
				return cause
			}
		}
	}
}
