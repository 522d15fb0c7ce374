package swift

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// Metadata of ours.
const (
	sumKey    = "coffer_sha256" // of what Put sent
	uploadKey = "coffer_upload" // the token of the upload that a large object came from
)

const metaPrefix = "X-Object-Meta-"

// metaHeader is metadata as headers.
func metaHeader(meta store.Meta) http.Header {
	h := http.Header{}
	for k, v := range meta {
		h.Set(metaPrefix+strings.ReplaceAll(k, "_", "-"), v)
	}
	return h
}

// found is an object with what only Swift says of it.
type found struct {
	store.Object
	upload token  // of ours
	static bool   // a static large object
	prefix string // of a dynamic large object's segments: container/prefix, escaped
	kind   string // the content type
}

// Put writes one object.
func (s *Store) Put(ctx context.Context, name string, b store.Body, meta store.Meta) (store.Object, error) {
	op := "write " + name
	at, err := s.begin(ctx, op, name)
	if err != nil {
		return store.Object{}, err
	}
	release, err := s.naming.Hold(ctx, op, name)
	if err != nil {
		return store.Object{}, err
	}
	defer release()
	switch _, err := s.head(ctx, op, at); {
	case err == nil:
		return store.Object{}, coffer.E(coffer.KindExists, op, "the name is taken")
	case !coffer.IsKind(err, coffer.KindNotFound):
		return store.Object{}, err
	}
	return s.put(ctx, op, at, b, metaHeader(meta))
}

// put writes the object under its held name.
func (s *Store) put(ctx context.Context, op string, at place, b store.Body, h http.Header) (store.Object, error) {
	sum := b.MD5()
	h.Set("Etag", hex.EncodeToString(sum[:]))
	h.Set("If-None-Match", "*")
	h.Set("Content-Type", "application/octet-stream")
	h.Set(metaPrefix+strings.ReplaceAll(sumKey, "_", "-"), b.SHA256())
	answer, err := s.simple(ctx, op, call{method: http.MethodPut, at: at, header: h, body: b, effect: true})
	if err != nil {
		return store.Object{}, err
	}
	return store.Object{Name: s.name(at.key), Size: b.Size(), SHA256: b.SHA256(), ETag: etag(answer)}, nil
}

// Stat says what is there.
func (s *Store) Stat(ctx context.Context, name string) (store.Object, error) {
	op := "look at " + name
	at, err := s.begin(ctx, op, name)
	if err != nil {
		return store.Object{}, err
	}
	f, err := s.head(ctx, op, at)
	return f.Object, err
}

func (s *Store) head(ctx context.Context, op string, at place) (found, error) {
	h, err := s.simple(ctx, op, call{method: http.MethodHead, at: at})
	if err != nil {
		return found{}, err
	}
	size, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		return found{}, coffer.E(coffer.KindUnsupported, op, "the store does not say the object's size")
	}
	f := found{
		Object: store.Object{Name: s.name(at.key), Size: size, ETag: etag(h), Meta: store.Meta{}},
		static: strings.EqualFold(h.Get("X-Static-Large-Object"), "true"),
		prefix: h.Get("X-Object-Manifest"), kind: h.Get("Content-Type"),
	}
	if at, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		f.Modified = at
	}
	for k, v := range h {
		if k, ok := strings.CutPrefix(k, metaPrefix); ok && k != "Static-Large-Object" { // radosgw's own
			f.Meta[strings.ReplaceAll(strings.ToLower(k), "-", "_")] = v[0]
		}
	}
	if t := token(f.Meta[uploadKey]); t.valid() {
		f.upload = t
	}
	f.SHA256 = f.Meta[sumKey]
	delete(f.Meta, sumKey)
	delete(f.Meta, uploadKey)
	return f, nil
}

func etag(h http.Header) string { return strings.Trim(h.Get("Etag"), `"`) }

// Open reads n bytes from off; n < 0 is to the end.
func (s *Store) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	op := "read " + name
	at, err := s.begin(ctx, op, name)
	if err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, coffer.E(coffer.KindInvalid, op, "offset %d is before the start", off)
	}
	if n == 0 {
		return s.edge(ctx, op, at, off, n)
	}
	c := call{method: http.MethodGet, at: at, header: http.Header{}}
	if off > 0 || n > 0 {
		end := ""
		if n > 0 {
			end = strconv.FormatInt(off+n-1, 10)
		}
		c.header.Set("Range", "bytes="+strconv.FormatInt(off, 10)+"-"+end)
	}
	resp, err := s.do(ctx, op, c)
	if err != nil {
		if beyond(err) {
			return s.edge(ctx, op, at, off, n)
		}
		return nil, err
	}
	size := resp.ContentLength
	if size < 0 || off > 0 && resp.StatusCode != http.StatusPartialContent {
		resp.Body.Close()
		return nil, coffer.E(coffer.KindUnsupported, op, "the store does not say how much it gives (%s)", resp.Status)
	}
	return remote.NewRange(ctx, op, resp.Body, size, n > size), nil
}

// edge answers a range that holds no byte of the object.
func (s *Store) edge(ctx context.Context, op string, at place, off, n int64) (io.ReadCloser, error) {
	f, err := s.head(ctx, op, at)
	if err != nil {
		return nil, err
	}
	if off > f.Size {
		return nil, coffer.E(coffer.KindInvalid, op, "offset %d is outside of %d bytes", off, f.Size)
	}
	if off < f.Size && n != 0 {
		return nil, coffer.E(coffer.KindUnavailable, op, "the store refuses a range that lies inside of its %d bytes", f.Size)
	}
	return remote.NewRange(ctx, op, remote.Nothing(), 0, n > 0), nil
}

// modified is the time of a listing. Swift leaves the zone away.
func modified(text string) time.Time {
	at, err := time.Parse("2006-01-02T15:04:05.999999", strings.TrimSuffix(text, "Z"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// manifestQuery asks for a large object's manifest instead of its content.
func manifestQuery(what string) url.Values { return url.Values{"multipart-manifest": {what}} }
