package s3

import (
	"context"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/cofferdb/coffer"
)

// substitute is the bucket that is used when another project owns the configured
// one.
func (o Options) substitute() string {
	if o.Project == "" {
		return o.Bucket
	}
	return o.Bucket + "-" + strings.ToLower(o.Project)
}

// checkBucket says whether S3 allows the name.
func checkBucket(op, name string) error {
	if err := s3utils.CheckValidBucketNameStrict(name); err != nil {
		return coffer.E(coffer.KindInvalid, op, "%q is no bucket's name: %w", name, err).
			WithHint("3 to 63 small letters, digits and dashes; an underscore is allowed in Swift's containers only")
	}
	return nil
}

// owner is to whom a bucket belongs, as our credentials see it.
type owner int

const (
	nobodys owner = iota
	ours
	others
)

// Where is the bucket that is used, made if it is missing and may be made.
// replaced tells that it is not the configured one, because that belongs to
// another project. The choice is the same in every process: the substitute as
// soon as it exists, else the configured bucket unless another has it.
func (s *Store) Where(ctx context.Context) (bucket string, replaced bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bucket == "" {
		found, err := s.find(ctx)
		if err != nil {
			return "", false, err
		}
		s.bucket = found
	}
	return s.bucket, s.bucket != s.opts.Bucket, nil
}

func (s *Store) find(ctx context.Context) (string, error) {
	wanted, substitute := s.opts.Bucket, s.opts.substitute()
	if substitute != wanted {
		switch who, err := s.look(ctx, substitute); {
		case err != nil:
			return "", err
		case who == ours:
			return substitute, nil
		}
	}
	who, err := s.look(ctx, wanted)
	if err != nil || who == ours {
		return wanted, err
	}
	if who == nobodys {
		if who, err = s.make(ctx, wanted); err != nil || who == ours {
			return wanted, err
		}
	}
	if substitute == wanted {
		return "", coffer.E(coffer.KindForbidden, "use the bucket "+wanted, "the bucket belongs to somebody else, or the key has no right to it").
			WithHint("grant the key access to the bucket, or choose a bucket of your own")
	}
	if who, err = s.make(ctx, substitute); err == nil && who != ours {
		err = coffer.E(coffer.KindForbidden, "use the bucket "+substitute, "both %s and %s belong to somebody else", wanted, substitute).
			WithHint("choose a bucket of your own")
	}
	return substitute, err
}

// look says whose the bucket is.
func (s *Store) look(ctx context.Context, bucket string) (owner, error) {
	op := "look for the bucket " + bucket
	there, err := s.core.BucketExists(ctx, bucket)
	switch {
	case err == nil && there:
		return ours, nil
	case err == nil:
		return nobodys, nil
	case code(err) != minio.AccessDenied:
		return nobodys, fail(op, err, false)
	}
	// The answer to a HEAD has no text: a key that is wrong looks like this, too.
	for info := range s.core.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{MaxKeys: 1}) {
		if why := code(info.Err); info.Err != nil && why != minio.AccessDenied {
			return nobodys, fail(op, info.Err, false)
		}
		break
	}
	return others, coffer.Wrap(op, ctx.Err())
}

// make makes the bucket, if the store may.
func (s *Store) make(ctx context.Context, bucket string) (owner, error) {
	op := "make the bucket " + bucket
	if !s.opts.Create {
		return nobodys, coffer.E(coffer.KindInvalid, op, "there is no such bucket").
			WithHint("make the bucket, or let the store make it")
	}
	err := s.core.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: s.opts.Region})
	switch code(err) {
	case "":
		return ours, fail(op, err, false)
	case minio.BucketAlreadyOwnedByYou:
		return ours, nil
	case minio.BucketAlreadyExists:
		return s.look(ctx, bucket) // some servers say so of one's own as well
	}
	return nobodys, fail(op, err, false)
}

// In is another bucket as a store, by the same keys and with the same options. With
// project, which names whose keys they are, the bucket is replaced where it belongs to
// another project (see [Options]); without, it is exactly that one.
func (s *Store) In(bucket string, project coffer.ProjectID) (*Store, error) {
	op := "use the bucket " + bucket
	o := s.opts
	o.Bucket, o.Project = bucket, string(project)
	if err := checkBucket(op, bucket); err != nil {
		return nil, err
	}
	if checkBucket(op, o.substitute()) != nil {
		o.Project = "" // the bucket's name leaves no room for one
	}
	return &Store{core: s.core, http: s.http, opts: o, sse: s.sse}, nil
}

// Buckets are the names of all buckets that the keys own.
func (s *Store) Buckets(ctx context.Context) ([]string, error) {
	all, err := s.core.ListBuckets(ctx)
	if err != nil {
		return nil, fail("list the buckets", err, false)
	}
	names := make([]string, len(all))
	for i, b := range all {
		names[i] = b.Name
	}
	return names, nil
}
