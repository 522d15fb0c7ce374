package swift_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/store/swift"
	"github.com/cofferdb/coffer/internal/testenv"
)

// entries is how many segments a static manifest of the servers takes. The long run
// has thousands of them, and an archive no more than 99 volumes.
var entries = map[bool]int{false: 12, true: 40}[long]

// long tells that this is the long run.
var long = os.Getenv("COFFER_HEAVY") == "1"

// farm is the servers of this package's tests.
type farm struct {
	keystone *testenv.KeystoneServer
	swift    *testenv.SwiftServer   // static large objects for Keystone's users only
	rgw      *testenv.RadosgwServer // one name space for all
	tenants  *testenv.RadosgwServer // a name space for each project
}

var servers = testenv.Share(func() (*farm, error) {
	port, err := testenv.LoopbackPort()
	if err != nil {
		return nil, err
	}
	f, url := &farm{}, testenv.KeystoneURL(port)
	var wg sync.WaitGroup
	var errs [3]error
	wg.Go(func() { f.keystone, errs[0] = testenv.StartKeystone(testenv.KeystoneOptions{Port: port}) })
	wg.Go(func() {
		f.swift, errs[1] = testenv.StartSwift(testenv.SwiftOptions{KeystoneURL: url, NoSLO: true, MaxSegments: entries})
	})
	wg.Go(func() {
		f.rgw, errs[2] = testenv.StartRadosgw(testenv.RadosgwOptions{
			KeystoneURL: url, ExtraConfig: []string{fmt.Sprintf("rgw max slo entries = %d", entries)},
		})
		if errs[2] == nil {
			f.tenants, errs[2] = f.rgw.Beside("tenants", testenv.RadosgwOptions{KeystoneURL: url, ImplicitTenants: true})
		}
	})
	wg.Wait()
	err = errors.Join(errs[:]...)
	if err == nil {
		err = f.endpoints()
	}
	if err != nil {
		f.Stop()
		return nil, err
	}
	return f, nil
})

// endpoints puts each store into the catalogue, in a region of its own.
func (f *farm) endpoints() error {
	return errors.Join(
		f.keystone.AddEndpoint("object-store", "RegionOne", f.swift.KeystoneURL+"/AUTH_%(project_id)s"),
		f.keystone.AddEndpoint("object-store", "rgw", f.rgw.SwiftURL+"/AUTH_%(project_id)s"),
		f.keystone.AddEndpoint("object-store", "tenants", f.tenants.SwiftURL+"/AUTH_%(project_id)s"),
	)
}

func (f *farm) Stop() {
	if f.keystone != nil {
		f.keystone.Stop()
	}
	if f.swift != nil {
		f.swift.Stop()
	}
	if f.rgw != nil {
		f.rgw.Stop()
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	servers.Stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// spot is a container that a second process can open as well.
type spot struct {
	*swift.Store
	opts swift.Options
}

func (p spot) Reopen(t *testing.T) store.Full { return open(t, p.opts) }

func open(t testing.TB, o swift.Options) *swift.Store {
	t.Helper()
	s, err := swift.New(o)
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

func secretFile(t testing.TB, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// version1 is a login at a Swift of its own users.
func version1(t testing.TB, s *testenv.SwiftServer) swift.Auth {
	return swift.Auth{URL: s.AuthURL, V1: true, User: "test:tester", SecretFile: secretFile(t, "testing")}
}

// password is a login at Keystone with one of its users.
func password(t testing.TB, f *farm, user, project, region string) swift.Auth {
	return swift.Auth{
		URL: f.keystone.URL, User: user, UserDomain: "Default", SecretFile: secretFile(t, user+"pass"),
		Project: project, ProjectDomain: "Default", Region: region,
	}
}

// spots makes stores that share one container, each under a prefix of its own.
func spots(o swift.Options) func(t *testing.T) spot {
	o.Create = true
	return func(t *testing.T) spot {
		mine := o
		mine.Prefix = coffer.NewNonce() + "/"
		return spot{open(t, mine), mine}
	}
}

func TestSwift(t *testing.T) {
	t.Parallel()
	next := spots(swift.Options{Auth: password(t, servers.For(t), "alice", "farm-a", "RegionOne"), Container: "law"})
	storetest.Run(t, func(t *testing.T) store.Full { return next(t) })
}

// TestDynamic is a Swift whose operator has not enabled static large objects.
func TestDynamic(t *testing.T) {
	t.Parallel()
	next := spots(swift.Options{Auth: version1(t, servers.For(t).swift), Container: "law"})
	storetest.Run(t, func(t *testing.T) store.Full { return next(t) })
}

func TestRadosgw(t *testing.T) {
	t.Parallel()
	next := spots(swift.Options{Auth: password(t, servers.For(t), "alice", "farm-a", "rgw"), Container: "law"})
	storetest.Run(t, func(t *testing.T) store.Full { return next(t) })
}

// TestDecorated is the order of production: paced, then patient; with dynamic
// manifests on radosgw.
func TestDecorated(t *testing.T) {
	t.Parallel()
	next := spots(swift.Options{Auth: password(t, servers.For(t), "alice", "farm-a", "rgw"), Container: "decorated", Dynamic: true})
	policy := retry.Policy{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond, Tries: 5}
	storetest.Run(t, func(t *testing.T) store.Full { return store.Retry(store.Limit(next(t).Store, 1<<30), policy) })
}

func TestWriteOnce(t *testing.T) {
	t.Parallel()
	next := spots(swift.Options{Auth: version1(t, servers.For(t).swift), Container: "once"})
	storetest.RunWriteOnce(t, func(t *testing.T) store.Full {
		return storetest.WriteOnce(next(t).Store, time.Now().Add(24*time.Hour))
	})
}
