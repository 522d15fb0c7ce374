package s3

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/cofferdb/coffer"
)

// keys reads a file of credentials, and again when the file has changed: keys can
// be exchanged under a running process.
type keys struct {
	file, profile string

	mu  sync.Mutex
	was time.Time
}

var _ credentials.Provider = (*keys)(nil)

func newKeys(file, profile string) (*keys, error) {
	const op = "read the S3 credentials"
	if file == "" {
		return nil, coffer.E(coffer.KindInvalid, op, "no file is named").WithHint("name a file with aws_access_key_id and aws_secret_access_key")
	}
	if profile == "" {
		profile = "default"
	}
	k := &keys{file: file, profile: profile}
	v, err := k.Retrieve()
	if err == nil && (v.AccessKeyID == "" || v.SecretAccessKey == "") {
		err = fmt.Errorf("the profile %q in %s has no keys", profile, file)
	}
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%w", err).
			WithHint("the file has a line [%s] and below it aws_access_key_id = … and aws_secret_access_key = …", profile)
	}
	return k, nil
}

// Retrieve reads the file.
func (k *keys) Retrieve() (credentials.Value, error) { return k.RetrieveWithCredContext(nil) }

// RetrieveWithCredContext reads the file.
func (k *keys) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if fi, err := os.Stat(k.file); err == nil {
		k.was = fi.ModTime()
	}
	return (&credentials.FileAWSCredentials{Filename: k.file, Profile: k.profile}).RetrieveWithCredContext(cc)
}

// IsExpired reports whether the file has changed. One that is gone for a moment,
// while it is being exchanged, has not.
func (k *keys) IsExpired() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	fi, err := os.Stat(k.file)
	return err == nil && !fi.ModTime().Equal(k.was)
}
