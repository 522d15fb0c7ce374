package trovelink

import (
	"context"
	"io"
	"time"

	"github.com/cofferdb/coffer"
)

// upload writes one backup out of a stream of unknown length: a plain object, if it
// fits in one segment, else a large one. It holds one segment in memory.
type upload struct {
	ctx    context.Context
	in     container
	backup string
	most   int             // segments in one static manifest
	form   form            // of an object with more
	size   func(i int) int // bytes of segment i

	part  []byte
	lines []line
}

var _ io.Writer = (*upload)(nil)

// Write takes bytes into the present segment, and stores it when more come than fit.
func (u *upload) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		size := u.size(len(u.lines))
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
	if len(u.lines) == u.most && u.form == oneManifest {
		if err := u.widen(u.ctx); err != nil {
			return err
		}
	}
	if len(u.lines) == u.form.segments(u.most) {
		return coffer.E(coffer.KindNoSpace, "store a segment", "the store reads no object of more than %d segments", len(u.lines)).
			WithHint("use Coffer's own control plane for larger databases")
	}
	name := segmentName(u.backup, len(u.lines))
	sum, err := u.in.put(u.ctx, name, u.part, nil)
	if err != nil {
		return err
	}
	u.lines = append(u.lines, line{Path: "/" + u.in.name + "/" + name, ETag: sum, Size: int64(len(u.part))})
	u.part = u.part[:0]
	return nil
}

// publish writes what makes the segments one object.
func (u *upload) publish(object string, meta map[string]string) (checksum string, err error) {
	switch {
	case len(u.lines) <= u.most:
		return sumOf(u.lines), u.in.publish(u.ctx, object, u.lines, meta)
	case u.form == byPrefix:
		return sumOf(u.lines), u.in.publishPrefix(u.ctx, object, u.backup+"_", meta)
	}
	outer, err := u.in.nest(u.ctx, u.lines, u.most, func(i int) string { return manifestName(u.backup, i) })
	if err != nil {
		return "", err
	}
	return sumOf(outer), u.in.publish(u.ctx, object, outer, meta)
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
		checksum, err = u.publish(object, meta)
	}
	if err != nil {
		return "", err
	}
	patience := time.Duration(1) // one look
	if u.form == byPrefix {
		patience = time.Minute
	}
	if err := u.in.settles(u.ctx, object, checksum, patience); err != nil {
		return "", coffer.Wrap("look at the stored backup", err)
	}
	return checksum, nil
}

// abort removes what was stored, the object that names the segments first.
func (u *upload) abort(ctx context.Context) error {
	if err := u.in.remove(ctx, objectName(u.backup)); err != nil {
		return err
	}
	for i := range u.manifests() {
		if err := u.in.remove(ctx, manifestName(u.backup, i)); err != nil {
			return err
		}
	}
	for i := range len(u.lines) + 1 { // the last one's answer may have been lost
		if err := u.in.remove(ctx, segmentName(u.backup, i)); err != nil {
			return err
		}
	}
	return nil
}
