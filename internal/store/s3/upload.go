package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"

	"github.com/minio/minio-go/v7"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// maxParts is how many parts S3 takes for one object.
const maxParts = 10_000

// Begin starts an upload.
func (s *Store) Begin(ctx context.Context, name string, meta store.Meta) (store.Upload, error) {
	op := "begin " + name
	bucket, key, err := s.begin(ctx, op, name)
	if err != nil {
		return store.Upload{}, err
	}
	if err := s.free(ctx, op, bucket, key); err != nil {
		return store.Upload{}, err
	}
	id, err := s.core.NewMultipartUpload(ctx, bucket, key, s.putOptions(meta))
	if err != nil {
		return store.Upload{}, fail(op, err, false)
	}
	return store.Upload{Name: name, Token: id}, nil
}

// Part stores one part. The server checks its MD5 and SHA-256.
func (s *Store) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	op := "write part of " + u.Name
	bucket, key, err := s.begin(ctx, op, u.Name)
	if err != nil {
		return store.Part{}, err
	}
	if err := remote.CheckPart(op, i, off); err != nil {
		return store.Part{}, err
	}
	if i >= maxParts {
		return store.Part{}, coffer.E(coffer.KindInvalid, op, "part %d is beyond the %d that S3 takes", i, maxParts).
			WithHint("larger parts, or a next volume, hold more")
	}
	part := store.Part{Index: i, Offset: off, Size: b.Size(), SHA256: b.SHA256()}
	if u.Token == "" {
		return store.Part{}, noUpload(op)
	}
	if b.Size() == 0 {
		return part, s.known(ctx, op, bucket, key, u.Token)
	}
	sum := b.MD5()
	sent, err := s.core.PutObjectPart(ctx, bucket, key, u.Token, i+1, b.Reader(), b.Size(), minio.PutObjectPartOptions{
		Md5Base64: base64.StdEncoding.EncodeToString(sum[:]), Sha256Hex: b.SHA256(), DisableContentSha256: true,
	})
	if err != nil {
		failed := fail(op, err, false)
		// A server may refuse a part before it has read it, and the refusal is lost.
		if code(err) == "" && coffer.IsKind(failed, coffer.KindUnavailable) && coffer.IsKind(s.known(ctx, op, bucket, key, u.Token), coffer.KindNotFound) {
			return store.Part{}, noUpload(op)
		}
		return store.Part{}, failed
	}
	part.MD5, part.Token = hex.EncodeToString(sum[:]), sent.ETag
	return part, nil
}

func noUpload(op string) error {
	return coffer.E(coffer.KindNotFound, op, "no such upload: it was ended, or never begun")
}

// known is KindNotFound unless the upload is open.
func (s *Store) known(ctx context.Context, op, bucket, key, id string) error {
	_, err := s.core.ListObjectParts(ctx, bucket, key, id, 0, 1)
	return fail(op, err, false)
}

// Complete publishes the object and looks at it: only a size that is right is
// done.
func (s *Store) Complete(ctx context.Context, u store.Upload, parts []store.Part) (store.Object, error) {
	op := "complete " + u.Name
	bucket, key, err := s.begin(ctx, op, u.Name)
	if err != nil {
		return store.Object{}, err
	}
	size, err := remote.Contiguous(op, parts)
	if err != nil {
		return store.Object{}, err
	}
	if u.Token == "" {
		return store.Object{}, noUpload(op)
	}
	release, err := s.naming.Hold(ctx, op, u.Name)
	if err != nil {
		return store.Object{}, err
	}
	defer release()
	if err := s.free(ctx, op, bucket, key); err != nil {
		return store.Object{}, err
	}
	if size == 0 {
		return s.completeEmpty(ctx, op, bucket, key, u)
	}
	var stored []minio.CompletePart
	for _, p := range parts {
		if p.Size > 0 {
			stored = append(stored, minio.CompletePart{PartNumber: p.Index + 1, ETag: p.Token})
		}
	}
	err = s.publish(ctx, bucket, key, u.Token, stored)
	if code(err) == "InvalidPart" { // an answer's ETag may have been spoilt: ask what the server has
		if stored, err = s.listed(ctx, bucket, key, u.Token, parts); err == nil {
			err = s.publish(ctx, bucket, key, u.Token, stored)
		}
	}
	if err = fail(op, err, true); err != nil {
		return store.Object{}, s.unclear(ctx, op, bucket, key, u.Token, err)
	}
	return s.completed(ctx, op, u.Name, size)
}

func (s *Store) publish(ctx context.Context, bucket, key, id string, stored []minio.CompletePart) error {
	return s.once(func(o minio.PutObjectOptions) error {
		_, err := s.core.CompleteMultipartUpload(ctx, bucket, key, id, stored, o)
		return err
	}, minio.PutObjectOptions{})
}

// listed are the parts as the server lists them, if it has each in its size. That
// their bytes are right it has seen when it took them.
func (s *Store) listed(ctx context.Context, bucket, key, id string, parts []store.Part) ([]minio.CompletePart, error) {
	has := map[int]minio.ObjectPart{}
	for after := 0; ; {
		page, err := s.core.ListObjectParts(ctx, bucket, key, id, after, 1000)
		if err != nil {
			return nil, err
		}
		for _, p := range page.ObjectParts {
			has[p.PartNumber] = p
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= after {
			break
		}
		after = page.NextPartNumberMarker
	}
	var out []minio.CompletePart
	for _, p := range parts {
		if p.Size == 0 {
			continue
		}
		got, ok := has[p.Index+1]
		if !ok || got.Size != p.Size {
			return nil, coffer.E(coffer.KindInvalid, "", "the store does not hold part %d as it was sent", p.Index)
		}
		out = append(out, minio.CompletePart{PartNumber: p.Index + 1, ETag: got.ETag})
	}
	return out, nil
}

// unclear ends a doubt where looking does: an upload that is gone without an
// object was never there, which radosgw answers with 500.
func (s *Store) unclear(ctx context.Context, op, bucket, key, id string, err error) error {
	if !coffer.IsKind(err, coffer.KindUnknown) || !coffer.IsKind(s.known(ctx, op, bucket, key, id), coffer.KindNotFound) {
		return err
	}
	if s.free(ctx, op, bucket, key) == nil {
		return noUpload(op)
	}
	return err
}

// completed looks at what was published.
func (s *Store) completed(ctx context.Context, op, name string, size int64) (store.Object, error) {
	o, err := s.Stat(ctx, name)
	if err != nil {
		return store.Object{}, coffer.E(coffer.KindUnknown, op, "published, but not to be seen: %w", err)
	}
	if o.Size != size {
		return store.Object{}, coffer.E(coffer.KindCorrupt, op, "the object has %d bytes, its parts had %d", o.Size, size)
	}
	return o, nil
}

// completeEmpty publishes an object without bytes, which no multipart upload can.
func (s *Store) completeEmpty(ctx context.Context, op, bucket, key string, u store.Upload) (store.Object, error) {
	if err := s.known(ctx, op, bucket, key, u.Token); err != nil {
		return store.Object{}, err
	}
	o, err := s.put(ctx, op, bucket, key, store.Body{}, nil)
	if err == nil {
		_ = s.abort(ctx, op, bucket, key, u.Token) // the object is there; Stale shows an upload that stayed
	}
	return o, err
}

// Abort forgets an upload and its parts.
func (s *Store) Abort(ctx context.Context, u store.Upload) error {
	op := "abort " + u.Name
	bucket, key, err := s.begin(ctx, op, u.Name)
	if err != nil {
		return err
	}
	if u.Token == "" {
		return nil
	}
	return s.abort(ctx, op, bucket, key, u.Token)
}

// abortTries is how often an upload is aborted: a part that was on its way may
// outlive the first.
const abortTries = 3

func (s *Store) abort(ctx context.Context, op, bucket, key, id string) error {
	for range abortTries {
		err := fail(op, s.core.AbortMultipartUpload(ctx, bucket, key, id), false)
		if coffer.IsKind(err, coffer.KindNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		err = s.known(ctx, op, bucket, key, id)
		if coffer.IsKind(err, coffer.KindNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return coffer.E(coffer.KindUnavailable, op, "the upload is still there")
}

// MaxParts is how many parts an object may have.
func (s *Store) MaxParts(context.Context) (int, error) { return maxParts, nil }
