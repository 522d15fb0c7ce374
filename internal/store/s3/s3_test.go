package s3_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/s3"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// rgw is the radosgw of this package's tests. Its bucket names are global.
var rgw = testenv.Share(func() (*testenv.RadosgwServer, error) {
	return testenv.StartRadosgw(testenv.RadosgwOptions{})
})

func TestMain(m *testing.M) {
	code := m.Run()
	rgw.Stop()
	versity.Stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// place is a bucket that a second process can open as well.
type place struct {
	*s3.Store
	opts s3.Options
}

func (p place) Reopen(t *testing.T) store.Full { return open(t, p.opts) }

func open(t testing.TB, o s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// keysOf makes a user of the radosgw and the file of its keys.
func keysOf(t testing.TB, r *testenv.RadosgwServer, name string) string {
	t.Helper()
	u, err := r.User(name)
	if err != nil {
		t.Fatal(err)
	}
	return keyFile(t, u.Access, u.Secret)
}

func keyFile(t testing.TB, access, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "credentials")
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", access, secret)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// places makes stores that share one bucket, each under a prefix of its own.
func places(t *testing.T, user, bucket string) func(t *testing.T) place {
	r := rgw.For(t)
	o := s3.Options{Endpoint: r.URL, CredentialsFile: keysOf(t, r, user), Bucket: bucket, Create: true}
	return func(t *testing.T) place {
		mine := o
		mine.Prefix = coffer.NewNonce() + "/"
		return place{open(t, mine), mine}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	next := places(t, "law", "law-plain")
	storetest.Run(t, func(t *testing.T) store.Full { return next(t) })
}

// TestDecorated is the order of production: paced, then patient.
func TestDecorated(t *testing.T) {
	t.Parallel()
	next := places(t, "decorated", "law-decorated")
	policy := retry.Policy{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond, Tries: 5}
	storetest.Run(t, func(t *testing.T) store.Full { return store.Retry(store.Limit(next(t).Store, 1<<30), policy) })
}

func TestWriteOnce(t *testing.T) {
	t.Parallel()
	next := places(t, "once", "law-once")
	storetest.RunWriteOnce(t, func(t *testing.T) store.Full {
		return storetest.WriteOnce(next(t).Store, time.Now().Add(24*time.Hour))
	})
}
