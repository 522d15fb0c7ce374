package swift

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// entry is one line of a listing.
type entry struct {
	Key      string `json:"name"`
	Bytes    int64  `json:"bytes"`
	Hash     string `json:"hash"`
	Type     string `json:"content_type"`
	Modified string `json:"last_modified"`
	SLOETag  string `json:"slo_etag"` // only with a static large object whose bytes are the whole
}

// pageSize is how many entries are asked for at a time.
const pageSize = "1000"

// entries yields everything in the container whose key begins with prefix.
func (s *Store) entries(ctx context.Context, op, container, prefix string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		marker := ""
		for {
			page, err := s.page(ctx, op, container, url.Values{"format": {"json"}, "limit": {pageSize}, "prefix": {prefix}, "marker": {marker}})
			if err != nil {
				yield(entry{}, err)
				return
			}
			for _, e := range page {
				if err := ctx.Err(); err != nil {
					yield(entry{}, coffer.Wrap(op, err))
					return
				}
				if !yield(e, nil) {
					return
				}
				marker = e.Key
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

func (s *Store) page(ctx context.Context, op, container string, query url.Values) ([]entry, error) {
	resp, err := s.do(ctx, op, call{method: http.MethodGet, at: place{container: container}, query: query})
	if container != "" && coffer.IsKind(err, coffer.KindNotFound) {
		return nil, coffer.E(coffer.KindInvalid, op, "the container %s is gone", container).WithHint("make the container again")
	}
	if err != nil {
		return nil, err
	}
	defer done(resp)
	var page []entry
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil && err != io.EOF {
		return nil, coffer.E(coffer.KindUnavailable, op, "the listing broke off: %w", err)
	}
	return page, nil
}

// List yields the objects whose name begins with prefix, in byte order of names.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		op := "list " + prefix
		container, ok, err := s.listing(ctx, op, prefix)
		if err != nil {
			yield(store.Object{}, err)
		}
		if !ok {
			return
		}
		for e, err := range s.entries(ctx, op, container, s.opts.Prefix+prefix) {
			if err != nil {
				yield(store.Object{}, err)
				return
			}
			o, show, err := s.object(ctx, op, container, e)
			if err != nil {
				yield(store.Object{}, err)
				return
			}
			if show && !yield(o, nil) {
				return
			}
		}
	}
}

// object is an entry as an object; show is false when it is none. A large object
// is often listed with another size than it has, so it is looked at.
func (s *Store) object(ctx context.Context, op, container string, e entry) (o store.Object, show bool, err error) {
	o = store.Object{Name: s.name(e.Key), Size: e.Bytes, ETag: e.Hash, Modified: modified(e.Modified)}
	_, segment := typed(e.Type, segmentType)
	_, upload := typed(e.Type, uploadType)
	if o.Name == "" || segment || upload {
		return o, false, nil
	}
	if _, large := typed(e.Type, largeType); (large || e.Bytes == 0) && e.SLOETag == "" {
		f, err := s.head(ctx, op, place{container, e.Key})
		if coffer.IsKind(err, coffer.KindNotFound) {
			return o, false, nil // deleted meanwhile
		}
		o.Size = f.Size
		return o, err == nil, err
	}
	return o, true, nil
}

// listing is the container; ok is false when no name can begin so, or with an
// error.
func (s *Store) listing(ctx context.Context, op, prefix string) (container string, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return "", false, coffer.Wrap(op, err)
	}
	if !utf8.ValidString(prefix) || strings.HasPrefix(prefix, "/") {
		return "", false, nil
	}
	container, _, err = s.Where(ctx)
	return container, err == nil, coffer.Wrap(op, err)
}
