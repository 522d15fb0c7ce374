package s3_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/s3"
)

// The habits of radosgw 16 that this package works round, on the real server: first
// with nothing of ours between, then what we make of it.

// Its first answer to a CompleteMultipartUpload has no ETag, and a repetition is
// answered as if it were the first. We say what a look at the object says.
func TestRadosgwCompletesWithoutETag(t *testing.T) {
	t.Parallel()
	r := rgw.For(t)
	u, err := r.User("habits")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, s3.Options{Endpoint: r.URL, CredentialsFile: keyFile(t, u.Access, u.Secret), Bucket: "habit-complete", Create: true})
	if _, _, err := s.Where(t.Context()); err != nil {
		t.Fatal(err)
	}
	core, err := minio.NewCore(strings.TrimPrefix(r.URL, "http://"), &minio.Options{Creds: credentials.NewStaticV4(u.Access, u.Secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	id, err := core.NewMultipartUpload(t.Context(), "habit-complete", "raw", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := core.PutObjectPart(t.Context(), "habit-complete", "raw", id, 1, bytes.NewReader([]byte("text")), 4, minio.PutObjectPartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done, err := core.CompleteMultipartUpload(t.Context(), "habit-complete", "raw", id, []minio.CompletePart{{PartNumber: 1, ETag: p.ETag}}, minio.PutObjectOptions{})
	if err != nil || done.ETag != "" {
		t.Errorf("the first answer has the ETag %q, %v", done.ETag, err)
	}
	up, err := s.Begin(t.Context(), "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	part, err := s.Part(t.Context(), up, 0, 0, store.Bytes([]byte("text")))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := s.Complete(t.Context(), up, []store.Part{part}); err != nil || o.Size != 4 || !strings.HasSuffix(o.ETag, "-1") {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := s.Stat(t.Context(), "x"); err != nil || o.Size != 4 {
		t.Errorf("%+v, %v", o, err)
	}
}
