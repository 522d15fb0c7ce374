// Package s3 keeps objects in one bucket of a server that speaks S3. An object's
// name is its key, after an optional prefix; an upload is a multipart upload, and
// its token is the server's upload id.
//
// What S3 leaves open, and what is done about it:
//
//   - A name is written once. A server that knows conditional writes refuses the
//     second ("If-None-Match: *"); one that does not, radosgw 16 among them, simply
//     overwrites. So a name is also looked at before it is published, and one
//     Store publishes a name to one caller at a time. Two processes never write one
//     name: that is the archive's rule.
//   - A CompleteMultipartUpload may answer 200 and mean an error, may leave out the
//     ETag, and repeated may be 200 or NoSuchUpload. The answer given here is what a
//     look at the object says afterwards.
//   - Nothing is sent whose size is not known, nothing is sent twice without being
//     asked to ([store.Retry] does that), and ETags decide nothing: the server
//     checks each request's MD5 and SHA-256, and so it is the server that refuses
//     spoilt bytes.
//   - Empty parts are not stored, because servers differ on them.
//
// Bucket names are often global: another project may own the one that was
// configured. A Store that is opened with a project's own credentials then uses
// "<bucket>-<project>" by itself (see [Options]).
package s3

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// DefaultBucket is Trove's default container as S3 can spell it: a bucket's name
// has no "_".
const DefaultBucket = "database-backups"

// MaxParts is how many parts an object may have, on every server.
const MaxParts = maxParts

// Options say where a Store is and how it is reached.
type Options struct {
	Endpoint        string // https://host:port
	Region          string // "" is us-east-1
	HostStyle       bool   // the bucket is a part of the host's name, not of the path
	CredentialsFile string // the field's usual file of profiles, read again when it changes
	Profile         string // "" is "default"

	Bucket  string // "" is DefaultBucket
	Project string // whose own credentials these are; "" when they are the operator's
	Prefix  string // of every key; "" or something that ends in "/"
	Create  bool   // make the bucket when it is missing

	Encryption string // by the server: "" as the bucket is set, "AES256", or the id of a key in its KMS
	Remote     remote.Options
}

// Store is a bucket as a store. Any number of processes may share the bucket.
type Store struct {
	core   minio.Core
	http   *http.Client
	opts   Options
	sse    encrypt.ServerSide
	naming remote.Names
	blunt  atomic.Bool // the server knows no conditional writes

	mu     sync.Mutex
	bucket string // "" until it was found
}

var (
	_ store.Full    = (*Store)(nil)
	_ store.Bounded = (*Store)(nil)
)

// New makes a Store. The server is asked first when it is used.
func New(o Options) (*Store, error) {
	const op = "open the S3 store"
	if o.Bucket == "" {
		o.Bucket = DefaultBucket
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	for _, name := range []string{o.Bucket, o.substitute()} {
		if err := checkBucket(op, name); err != nil {
			return nil, err
		}
	}
	if err := checkPrefix(op, o.Prefix); err != nil {
		return nil, err
	}
	u, err := o.Remote.CheckURL(op, o.Endpoint)
	if err != nil {
		return nil, err
	}
	if u.Path != "" && u.Path != "/" {
		return nil, coffer.E(coffer.KindInvalid, op, "the endpoint has the path %q", u.Path).WithHint("leave it away: the bucket has its own setting")
	}
	client, err := remote.Client(o.Remote)
	if err != nil {
		return nil, err
	}
	keys, err := newKeys(o.CredentialsFile, o.Profile)
	if err != nil {
		return nil, err
	}
	s := &Store{http: client, opts: o, sse: encryption(o.Encryption)}
	look := minio.BucketLookupPath
	if o.HostStyle {
		look = minio.BucketLookupDNS
	}
	c, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.New(keys), Secure: u.Scheme == "https", Transport: client.Transport,
		Region: o.Region, BucketLookup: look, MaxRetries: 1,
	})
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	s.core = minio.Core{Client: c}
	return s, nil
}

// Close ends the idle connections. The store is not used after it.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

func encryption(how string) encrypt.ServerSide {
	switch how {
	case "":
		return nil
	case "AES256":
		return encrypt.NewSSE()
	}
	kms, err := encrypt.NewSSEKMS(how, nil)
	if err != nil {
		panic(err) // a context that is nil can be encoded
	}
	return kms
}

func checkPrefix(op, prefix string) error {
	if prefix == "" {
		return nil
	}
	if !strings.HasSuffix(prefix, "/") {
		return coffer.E(coffer.KindInvalid, op, "the prefix %q does not end in a slash", prefix)
	}
	return coffer.Wrap(op, store.CheckName(strings.TrimSuffix(prefix, "/")))
}

// begin checks what every call checks first; it gives the bucket and the key.
func (s *Store) begin(ctx context.Context, op, name string) (bucket, key string, err error) {
	if err := ctx.Err(); err != nil {
		return "", "", coffer.Wrap(op, err)
	}
	if err := store.CheckName(name); err != nil {
		return "", "", err
	}
	bucket, _, err = s.Where(ctx)
	return bucket, s.opts.Prefix + name, coffer.Wrap(op, err)
}

// name is the object's name of a key; "" when the key is not one of ours.
func (s *Store) name(key string) string {
	name, ok := strings.CutPrefix(key, s.opts.Prefix)
	if !ok || store.CheckName(name) != nil {
		return ""
	}
	return name
}
