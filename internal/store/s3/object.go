package s3

import (
	"context"
	"encoding/base64"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// sumKey is the metadata that holds the SHA-256 of what Put sent.
const sumKey = "coffer-sha256"

// Put writes one object.
func (s *Store) Put(ctx context.Context, name string, b store.Body, meta store.Meta) (store.Object, error) {
	op := "write " + name
	bucket, key, err := s.begin(ctx, op, name)
	if err != nil {
		return store.Object{}, err
	}
	release, err := s.naming.Hold(ctx, op, name)
	if err != nil {
		return store.Object{}, err
	}
	defer release()
	if err := s.free(ctx, op, bucket, key); err != nil {
		return store.Object{}, err
	}
	return s.put(ctx, op, bucket, key, b, meta)
}

// put writes the object under its held name.
func (s *Store) put(ctx context.Context, op, bucket, key string, b store.Body, meta store.Meta) (store.Object, error) {
	sum := b.MD5()
	meta = maps.Clone(meta)
	if meta == nil {
		meta = store.Meta{}
	}
	meta[sumKey] = b.SHA256()
	var info minio.UploadInfo
	err := s.once(func(o minio.PutObjectOptions) (err error) {
		info, err = s.core.PutObject(ctx, bucket, key, b.Reader(), b.Size(), base64.StdEncoding.EncodeToString(sum[:]), b.SHA256(), o)
		return err
	}, s.putOptions(meta))
	if err != nil {
		return store.Object{}, fail(op, err, true)
	}
	return store.Object{Name: s.name(key), Size: b.Size(), SHA256: b.SHA256(), ETag: info.ETag}, nil
}

// once makes a write that must not replace anything. A server that does not know
// such a condition is not asked for it again.
func (s *Store) once(write func(minio.PutObjectOptions) error, o minio.PutObjectOptions) error {
	if s.blunt.Load() {
		return write(o)
	}
	conditional := o
	conditional.SetMatchETagExcept("*")
	err := write(conditional)
	if err != nil && code(err) == "NotImplemented" {
		s.blunt.Store(true)
		return write(o)
	}
	return err
}

// putOptions has the client sign the SHA-256 that it is given, instead of one of
// each chunk that it sends.
func (s *Store) putOptions(meta store.Meta) minio.PutObjectOptions {
	o := minio.PutObjectOptions{ServerSideEncryption: s.sse, DisableContentSha256: true, UserMetadata: map[string]string{}}
	for k, v := range meta {
		o.UserMetadata["X-Amz-Meta-"+k] = v
	}
	return o
}

// free is KindExists when the key is taken.
func (s *Store) free(ctx context.Context, op, bucket, key string) error {
	_, err := s.stat(ctx, op, bucket, key)
	switch {
	case err == nil:
		return coffer.E(coffer.KindExists, op, "the name is taken")
	case coffer.IsKind(err, coffer.KindNotFound):
		return nil
	}
	return err
}

// Stat says what is there.
func (s *Store) Stat(ctx context.Context, name string) (store.Object, error) {
	op := "look at " + name
	bucket, key, err := s.begin(ctx, op, name)
	if err != nil {
		return store.Object{}, err
	}
	info, err := s.stat(ctx, op, bucket, key)
	if err != nil {
		return store.Object{}, err
	}
	o := store.Object{Name: name, Size: info.Size, ETag: info.ETag, Modified: info.LastModified, KeptUntil: keptUntil(info), Meta: store.Meta{}}
	for k, v := range info.UserMetadata {
		o.Meta[strings.ToLower(k)] = v
	}
	o.SHA256 = o.Meta[sumKey]
	delete(o.Meta, sumKey)
	return o, nil
}

func (s *Store) stat(ctx context.Context, op, bucket, key string) (minio.ObjectInfo, error) {
	info, err := s.core.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
	return info, fail(op, err, false)
}

// forever is how long a legal hold lasts: nobody says.
func forever() time.Time { return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) }

// keptUntil is when the object's lock ends; zero when it has none.
func keptUntil(info minio.ObjectInfo) time.Time {
	if strings.EqualFold(info.Metadata.Get("X-Amz-Object-Lock-Legal-Hold"), "ON") {
		return forever()
	}
	until, err := time.Parse(time.RFC3339, info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if err != nil || !until.After(time.Now()) {
		return time.Time{}
	}
	return until.UTC()
}

// Delete removes one object. Where the bucket keeps versions, it is that version:
// else nothing would be deleted.
func (s *Store) Delete(ctx context.Context, name string) error {
	op := "delete " + name
	bucket, key, err := s.begin(ctx, op, name)
	if err != nil {
		return err
	}
	info, err := s.stat(ctx, op, bucket, key)
	if coffer.IsKind(err, coffer.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if until := keptUntil(info); !until.IsZero() {
		return coffer.E(coffer.KindKept, op, "kept until %s", until.Format(time.DateOnly)).WithHint("delete it again after that date")
	}
	err = s.core.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{VersionID: info.VersionID})
	if err = fail(op, err, false); coffer.IsKind(err, coffer.KindNotFound) {
		return nil
	}
	return err
}

// Open reads n bytes from off; n < 0 is to the end.
func (s *Store) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	op := "read " + name
	bucket, key, err := s.begin(ctx, op, name)
	if err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, coffer.E(coffer.KindInvalid, op, "offset %d is before the start", off)
	}
	if n == 0 {
		return s.edge(ctx, op, bucket, key, off, n)
	}
	var o minio.GetObjectOptions
	if n > 0 {
		err = o.SetRange(off, off+n-1)
	} else if off > 0 {
		err = o.SetRange(off, 0)
	}
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	body, info, h, err := s.core.GetObject(ctx, bucket, key, o)
	if code(err) == "InvalidRange" {
		return s.edge(ctx, op, bucket, key, off, n)
	}
	if err != nil {
		return nil, fail(op, err, false)
	}
	if off > 0 && h.Get("Content-Range") == "" {
		body.Close()
		return nil, coffer.E(coffer.KindUnsupported, op, "the server has ignored the range")
	}
	return remote.NewRange(ctx, op, body, info.Size, n > info.Size), nil
}

// edge answers a range that holds no byte of the object.
func (s *Store) edge(ctx context.Context, op, bucket, key string, off, n int64) (io.ReadCloser, error) {
	info, err := s.stat(ctx, op, bucket, key)
	if err != nil {
		return nil, err
	}
	if off > info.Size {
		return nil, coffer.E(coffer.KindInvalid, op, "offset %d is outside of %d bytes", off, info.Size)
	}
	if off < info.Size && n != 0 {
		return nil, coffer.E(coffer.KindUnavailable, op, "the server refuses a range that lies inside of its %d bytes", info.Size)
	}
	return remote.NewRange(ctx, op, remote.Nothing(), 0, n > 0), nil
}
