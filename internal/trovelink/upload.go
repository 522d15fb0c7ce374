package trovelink

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"

	"github.com/cofferdb/coffer"
)

// upload writes one backup out of a stream of unknown length: a plain object, if it
// fits in one segment, else a large one. It holds one segment in memory.
type upload struct {
	ctx    context.Context
	in     container
	backup string

	part  []byte
	lines []line
	sums  []byte // the MD5 of each segment, in hex
}

var _ io.Writer = (*upload)(nil)

// maxSegments is how many a static large object has at most, as Swift comes.
const maxSegments = 1000

// Write takes bytes into the present segment, and stores it when more come than fit.
func (u *upload) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		size := partSize(len(u.lines))
		if len(u.part) == size {
			if err := u.flush(); err != nil {
				return n - len(p), err
			}
			continue
		}
		k := min(len(p), size-len(u.part))
		u.part, p = append(u.part, p[:k]...), p[k:]
	}
	return n, nil
}

// flush stores the present segment.
func (u *upload) flush() error {
	if len(u.lines) == maxSegments {
		return coffer.E(coffer.KindNoSpace, "store a segment", "the backup has more than %d segments", maxSegments).
			WithHint("under Trove a backup has at most 52 GiB stored: use Coffer's own control plane for larger databases")
	}
	name := segmentName(u.backup, len(u.lines))
	sum, err := u.in.put(u.ctx, name, u.part, nil)
	if err != nil {
		return err
	}
	u.sums = append(u.sums, sum...)
	u.lines = append(u.lines, line{Path: "/" + u.in.name + "/" + name, ETag: sum, Size: int64(len(u.part))})
	u.part = u.part[:0]
	return nil
}

// finish publishes the object, looks at it, and gives the checksum that Trove expects:
// the MD5 of a plain one, of a large one the MD5 of its segments' sums. Trove compares
// it with the store's ETag before it restores, so an ETag that differs is as bad as
// no backup.
func (u *upload) finish(meta map[string]string) (checksum string, err error) {
	object := objectName(u.backup)
	if len(u.lines) == 0 {
		checksum, err = u.in.put(u.ctx, object, u.part, meta)
	} else {
		if len(u.part) > 0 {
			if err := u.flush(); err != nil {
				return "", err
			}
		}
		sum := md5.Sum(u.sums)
		checksum = hex.EncodeToString(sum[:])
		err = u.in.publish(u.ctx, object, u.lines, meta)
	}
	if err != nil {
		return "", err
	}
	const op = "look at the stored backup"
	etag, _, err := u.in.head(u.ctx, object)
	if err != nil {
		return "", coffer.Wrap(op, err)
	}
	if etag != checksum {
		return "", coffer.E(coffer.KindCorrupt, op, "the store's ETag is %.60q, its sum is %s", etag, checksum)
	}
	return checksum, nil
}

// abort removes what was stored, the object that names the segments first.
func (u *upload) abort(ctx context.Context) error {
	if err := u.in.remove(ctx, objectName(u.backup)); err != nil {
		return err
	}
	for i := range len(u.lines) + 1 { // the last one's answer may have been lost
		if err := u.in.remove(ctx, segmentName(u.backup, i)); err != nil {
			return err
		}
	}
	return nil
}
