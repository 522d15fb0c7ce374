package s3

import (
	"context"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// List yields the objects whose name begins with prefix, in byte order of names.
// Keys that are no object's name, such as a console's folders, are left out.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		op := "list " + prefix
		bucket, ok, err := s.listing(ctx, op, prefix)
		if err != nil {
			yield(store.Object{}, err)
		}
		if !ok {
			return
		}
		found := s.core.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: s.opts.Prefix + prefix, Recursive: true, FetchOwner: new(bool)})
		for info := range found {
			if err := ctx.Err(); err != nil {
				break
			}
			if info.Err != nil {
				yield(store.Object{}, fail(op, info.Err, false))
				return
			}
			name := s.name(info.Key)
			if name == "" {
				continue
			}
			if !yield(store.Object{Name: name, Size: info.Size, ETag: info.ETag, Modified: info.LastModified}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil { // the client ends such a listing without a word
			yield(store.Object{}, coffer.Wrap(op, err))
		}
	}
}

// listing is the bucket; ok is false when no name can begin so, or with an error.
func (s *Store) listing(ctx context.Context, op, prefix string) (bucket string, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return "", false, coffer.Wrap(op, err)
	}
	if !utf8.ValidString(prefix) || strings.HasPrefix(prefix, "/") {
		return "", false, nil
	}
	bucket, _, err = s.Where(ctx)
	return bucket, err == nil, coffer.Wrap(op, err)
}

// Stale yields the uploads under prefix that are not ended.
func (s *Store) Stale(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	return func(yield func(store.Upload, error) bool) {
		op := "list uploads of " + prefix
		bucket, ok, err := s.listing(ctx, op, prefix)
		if err != nil {
			yield(store.Upload{}, err)
		}
		if !ok {
			return
		}
		var key, id string
		for {
			page, err := s.core.ListMultipartUploads(ctx, bucket, s.opts.Prefix+prefix, key, id, "", 1000)
			if err != nil {
				yield(store.Upload{}, fail(op, err, false))
				return
			}
			for _, m := range page.Uploads {
				if err := ctx.Err(); err != nil {
					yield(store.Upload{}, coffer.Wrap(op, err))
					return
				}
				u := store.Upload{Name: s.name(m.Key), Token: m.UploadID, Begun: m.Initiated}
				if u.Name != "" && strings.HasPrefix(u.Name, prefix) && !yield(u, nil) {
					return
				}
			}
			if !page.IsTruncated || page.NextKeyMarker == key && page.NextUploadIDMarker == id {
				return
			}
			key, id = page.NextKeyMarker, page.NextUploadIDMarker
		}
	}
}
