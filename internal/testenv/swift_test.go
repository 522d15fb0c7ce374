package testenv_test

import (
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/testenv"
)

// TestObjectStoresStart starts each store that tests use and asks each for what
// only a whole one can answer.
func TestObjectStoresStart(t *testing.T) {
	t.Parallel()
	began := time.Now()
	shared := testenv.Share(func() (*testenv.KeystoneServer, error) { return testenv.StartKeystone(testenv.KeystoneOptions{}) })
	defer shared.Stop()
	k := shared.For(t)
	t.Logf("keystone after %v", time.Since(began))
	if token, err := k.Token("alice", "alicepass", "farm-a"); err != nil || token == "" {
		t.Errorf("token %q, %v", token, err)
	}
	if _, err := k.Token("alice", "alicepass", "farm-b"); err == nil {
		t.Error("alice got a token for a project of others")
	}
	swift := testenv.Share(func() (*testenv.SwiftServer, error) {
		return testenv.StartSwift(testenv.SwiftOptions{KeystoneURL: k.URL})
	})
	defer swift.Stop()
	swift.For(t)
	t.Logf("swift after %v", time.Since(began))
	rgw := testenv.Share(func() (*testenv.RadosgwServer, error) {
		return testenv.StartRadosgw(testenv.RadosgwOptions{KeystoneURL: k.URL})
	})
	defer rgw.Stop()
	r := rgw.For(t)
	t.Logf("radosgw after %v", time.Since(began))
	if u, err := r.User("u1"); err != nil || u.Access == "" {
		t.Errorf("user %+v, %v", u, err)
	}
}
