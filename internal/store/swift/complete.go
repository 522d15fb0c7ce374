package swift

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// segment is one part as it is stored.
type segment struct {
	key  string
	md5  string
	size int64
}

// Complete compares the segments with the parts, writes the manifest and looks at
// it.
func (s *Store) Complete(ctx context.Context, u store.Upload, parts []store.Part) (store.Object, error) {
	op := "complete " + u.Name
	at, err := s.begin(ctx, op, u.Name)
	if err != nil {
		return store.Object{}, err
	}
	size, err := remote.Contiguous(op, parts)
	if err != nil {
		return store.Object{}, err
	}
	release, err := s.naming.Hold(ctx, op, u.Name)
	if err != nil {
		return store.Object{}, err
	}
	defer release()
	t := token(u.Token)
	f, err := s.head(ctx, op, at)
	switch {
	case err == nil && f.upload == t && f.Size == size: // done before, but the answer was lost
		return f.Object, s.unmark(ctx, op, at, t)
	case err == nil:
		return store.Object{}, coffer.E(coffer.KindExists, op, "the name is taken")
	case !coffer.IsKind(err, coffer.KindNotFound):
		return store.Object{}, err
	}
	m, err := s.marked(ctx, op, at, t)
	if err != nil {
		return store.Object{}, err
	}
	segments := t.segments(at.key, parts)
	if err := s.compare(ctx, op, at, t, segments); err != nil {
		return store.Object{}, err
	}
	if err := s.publish(ctx, op, at, t, segments, size, m); err != nil {
		return store.Object{}, err
	}
	if f, err = s.published(ctx, op, at, size); err != nil {
		return store.Object{}, err
	}
	_ = s.unmark(ctx, op, at, t) // the object is there; Stale shows a marker that stayed
	return f.Object, nil
}

// lag is how long the size of a dynamic large object, which comes from a listing,
// may be behind.
func lag() retry.Policy {
	return retry.Policy{Min: 50 * time.Millisecond, Max: time.Second, For: 20 * time.Second}
}

// published looks at what was published until it has its size.
func (s *Store) published(ctx context.Context, op string, at place, size int64) (f found, err error) {
	err = lag().Do(ctx, op, func(ctx context.Context) error {
		if f, err = s.head(ctx, op, at); err != nil {
			return err
		}
		switch {
		case f.Size == size:
			return nil
		case f.prefix != "" && f.Size < size:
			return coffer.E(coffer.KindUnavailable, op, "of %d bytes the store lists %d", size, f.Size)
		}
		return coffer.E(coffer.KindCorrupt, op, "the object has %d bytes, its parts had %d", f.Size, size)
	})
	if err != nil && !coffer.IsKind(err, coffer.KindCorrupt) {
		err = coffer.E(coffer.KindUnknown, op, "published, but not to be seen whole: %w", err)
	}
	return f, err
}

// segments are the parts that hold bytes.
func (t token) segments(key string, parts []store.Part) []segment {
	var out []segment
	for _, p := range parts {
		if p.Size > 0 {
			out = append(out, segment{key: t.segment(key, p.Index), md5: p.MD5, size: p.Size})
		}
	}
	return out
}

// compare is KindInvalid unless each segment is stored as it was sent. Segments
// of this upload that are no part of it are deleted: a dynamic manifest would take
// them as well.
func (s *Store) compare(ctx context.Context, op string, at place, t token, segments []segment) error {
	listed := map[string]entry{}
	wanted := map[string]bool{}
	for _, seg := range segments {
		wanted[seg.key] = true
	}
	for e, err := range s.entries(ctx, op, at.container, t.segmentPrefix(at.key)) {
		if err != nil {
			return err
		}
		switch {
		case e.Type != t.typeOf(segmentType, at.key):
			return coffer.E(coffer.KindConflict, op, "%s is in the way: it is not of this upload", e.Key).WithHint("delete it, or take the backup again")
		case wanted[e.Key]:
			listed[e.Key] = e
		default:
			if err := s.remove(ctx, op, place{at.container, e.Key}, nil); err != nil {
				return err
			}
		}
	}
	for _, seg := range segments {
		e, ok := listed[seg.key]
		if !ok || e.Hash != seg.md5 || e.Bytes != seg.size { // missing, or the listing lags
			f, err := s.head(ctx, op, place{at.container, seg.key})
			if err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
				return err
			}
			e = entry{Hash: f.ETag, Bytes: f.Size}
		}
		if e.Hash != seg.md5 || e.Bytes != seg.size {
			return coffer.E(coffer.KindInvalid, op, "the store does not hold %s as it was sent", seg.key)
		}
	}
	return nil
}

// publish writes the manifest: static where that can be, else dynamic; an object
// without bytes is a plain one.
func (s *Store) publish(ctx context.Context, op string, at place, t token, segments []segment, size int64, marker found) error {
	h := metaHeader(marker.Meta)
	h.Set(metaPrefix+strings.ReplaceAll(uploadKey, "_", "-"), string(t))
	if len(segments) == 0 {
		_, err := s.put(ctx, op, at, store.Body{}, h)
		return err
	}
	h.Set("If-None-Match", "*")
	h.Set("Content-Type", largeType+string(t))
	can, err := s.capabilities(ctx)
	if err != nil {
		return err
	}
	if can.holds(segments) {
		return s.publishStatic(ctx, op, at, t, segments, size, h)
	}
	return s.publishDynamic(ctx, op, at, t, h)
}

// line is one entry of a static manifest.
type line struct {
	Path string `json:"path"`
	ETag string `json:"etag"`
	Size int64  `json:"size_bytes"`
}

// publishStatic writes a static manifest. The paths begin with a slash, without
// which old radosgws do not find the segments when they delete. A server that has
// no static large objects stores the manifest's text as an object: that is taken
// back, and a dynamic manifest is written.
func (s *Store) publishStatic(ctx context.Context, op string, at place, t token, segments []segment, size int64, h http.Header) error {
	lines := make([]line, len(segments))
	for i, seg := range segments {
		lines[i] = line{Path: "/" + at.container + "/" + seg.key, ETag: seg.md5, Size: seg.size}
	}
	raw, err := json.Marshal(lines)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	text := store.Bytes(raw)
	_, err = s.simple(ctx, op, call{method: http.MethodPut, at: at, query: manifestQuery("put"), header: h, body: text, effect: true})
	if coffer.IsKind(err, coffer.KindNotFound) {
		return coffer.E(coffer.KindInvalid, op, "a segment is gone: %w", err)
	}
	if err != nil {
		return err
	}
	f, err := s.head(ctx, op, at)
	if err != nil {
		return coffer.E(coffer.KindUnknown, op, "published, but not to be seen: %w", err)
	}
	if f.static || f.Size == size || f.Size != text.Size() {
		return nil
	}
	s.relearn()
	if err := s.remove(ctx, op, at, nil); err != nil {
		return err
	}
	return s.publishDynamic(ctx, op, at, t, h)
}

// publishDynamic writes a dynamic manifest.
func (s *Store) publishDynamic(ctx context.Context, op string, at place, t token, h http.Header) error {
	h.Set("X-Object-Manifest", escape(at.container+"/"+t.segmentPrefix(at.key)))
	_, err := s.simple(ctx, op, call{method: http.MethodPut, at: at, header: h, effect: true})
	return err
}
